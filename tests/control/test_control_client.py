"""The control socket, from a command's end."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from control_rig import Supervisor, in_background

from malbox_cli.control.client import ControlClient, SupervisorLost
from malbox_cli.control.messages import (
    Canceling,
    Request,
    Stopping,
    Submitting,
    SupervisorStatus,
    encode,
)
from malbox_cli.control.records import Accepted, Ended, Outcome, Record, Refused, to_line
from malbox_cli.supervisor.ownership import Owner
from plugin_runtime.errors import MalboxError

STATUS = SupervisorStatus(pid=1, uptime=2.0, domain="lab", manifest="/m", plugins=())
ENDED = Ended(1, "p", Outcome.COMPLETED, None, 0.5)


@pytest.fixture
def owner(supervisor: Supervisor) -> Owner:
    return Owner(os.getpid(), str(supervisor.path))


def served(supervisor: Supervisor, use: Callable[[ControlClient], None], owner: Owner) -> None:
    """Let a client be used while the server runs."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            with ControlClient(owner) as client:
                use(client)
        except (AssertionError, MalboxError) as error:
            errors.append(error)

    thread = in_background(run)
    supervisor.run_until(lambda: not thread.is_alive())
    thread.join()
    if errors:
        raise errors[0]


def test_the_client_gets_the_status(supervisor: Supervisor, owner: Owner) -> None:
    supervisor.answer = lambda client, _: supervisor.server.send(client, encode(STATUS))
    answers: list[SupervisorStatus] = []
    served(supervisor, lambda client: answers.append(client.status()), owner)
    assert answers == [STATUS]


@pytest.mark.parametrize("last", [ENDED, Refused("p", "no")], ids=["ended", "refused"])
def test_the_client_yields_the_records_of_its_task_until_the_last(
    supervisor: Supervisor, owner: Owner, last: Record
) -> None:
    stream = [Accepted(1, "p", "/a", "00"), last]

    def answer(client: int, _: Request) -> None:
        for record in (*stream, Accepted(2, "p", "/b", "00")):
            supervisor.server.send(client, to_line(record))

    supervisor.answer = answer
    records: list[Record] = []
    served(supervisor, lambda client: records.extend(client.submit(Submitting("p", "/a"))), owner)
    assert records == stream


def test_the_client_cancels_while_it_reads(supervisor: Supervisor, owner: Owner) -> None:
    def answer(client: int, request: Request) -> None:
        record = ENDED if isinstance(request, Canceling) else Accepted(1, "p", "/a", "00")
        supervisor.server.send(client, to_line(record))

    supervisor.answer = answer

    def use(client: ControlClient) -> None:
        records = client.submit(Submitting("p", "/a"))
        next(records)
        client.cancel(1)
        assert list(client.records()) == [ENDED]

    served(supervisor, use, owner)
    assert [request for _, request in supervisor.requests] == [Submitting("p", "/a"), Canceling(1)]


def test_a_supervisor_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SupervisorLost, match=r"cannot reach the supervisor \(process 5\): No such file or directory"):
        ControlClient(Owner(5, str(tmp_path / "s")))


@pytest.mark.parametrize("part", ["", '{"type": "acc'], ids=["nothing", "half a line"])
def test_a_supervisor_that_ends_before_it_answered_is_told(supervisor: Supervisor, owner: Owner, part: str) -> None:
    def answer(client: int, _: Request) -> None:
        supervisor.server._clients[client].socket.sendall(part.encode())
        supervisor.server._leave(supervisor.server._clients[client])

    supervisor.answer = answer
    with pytest.raises(SupervisorLost, match="ended before it had answered"):
        served(supervisor, lambda client: list(client.submit(Submitting("p", "/a"))).clear(), owner)


@pytest.mark.parametrize(
    "line", ['{"type": "misunderstood", "error": "no"}', "[]", "garbage", '{"type": "new"}', '{"type": "accepted"}']
)
def test_an_answer_of_another_version_is_told_as_that(supervisor: Supervisor, owner: Owner, line: str) -> None:
    supervisor.answer = lambda client, _: supervisor.server.send(client, line)
    with pytest.raises(MalboxError, match=r"of another version of malbox \(.+\); restart it"):
        served(supervisor, lambda client: list(client.submit(Submitting("p", "/a"))).clear(), owner)
    with pytest.raises(MalboxError, match=r"of another version of malbox \(.+\); restart it"):
        served(supervisor, lambda client: client.status() and None, owner)


def test_stop_waits_for_the_end_of_the_process_and_not_for_an_answer(supervisor: Supervisor) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner(process.pid, str(supervisor.path))
    stopped: list[bool] = []
    served(supervisor, lambda client: stopped.append(client.stop(0.05)), owner)
    assert stopped == [False]

    def answer(_: int, request: Request) -> None:
        assert request == Stopping()
        assert process.stdin is not None
        process.stdin.close()

    supervisor.answer = answer
    served(supervisor, lambda client: stopped.append(client.stop(20)), owner)
    assert stopped == [False, True]
    process.wait()
    served(supervisor, lambda client: stopped.append(client.stop(20)), owner)
    assert stopped == [False, True, True]


def test_stop_waits_for_a_supervisor_that_does_not_listen_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    supervisor = Supervisor(Path("s"))
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with ControlClient(Owner(process.pid, "s")) as client:
        supervisor.run_until(lambda: bool(supervisor.server._clients))
        supervisor.close()
        assert client.stop(0.01) is False
        assert process.stdin is not None
        process.stdin.close()
        assert client.stop(20) is True
    process.wait()
