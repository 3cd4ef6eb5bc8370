"""The sentence for how a process ended."""

import signal

import pytest

from malbox_cli.manifest.specs import Limits
from malbox_cli.supervisor.diagnosis import explain
from malbox_cli.supervisor.exit_status import ExitStatus


def text(
    status: ExitStatus,
    *lines: str,
    seconds: float = 60.0,
    was_ready: bool = True,
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
    note: str = "",
) -> str:
    return explain(
        status,
        seconds=seconds,
        was_ready=was_ready,
        program="/x/plugin",
        limits=limits,
        memory_note=note,
        last_lines=lines,
    )


def died(number: int) -> ExitStatus:
    return ExitStatus(None, number)


def test_without_anything_to_add_it_is_how_it_ended() -> None:
    assert text(ExitStatus(3, None)) == "exited with code 3"
    assert text(ExitStatus(3, None), was_ready=False) == "exited with code 3 before it was ready"
    assert text(died(signal.SIGTERM)) == "was killed by SIGTERM (signal 15)"
    assert text(died(40)) == "was killed by signal 40"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (ExitStatus(126, None), "may not execute it: chmod +x it"),
        (ExitStatus(127, None), "did not find the program that it should run: install it, or correct its PATH"),
        (died(signal.SIGILL), "use a build for this processor"),
        (died(signal.SIGSEGV), "what runs on plugin_runtime has logged where"),
        (died(signal.SIGBUS), "shared memory is full, most likely (see `df /dev/shm`)"),
        (died(signal.SIGSYS), "a sandbox (seccomp) forbids a system call"),
        (died(signal.SIGABRT), "its last lines say why"),
        (died(signal.SIGKILL), "somebody else killed it, or the kernel for want of memory (see `dmesg`)"),
        (died(signal.SIGFPE), "divided an integer by zero"),
        (died(signal.SIGXCPU), "it used up its cpu_time; raise limits.cpu_time"),
    ],
)
def test_what_is_known_of_an_end_is_said_with_what_to_do(status: ExitStatus, words: str) -> None:
    assert text(status).startswith(f"{status}: ")
    assert words in text(status)
    assert text(status, was_ready=False).startswith(f"{status} before it was ready: ")


def test_what_ends_within_a_second_of_its_start_never_began() -> None:
    soon = "exited with code 1 before it was ready, within a second of its start"
    by_hand = "it printed nothing; run /x/plugin by hand to see what is wrong with it"
    assert text(ExitStatus(1, None), seconds=0.2, was_ready=False) == f"{soon}: {by_hand}"
    assert text(ExitStatus(1, None), " ", seconds=0.2, was_ready=False) == f"{soon}: {by_hand}"
    assert text(ExitStatus(1, None), "no rules", seconds=0.2, was_ready=False) == soon
    assert "a fault in native code" in text(died(signal.SIGSEGV), seconds=0.2, was_ready=False)
    assert text(ExitStatus(1, None), seconds=0.2) == "exited with code 1"


def test_a_limit_that_was_reached_is_named_with_its_value() -> None:
    cpu, memory = Limits(cpu_time=90), Limits(memory=512 << 20)
    assert text(died(signal.SIGXCPU), limits=cpu).endswith(": it used up its cpu_time of 90s; raise limits.cpu_time")
    for line in ("MemoryError", "terminate called after throwing an instance of 'std::bad_alloc'"):
        ending = text(ExitStatus(1, None), line, limits=memory)
        assert ending == "exited with code 1: it reached its memory limit of 512MiB; raise limits.memory"
    assert text(ExitStatus(1, None), "MemoryError") == "exited with code 1"
    assert text(ExitStatus(0, None), "MemoryError", limits=memory) == "exited with code 0"


def test_what_the_kernel_says_comes_before_what_may_be_guessed() -> None:
    assert text(died(signal.SIGKILL), note="it ate too much") == "was killed by SIGKILL (signal 9): it ate too much"


def test_services_that_look_corrupted_to_a_program_before_it_was_ready_are_of_another_release() -> None:
    line = "my-plugin: RequestResponseOpenError(ServiceInCorruptedState)"
    assert "another release of iceoryx2" in text(ExitStatus(1, None), line, was_ready=False)
    assert "another release of iceoryx2" not in text(ExitStatus(1, None), line)
