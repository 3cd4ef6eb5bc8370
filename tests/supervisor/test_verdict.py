"""When a supervisor ends by itself, how it ends, and who is to blame."""

import pytest
from histories import spec

from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from malbox_cli.supervisor.verdict import ExitOn, Verdict, reason_to_exit, verdict

S = PluginState
OK = ExitStatus(0, None)
KILLED = ExitStatus(None, 9)


def plugin(
    name: str,
    state: PluginState,
    *,
    status: ExitStatus | None = None,
    since: float = 0,
    killed: str = "",
    restarts: int = 0,
) -> PluginRecord:
    record = PluginRecord(spec(name), state, f"is {name}", since, last_exit=status, killed=killed)
    record.restarts.count = restarts
    return record


@pytest.mark.parametrize(
    ("states", "exit_on", "why"),
    [
        ("READY FAILED", None, None),
        ("EXITED FAILED", None, "no plugin runs any more"),
        ("STOPPED FAILED", None, None),
        ("BACKOFF FAILED", None, None),
        ("PENDING FAILED", None, None),
        ("EXITED FAILED", "never", None),
        ("READY FAILED", "failure", "plugin p1 is FAILED (--exit-on failure)"),
        ("READY EXITED", "failure", None),
        ("READY EXITED", "any", "plugin p1 is EXITED (--exit-on any)"),
        ("READY FAILED", "any", "plugin p1 is FAILED (--exit-on any)"),
        ("READY STOPPED", "any", None),
        ("READY BACKOFF", "any", None),
        ("EXITED EXITED", "failure", "no plugin runs any more"),
    ],
)
def test_what_ends_a_supervisor_by_itself(states: str, exit_on: ExitOn | None, why: str | None) -> None:
    plugins = [plugin(f"p{number}", S[name]) for number, name in enumerate(states.split())]
    assert reason_to_exit(plugins, exit_on) == why


WELL = plugin("w", S.STOPPED, status=OK)
FAILED = plugin("f", S.FAILED, status=ExitStatus(3, None), since=5)
DEAD = plugin("d", S.FAILED, status=KILLED, since=4)
SKIPPED = plugin("s", S.FAILED, since=1)
CAME_BACK = plugin("c", S.STOPPED, status=OK, killed="was killed by SIGKILL (signal 9)", restarts=2)
AT_THE_STOP = plugin("t", S.STOPPED, status=KILLED, killed="was killed because it did not end within 4s")


@pytest.mark.parametrize(
    ("plugins", "signal", "by_itself", "end"),
    [
        ([WELL], None, False, Verdict(0)),
        ([WELL], 15, False, Verdict(143)),
        ([WELL, FAILED], None, False, Verdict(1, "plugin f FAILED: is f")),
        ([WELL, FAILED], None, True, Verdict(1, "plugin f FAILED: is f")),
        ([WELL, DEAD], None, False, Verdict(1, "plugin d FAILED: is d")),
        ([WELL, DEAD], None, True, Verdict(137, "plugin d FAILED: is d")),
        ([FAILED, DEAD], None, True, Verdict(137, "plugin d FAILED: is d")),
        ([SKIPPED, FAILED], None, True, Verdict(1, "plugin f FAILED: is f")),
        ([SKIPPED], None, True, Verdict(1, "plugin s FAILED: is s")),
        ([WELL, FAILED], 2, False, Verdict(130, "plugin f FAILED: is f")),
        (
            [WELL, CAME_BACK],
            None,
            False,
            Verdict(1, "plugin c was killed by SIGKILL (signal 9) (it was started again 2 times)"),
        ),
        ([AT_THE_STOP], None, False, Verdict(1, "plugin t was killed because it did not end within 4s")),
        ([AT_THE_STOP], 15, False, Verdict(143, "plugin t was killed because it did not end within 4s")),
    ],
)
def test_it_is_never_0_when_a_plugin_failed_or_was_killed_and_the_first_is_named(
    plugins: list[PluginRecord], signal: int | None, *, by_itself: bool, end: Verdict
) -> None:
    assert verdict(plugins, signal=signal, ended_by_itself=by_itself) == end
