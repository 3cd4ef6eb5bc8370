"""The control socket, from the supervisor's end."""

import json
import os
import resource
import stat
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from control_rig import Supervisor, ignore, in_background

from malbox_cli.control import server as server_module
from malbox_cli.control.messages import (
    MAX_LINE_BYTES,
    Canceling,
    StatusAsked,
    Submitting,
    encode,
)
from malbox_cli.control.server import ControlServer
from malbox_cli.supervisor.poller import Poller
from plugin_runtime.errors import MalboxError


def test_the_socket_is_for_its_owner_only_whatever_the_umask_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)
    try:
        supervisor = Supervisor(Path("s"))
        assert stat.S_IMODE(os.stat("s").st_mode) == 0o600
        assert os.umask(0) == 0
        supervisor.close()
    finally:
        os.umask(before)


def test_a_socket_that_cannot_be_bound_is_told_with_its_path(tmp_path: Path) -> None:
    poller = Poller()
    path = tmp_path / ("x" * 120)
    with pytest.raises(MalboxError, match=r"cannot bind the control socket .*: AF_UNIX path too long"):
        ControlServer(path, poller, ignore, ignore, ignore)
    poller.close()


def test_several_clients_are_told_apart(supervisor: Supervisor) -> None:
    first, second = supervisor.connect(), supervisor.connect()
    second.sendall(encode(Canceling(2)).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 1)
    first.sendall(encode(Canceling(1)).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 2)
    (two, _), (one, _) = supervisor.requests
    supervisor.server.send(one, "for one")
    supervisor.server.send(two, "for two")
    assert (first.recv(100), second.recv(100)) == (b"for one\n", b"for two\n")
    first.close()
    supervisor.run_until(lambda: supervisor.left == [one])
    supervisor.server.send(one, "nobody hears this")
    second.close()
    supervisor.run_until(lambda: supervisor.left == [one, two])


def test_a_request_may_come_in_pieces_and_several_at_once(supervisor: Supervisor) -> None:
    client = supervisor.connect()
    lines = b"".join(encode(Canceling(number)).encode() + b"\n" for number in range(3))
    for start in range(0, 30, 7):
        client.sendall(lines[start : start + 7])
        supervisor.poller.dispatch()
    client.sendall(lines[35:])
    supervisor.run_until(lambda: len(supervisor.requests) == 3)
    assert [request for _, request in supervisor.requests] == [Canceling(0), Canceling(1), Canceling(2)]
    client.close()


def test_garbage_is_answered_and_what_follows_is_taken(supervisor: Supervisor) -> None:
    client = supervisor.connect()
    client.sendall(b"garbage\n\xff\xfe\n" + b"[" * 100_000 + b"\n" + encode(StatusAsked()).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 1)
    answers = [json.loads(line) for line in client.recv(10_000).splitlines()]
    assert [answer["type"] for answer in answers] == ["misunderstood"] * 3
    client.close()


def test_a_line_without_an_end_cuts_its_sender_off(supervisor: Supervisor) -> None:
    client = supervisor.connect()
    client.settimeout(None)

    def send() -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            while True:
                client.sendall(b"x" * 65536)

    thread = in_background(send)
    supervisor.run_until(lambda: bool(supervisor.left))
    thread.join()
    client.close()
    assert supervisor.log == ["cut off a command that sent a line without an end"]
    assert supervisor.requests == []


def test_a_request_of_the_longest_length_is_taken(supervisor: Supervisor) -> None:
    client = supervisor.connect()
    line = encode(Submitting("p", "/" + "x" * (MAX_LINE_BYTES - 200))).encode() + b"\n"
    thread = in_background(lambda: client.sendall(line))
    supervisor.run_until(lambda: len(supervisor.requests) == 1)
    thread.join()
    client.close()


