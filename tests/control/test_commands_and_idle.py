"""A plugin that is IDLE has no process until there is a task; for those that ask and wait it is as good as READY."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from control_rig import Supervisor, in_background

from malbox_cli.client.following import TO_BE_READY, TO_BE_STOPPED, TO_BE_UP, Goal, follow
from malbox_cli.commands import status, wait
from malbox_cli.control.client import ControlClient
from malbox_cli.control.messages import PluginStatus, Request, StatusAsked, SupervisorStatus, Watching, encode
from malbox_cli.control.news import PluginNews, SupervisorNews
from malbox_cli.supervisor.ownership import Owner, Ownership

TEXT = '[plugins.a]\ncommand = ["{python}"]\ninstances = 2\n[plugins.b]\ncommand = ["{python}"]\n'
MANIFEST = Path("plugins.toml")
OWNER = Owner(os.getpid(), "s")
PLUGIN = PluginStatus(
    id="b",
    name="b",
    version="1.0.0",
    state="READY",
    reason="it takes tasks",
    pid=None,
    uptime=None,
    restarts=0,
    last_exit=None,
    ready_at=None,
    tasks={"queued": 0, "running": 0, "completed": 0, "failed": 0, "canceled": 0},
)


class Answers:
    """What the supervisor says of its plugins, by id."""

    def __init__(self, supervisor: Supervisor, states: dict[str, str]) -> None:
        self.states = states
        self.supervisor = supervisor
        supervisor.answer = self.answer

    def answer(self, client: int, request: Request) -> None:
        send = self.supervisor.server.send
        if isinstance(request, StatusAsked):
            plugins = tuple(replace(PLUGIN, id=name, state=state) for name, state in self.states.items())
            send(client, encode(SupervisorStatus(os.getpid(), 1.0, "d", str(MANIFEST.absolute()), plugins)))
        elif isinstance(request, Watching):
            send(client, encode(SupervisorNews(1.0, os.getpid(), "running", tuple(self.states))))
            for name, state in self.states.items():
                send(client, encode(PluginNews(1.0, name, state, "so it is", 1.0)))


@pytest.fixture
def owned(supervisor: Supervisor) -> Iterator[Supervisor]:
    MANIFEST.write_text(TEXT)
    ownership = Ownership.take(Path(".malbox"), MANIFEST.absolute())
    ownership.announce(OWNER)
    yield supervisor
    ownership.release()


def run(supervisor: Supervisor, *arguments: str, command: object = wait) -> Result:
    """Run a command while its supervisor answers."""
    results: list[Result] = []
    chosen = getattr(command, "command")  # noqa: B009 - of one of several modules
    thread = in_background(lambda: results.append(CliRunner().invoke(chosen, list(arguments))))
    supervisor.run_until(lambda: not thread.is_alive(), "the command has ended")
    thread.join()
    return results[0]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ({"a-1": "IDLE", "a-2": "READY", "b": "IDLE"}, 0),
        ({"a-1": "IDLE", "a-2": "DEGRADED", "b": "IDLE"}, 3),
        ({"a-1": "PENDING"}, 3),
    ],
)
def test_status_takes_idle_for_ready(owned: Supervisor, states: dict[str, str], code: int) -> None:
    Answers(owned, states)
    done = run(owned, command=status)
    assert done.exit_code == code, done.output
    assert [line.split()[:2] for line in done.output.splitlines()[2:]] == [list(each) for each in states.items()]


@pytest.mark.parametrize(
    ("arguments", "states", "code"),
    [
        ((), {"a-1": "IDLE", "a-2": "IDLE", "b": "READY"}, 0),
        (("a",), {"a-1": "IDLE", "a-2": "READY", "b": "FAILED"}, 0),
        (("a",), {"a-1": "IDLE", "a-2": "FAILED", "b": "READY"}, 3),
        (("a-1",), {"a-1": "IDLE", "a-2": "FAILED", "b": "FAILED"}, 0),
        (("c",), {"a-1": "IDLE"}, 2),
    ],
)
def test_wait_takes_idle_for_ready_and_a_name_for_all_instances(
    owned: Supervisor, arguments: tuple[str, ...], states: dict[str, str], code: int
) -> None:
    Answers(owned, states)
    done = run(owned, "--timeout", "20", *arguments)
    assert done.exit_code == code, done.output


@pytest.mark.parametrize(("goal", "is_reached"), [(TO_BE_READY, True), (TO_BE_UP, True), (TO_BE_STOPPED, False)])
def test_idle_is_a_goal_of_those_that_start_and_not_of_those_that_stop(
    supervisor: Supervisor, goal: Goal, is_reached: bool
) -> None:
    Answers(supervisor, {"b": "IDLE"})
    reached: list[bool] = []

    def ask() -> None:
        with ControlClient(OWNER) as client:
            # Its time is over at once, which is for those that have not got there by then.
            reached.append(bool(follow(client, None, goal, None if is_reached else 0.0).reached))

    thread = in_background(ask)
    supervisor.run_until(lambda: not thread.is_alive(), "it has been told")
    thread.join()
    assert reached == [is_reached]
