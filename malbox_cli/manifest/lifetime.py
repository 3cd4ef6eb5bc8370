"""What a plugin's table says of its life: after whom it starts, how it is watched, and when it starts again."""

from dataclasses import dataclass
from typing import cast, get_args

from malbox_cli.manifest.specs import DEFAULT_HEALTH_INTERVAL, DEFAULT_START_TIMEOUT, Restart
from malbox_cli.manifest.table import Table

__all__ = ["Lifetime", "read_lifetime"]

_SHORTEST_WATCH = 0.1  # more often, and watching a plugin would be work for it
_CODES = "an array of exit codes such as [0, 2]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """The keys as they were read; what is absent, or was found wrong, has its default.

    Attributes:
        after: The plugins that have to be READY before, as written.
        start_timeout: Seconds until READY.
        task_timeout: Seconds that a task may take; None if plugin.toml decides.
        health_interval: Seconds between two questions after its health; None: it is not asked.
        heartbeat: Seconds between two beats of its loop; None: it need not beat.
        restart: When it is started again after it ended by itself.
        success_exit_codes: The exit codes that say that all is well.
        no_restart_exit_codes: The exit codes after which it is not started again.
    """

    after: tuple[str, ...] = ()
    start_timeout: float = DEFAULT_START_TIMEOUT
    task_timeout: float | None = None
    health_interval: float | None = DEFAULT_HEALTH_INTERVAL
    heartbeat: float | None = None
    restart: Restart = "no"
    success_exit_codes: frozenset[int] = frozenset({0})
    no_restart_exit_codes: frozenset[int] = frozenset()


def read_lifetime(table: Table) -> Lifetime:
    """Return what a plugin's table says of its life, with whatever is wrong added to its findings.

    Whether the plugins in `after` exist is for whoever knows them all.
    """
    after = table.strings("after", expected='an array of plugins\' ids such as ["file-info"]')
    start_timeout = table.duration("start_timeout", example="30s")
    task_timeout = table.duration("task_timeout", example="300s")
    health_interval = table.duration("health_interval", example="30s", at_least=_SHORTEST_WATCH, may_be_off=True)
    restart = table.choice("restart", get_args(Restart))
    success, no_restart = _codes(table, "success_exit_codes"), _codes(table, "no_restart_exit_codes")
    for index, code in enumerate(no_restart):
        if code in success:
            message = f"is {code}, which stands in success_exit_codes as well; remove it from one of the two"
            table.error_in("no_restart_exit_codes", index, message)
        elif code == 0:
            message = 'is 0, which always says that all is well; remove it, and write restart = "on-failure" or "no"'
            table.error_in("no_restart_exit_codes", index, message)
    return Lifetime(
        after=after or (),
        start_timeout=DEFAULT_START_TIMEOUT if start_timeout is None else start_timeout,
        task_timeout=task_timeout,
        health_interval=DEFAULT_HEALTH_INTERVAL if health_interval is None else health_interval or None,
        heartbeat=table.duration("heartbeat", example="10s", at_least=_SHORTEST_WATCH),
        restart="no" if restart is None else cast("Restart", restart),
        success_exit_codes=frozenset({0, *success}),
        no_restart_exit_codes=frozenset(no_restart),
    )


def _codes(table: Table, key: str) -> tuple[int, ...]:
    return table.integers(key, expected=_CODES, at_least=0, at_most=255) or ()