def test_a_client_that_never_reads_is_cut_off_and_costs_a_bounded_amount(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_UNSENT_BYTES", 1 << 20)
    client, other = supervisor.connect(), supervisor.connect()
    client.sendall(encode(StatusAsked()).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 1)
    number = supervisor.requests[0][0]
    sent = 0
    while not supervisor.left:
        supervisor.server.send(number, "x" * 60_000)
        sent += 60_001
        held = supervisor.server._clients.get(number)
        assert held is None or len(held.unsent) <= (1 << 20) + 60_001
    assert sent < 3 << 20
    assert supervisor.left == [number]
    assert supervisor.log[0].startswith("cut off a command that did not read ")
    other.sendall(encode(StatusAsked()).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 2)
    client.close()
    other.close()


def test_a_slow_client_gets_everything_in_order(supervisor: Supervisor) -> None:
    client = supervisor.connect()
    client.sendall(encode(StatusAsked()).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 1)
    number = supervisor.requests[0][0]
    for index in range(200):
        supervisor.server.send(number, f"{index:05}" + "x" * 9_994)
    received = bytearray()

    def read() -> None:
        while len(received) < 200 * 10_000:
            received.extend(client.recv(65536))

    thread = in_background(read)
    supervisor.run_until(lambda: not thread.is_alive())
    thread.join()
    assert [int(line[:5]) for line in received.splitlines()] == list(range(200))
    client.close()


@pytest.mark.parametrize(("uid", "allowed"), [(os.getuid(), True), (0, True), (4711, False)])
def test_only_our_user_and_root_are_listened_to(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, uid: int, *, allowed: bool
) -> None:
    class Credentials(struct.Struct):
        def unpack(self, buffer: bytes) -> tuple[int, int, int]:  # type: ignore[override] # a narrower answer
            pid, _, gid = super().unpack(buffer)
            return pid, uid, gid

    monkeypatch.setattr(server_module, "CREDENTIALS", Credentials("3i"))
    client = supervisor.connect()
    if allowed:
        client.sendall(encode(StatusAsked()).encode() + b"\n")
        supervisor.run_until(lambda: len(supervisor.requests) == 1)
    else:
        supervisor.run_until(lambda: bool(supervisor.log))
        assert supervisor.log == ["refused a command of user 4711"]
        assert client.recv(1) == b""
    client.close()


def test_a_connection_for_which_there_is_no_descriptor_left_is_closed_and_does_not_wake_for_ever(
    supervisor: Supervisor,
) -> None:
    client = supervisor.connect()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    taken = []
    try:
        while True:
            try:
                taken.append(os.dup(0))
            except OSError:
                break
        supervisor.poller.dispatch()
        assert supervisor.log == ["cannot take a command's connection: Too many open files"]
        supervisor.poller.dispatch()
        assert len(supervisor.log) == 1
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert client.recv(1) == b""
    client.close()
    again = supervisor.connect()
    again.sendall(encode(StatusAsked()).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 1)
    again.close()


def test_no_more_commands_are_taken_than_there_are_descriptors_to_spare(supervisor: Supervisor) -> None:
    clients = [supervisor.connect()]
    while not supervisor.log:
        clients.append(supervisor.connect())
        supervisor.poller.dispatch()

    assert len(clients) == server_module.MAX_CLIENTS + 1
    one_too_many, another = clients.pop(), clients.pop()
    assert one_too_many.recv(1) == b""
    one_too_many.close()
    another.close()
    supervisor.run_until(lambda: len(supervisor.left) == 1)
    again = supervisor.connect()
    again.sendall(encode(StatusAsked()).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 1)
    for client in (*clients, again):
        client.close()


def test_closing_sends_what_is_unsent_and_does_not_wait_long_for_those_who_do_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server_module, "CLOSE_SECONDS", 0.2)
    supervisor = Supervisor(Path("s"))
    clients = [supervisor.connect() for _ in range(8)]
    for client in clients:
        client.sendall(encode(StatusAsked()).encode() + b"\n")
    supervisor.run_until(lambda: len(supervisor.requests) == 8)
    for number, _ in supervisor.requests:
        supervisor.server.send(number, "x" * (4 << 20))
    received = bytearray()

    def read() -> None:
        while data := clients[0].recv(65536):
            received.extend(data)

    thread = in_background(read)
    started = time.monotonic()
    supervisor.close()
    assert time.monotonic() - started < 20  # and not for ever
    thread.join()
    assert len(received) == (4 << 20) + 1
    for client in clients:
        client.close()
    assert supervisor.left == []
