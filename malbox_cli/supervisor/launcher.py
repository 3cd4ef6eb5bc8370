"""Makes the plugins' processes, each with everything set that has to be so before its first instruction.

A program of its own, with nothing but the standard library, which the supervisor starts once: a Python started for each
plugin to do the same would cost ten times as much. It has a socket on which requests come (four bytes with the length,
the output's descriptor along with them, then JSON) and answers go (the same, without a descriptor). What it makes are
children of the supervisor, not its own, so that the supervisor reaps them, and they end with it. It has one thread:
what is forked of it may go on as it is. It ends when the socket does.
"""

import array
import ctypes
import errno
import gc
import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, NoReturn

from malbox_cli.supervisor.strays import RLIMIT_LOCKS, to_mark

SYS_CLONE = 56  # x86-64
CLONE_PARENT = 0x8000
PR_SET_PDEATHSIG = 1
HEADER_BYTES = 4
HELLO = b"+"
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def main() -> int:
    """Answer requests until the socket ends."""
    descriptor, supervisor, nonce = map(int, sys.argv[1:])
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # where it was stopped it would not see the socket's end
    _be_as_a_plugin_expects_it()
    _mark(to_mark(nonce, 0))
    gc.disable()
    gc.freeze()  # what is shared with those that are forked stays so
    # A connection that breaks is the supervisor's end too: it had something unread, our first word for one.
    with suppress(ConnectionError), socket.socket(fileno=descriptor) as channel:
        channel.set_inheritable(False)
        channel.sendall(HELLO, socket.MSG_NOSIGNAL)
        while (received := _receive(channel)) is not None:
            request, output = received
            _mark(to_mark(nonce, request["number"]))
            answer = _make(request, output, supervisor)
            _mark(to_mark(nonce, 0))
            os.close(output)
            text = json.dumps(answer).encode()
            channel.sendall(len(text).to_bytes(HEADER_BYTES, "little") + text, socket.MSG_NOSIGNAL)
    return 0


def _be_as_a_plugin_expects_it() -> None:
    """Undo what a Python, or whoever started the supervisor, did with signals: it would be handed on by exec."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _mark(mark: int) -> None:
    """Let what is forked from now on carry a mark; where the hard limit is below it, there is none."""
    with suppress(OSError, ValueError):
        resource.setrlimit(RLIMIT_LOCKS, (mark, resource.getrlimit(RLIMIT_LOCKS)[1]))


def _receive(channel: socket.socket) -> tuple[dict[str, Any], int] | None:
    """Return the next request and the descriptor that came along; None: there will be none."""
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    header, ancillary, _, _ = channel.recvmsg(HEADER_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    if not header:
        return None
    header += _read(channel, HEADER_BYTES - len(header))
    [(_, _, data)] = ancillary
    [output] = array.array("i", data)
    return json.loads(_read(channel, int.from_bytes(header, "little"))), output


def _read(channel: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = channel.recv(size)
        if not part:
            sys.exit(0)  # the supervisor has gone away in the middle of it
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _make(request: dict[str, Any], output: int, supervisor: int) -> dict[str, Any]:
    """Make a process; return its pid and, where it could not become what was asked for, which step failed and why.

    Blocks until it runs the program: the report's other end is closed by the exec.
    """
    argv = [os.fsencode(word) for word in request["argv"]]
    environment = {os.fsencode(key): os.fsencode(value) for key, value in request["environment"].items()}
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        return {"pid": None, "step": "clone", "errno": error.errno}
    pid = LIBC.syscall(SYS_CLONE, ctypes.c_ulong(CLONE_PARENT | signal.SIGCHLD), None, None, None, None)
    if pid == 0:
        _become(request, argv, environment, output, writer, supervisor)
    number = ctypes.get_errno()
    os.close(writer)
    report = os.read(reader, 256)
    os.close(reader)
    if pid < 0:
        return {"pid": None, "step": "clone", "errno": number}
    return {"pid": pid, **(json.loads(report) if report else {})}


def _become(
    request: dict[str, Any],
    argv: list[bytes],
    environment: dict[bytes, bytes],
    output: int,
    report: int,
    supervisor: int,
) -> NoReturn:
    """Turn this process, which was just forked, into the program; its standard input is the launcher's, /dev/null."""
    step = "session"
    try:
        os.setsid()
        step = "end with the supervisor"
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != supervisor:  # it was gone before it could have been the one whose end is told
            os._exit(0)
        step = "cgroup"
        if request["cgroup"]:
            _write(request["cgroup"], b"0")
        step = "output"
        os.dup2(output, 1)
        os.dup2(output, 2)
        step = "cpus"
        if request["cpus"]:
            os.sched_setaffinity(0, request["cpus"])
        step = "nice"
        if request["nice"]:
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + request["nice"])
        step = "folder"
        os.chdir(request["folder"])
        for key, number, soft, hard in request["limits"]:
            step = key
            _limit(number, soft, hard)
        step = "exec"
        os.execve(argv[0], argv, environment)
    except OSError as error:
        _report(report, step, error.errno)
    except ValueError:  # what no program can be given, such as a NUL in an argument
        _report(report, step, errno.EINVAL)
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a second launcher
        _report(report, step, errno.ENOMEM)
    os._exit(127)


def _limit(number: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(number, (soft, hard))
    except ValueError as error:  # Python's word for a hard limit that only root may raise
        raise PermissionError(errno.EPERM, "it may not be raised") from error


def _report(report: int, step: str, number: int | None) -> None:
    os.write(report, json.dumps({"step": step, "errno": number}).encode())


def _write(path: str, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
