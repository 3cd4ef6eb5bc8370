"""Keeps a launcher: the process that makes the plugins' processes for us."""

import array
import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.supervisor.limits import Setting
from malbox_cli.supervisor.processes import (
    Child,
    SpawnError,
    end_helper,
    kill_child,
    reap_ended,
    reap_helper,
    spawn_helper,
    wait_for_end,
)
from malbox_cli.supervisor.program_file import look_at
from malbox_cli.supervisor.start_errors import is_transient, why_not_started
from malbox_cli.supervisor.strays import mark_of, own_children, to_mark

__all__ = ["Launcher"]

HEADER_BYTES = 4
START_SECONDS = 5.0
"""How long a launcher may take until it is there: it is a Python that starts while others do."""
ANSWER_SECONDS = 2.0
"""How long a request may take, which takes a millisecond or two."""
PATIENCE_SECONDS = 1.0
"""How long it may take to end once it is let go of."""
MAX_TRIES = 2
KILL_SECONDS = 0.2


class Launcher:
    """A launcher. One that was killed, or does not answer, is replaced when the next process is wanted.

    To be made and used by the thread that lives as long as the plugins should: they are killed when it ends.

    Args:
        nonce: What the mark of this run's processes begins with.

    Raises:
        SpawnError: It could not be started.
    """

    def __init__(self, nonce: int) -> None:
        self._nonce = nonce
        self._number = 0
        self._is_there = False
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    @property
    def pid(self) -> int | None:
        """The launcher's process, or None."""
        return None if self._process is None else self._process.pid

    def spawn(
        self, spec: PluginSpec, environment: Mapping[str, str], settings: Sequence[Setting], cgroup: str | None = None
    ) -> Child:
        """Start a plugin's process.

        Blocks until it runs its program, a millisecond or two; for some seconds where the launcher is stuck.

        Args:
            spec: What to run.
            environment: All of its environment.
            settings: What to set of its limits.
            cgroup: The ``cgroup.procs`` of the group that it joins.

        Raises:
            SpawnError: The program could not be started; the text says why.
        """
        request = {
            "argv": spec.argv,
            "environment": dict(environment),
            "folder": os.fspath(spec.cwd),
            "cgroup": cgroup,
            "limits": settings,
            "nice": spec.nice,
            "cpus": None if spec.cpus is None else sorted(spec.cpus),
        }
        program = spec.argv[0]
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise _error(program, error) from error
        try:
            answer = self._ask(program, request, writer)
            pid: int | None = answer["pid"]
            if "step" in answer:
                if pid is not None:
                    os.waitpid(pid, 0)  # it ends as soon as it has said so
                number = answer["errno"]
                machine = os.uname().machine
                why = why_not_started(spec, answer["step"], number, os.strerror(number), look_at(program), machine)
                raise SpawnError(why, is_transient=is_transient(number))
            assert pid is not None
            os.set_blocking(reader, False)
            return Child(pid, _pidfd_of(pid, program), reader, self._number)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def close(self) -> None:
        """Let go of the launcher, and wait for its end, which comes within a moment."""
        process, self._process = self._process, None
        if process is not None:
            self._channel.close()
            reap_helper(process, PATIENCE_SECONDS)

    def _start(self) -> None:
        ours, other = socket.socketpair()
        try:
            arguments = [str(number) for number in (other.fileno(), os.getpid(), self._nonce)]
            self._process = spawn_helper("launcher", arguments, other.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            other.close()
        self._channel, self._is_there = ours, False

    def _ask(self, program: str, request: dict[str, Any], output: int) -> dict[str, Any]:
        """Return the launcher's answer; one that gives none is replaced, and the next one asked."""
        problem: OSError | None = None
        for _ in range(MAX_TRIES):
            self._number += 1
            try:
                if self._process is None:
                    self._start()
                return self._exchange(json.dumps({**request, "number": self._number}).encode(), output)
            except SpawnError as error:
                raise SpawnError(f"cannot start {program}: {error}", is_transient=error.is_transient) from error
            except OSError as error:
                problem = error
                self._end()
        why = f"cannot start {program}: the process that starts the plugins does not answer"
        raise SpawnError(why, is_transient=True) from problem

    def _exchange(self, text: bytes, output: int) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            OSError: The launcher is gone, or does not answer in time.
        """
        if not self._is_there:
            self._read(1, time.monotonic() + START_SECONDS)
            self._is_there = True
        give_up_at = time.monotonic() + ANSWER_SECONDS
        self._channel.settimeout(ANSWER_SECONDS)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [output]))]
        message = len(text).to_bytes(HEADER_BYTES, "little") + text
        sent = self._channel.sendmsg([message], rights)
        self._channel.sendall(message[sent:])
        size = int.from_bytes(self._read(HEADER_BYTES, give_up_at), "little")
        answer: dict[str, Any] = json.loads(self._read(size, give_up_at))
        return answer

    def _read(self, size: int, give_up_at: float) -> bytes:
        parts = []
        while size:
            left = give_up_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._channel.settimeout(left)
            part = self._channel.recv(size)
            if not part:
                raise ConnectionResetError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _end(self) -> None:
        """Kill the launcher, and what it had begun to make: nobody knows of that."""
        process, self._process = self._process, None
        if process is None:
            return
        self._channel.close()
        end_helper(process)
        mark = to_mark(self._nonce, self._number)
        begun = [pid for pid in own_children() if mark_of(pid) == mark]
        for pid in begun:
            kill_child(pid)
        wait_for_end(begun, KILL_SECONDS)
        for pid in begun:
            reap_ended(pid)


def _pidfd_of(pid: int, program: str) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:  # nobody would see its end
        kill_child(pid)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        raise _error(program, error) from error


def _error(program: str, error: OSError) -> SpawnError:
    return SpawnError(f"cannot start {program}: {error.strerror}", is_transient=is_transient(error.errno))
