"""What a manifest says once it is read and checked, and what can be wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from plugin_runtime.collecting import Collecting
from plugin_runtime.errors import MalboxError

__all__ = [
    "DEFAULT_CANCEL_GRACE",
    "DEFAULT_HEALTH_INTERVAL",
    "DEFAULT_QUEUE_SIZE",
    "DEFAULT_START_TIMEOUT",
    "DEFAULT_STASH_THRESHOLD",
    "DEFAULT_STATE_DIR",
    "DEFAULT_STOP_TIMEOUT",
    "DEFAULT_TASK_TIMEOUT",
    "MAX_IN_FLIGHT",
    "OWN_NAME",
    "DeclaredResult",
    "Execution",
    "JsonExpected",
    "Limits",
    "Location",
    "Manifest",
    "ManifestError",
    "PluginSpec",
    "Problem",
    "ProcessState",
    "Restart",
    "Retries",
    "Severity",
    "SmokeTest",
    "Source",
]

DEFAULT_START_TIMEOUT = 30.0
"""Seconds that a plugin has until it is READY."""

DEFAULT_STOP_TIMEOUT = 10.0
"""Seconds that a plugin has to end by itself."""

DEFAULT_TASK_TIMEOUT = 300.0
"""Seconds that a task may take; Malbox's default of ``analysis_timeout``."""

DEFAULT_HEALTH_INTERVAL = 30.0
"""Seconds between two questions after a plugin's health."""

DEFAULT_CANCEL_GRACE = 5.0
"""Seconds that a handler has to end after its task was cancelled, before its process is killed."""

DEFAULT_QUEUE_SIZE = 1000
"""Tasks that may wait for a plugin."""

MAX_IN_FLIGHT = 32
"""Tasks that one process may work on at once, however many it would take."""

DEFAULT_STASH_THRESHOLD = 1 << 20
"""Bytes above which a pushed file travels as its path; Malbox's default of ``threshold_bytes``."""

DEFAULT_STATE_DIR = ".malbox"
"""The folder of the ledger, the results and the logs, below the manifest's."""

OWN_NAME = "malbox"
"""What malbox itself is called beside its plugins, in logs and on the terminal; so no plugin may be called so."""

Severity = Literal["error", "note"]

Restart = Literal["no", "on-failure", "always"]
"""When a plugin whose process ended by itself is started again."""

Execution = Literal["exclusive", "sequential", "parallel", "unrestricted"]
"""What may run beside a task: nothing of the whole set; nothing of its process; so many others of it; any number."""

ProcessState = Literal["persistent", "ephemeral", "scoped"]
"""How long a process lives: as long as the supervisor; for one task; while tasks of its scope are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredResult:
    """A result that a plugin says it pushes.

    Attributes:
        description: What the result is, for a person.
        user_visible: Whether it is meant to be shown.
        display_name: The heading to show it under; the result's name if plugin.toml has none.
        render: How to show it, as plugin.toml puts it; empty if it does not say.
    """

    description: str = ""
    user_visible: bool = True
    display_name: str
    render: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a plugin's process may use; None: what the user may use.

    Attributes:
        memory: Bytes of memory of its own.
        cpu_time: Seconds on a processor, over its whole life.
        nofile: Open descriptors.
        procs: Processes and threads; by `prlimit` they are those of the whole user, and bind anybody but root.
    """

    memory: int | None = None
    cpu_time: int | None = None
    nofile: int | None = None
    procs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a task is tried again.

    Attributes:
        lost: After its plugin's process ended under it.
        error: After its handler raised.
    """

    lost: int = 1
    error: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A process whose results another one subscribes to.

    Attributes:
        id: Its id.
        plugin: The name of its table.
        slot: Which of its subscribers the other one is.
    """

    id: str
    plugin: str
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec:
    """One process of a plugin, ready to be started: the plugin, or with `instances` one of them.

    Attributes:
        id: The name of the manifest's table; of an instance with its number behind it: ``yara-2``.
        group: The name of the manifest's table where that is not the id; tasks are sent to it.
        name: The name in plugin.toml, else the id.
        version: The version in plugin.toml, else ``0.0.0``.
        description: What the plugin does, for a person; may be empty.
        argv: What to run; the first is the absolute path of a file that existed and could be executed.
        cwd: The folder to run it in, absolute: the plugin's, or the manifest's for a `command` without `path`.
        env: What the manifest adds to the environment, what `env_file` says included.
        inherit_env: Which variables of our own environment the plugin gets: True for all, else names, in which ``*``
            stands for anything.
        config: What `on_start` gets.
        start_timeout: Seconds until the plugin has to be READY.
        task_timeout: Seconds that one task may take; None for no limit.
        stash_threshold: Bytes above which `push_file` sends the file's path instead of its bytes.
        declared_results: What plugin.toml says of the results, by name.
        after: The plugins that have to be READY before this one is started.
        restart: When it is started again after it ended by itself.
        success_exit_codes: The exit codes that say that all is well; 0 is always one.
        no_restart_exit_codes: The exit codes after which it is not started again.
        health_interval: Seconds between two questions after its health; None: it is not asked.
        heartbeat: Seconds between two beats of its loop; None: it need not beat.
        limits: What its process may use.
        nice: What is added to the niceness of its process.
        cpus: The processors that it may run on; None for those that we may run on.
        execution: What may run beside its tasks.
        concurrency: How many tasks its process works on at once, 1 to `MAX_IN_FLIGHT`.
        state: How long its process lives.
        spare: Whether a process waits for the next task where `state` is ``ephemeral``.
        scope: The plugins, by the names of their tables, whose open tasks keep it alive where `state` is ``scoped``;
            its own do too.
        queue_size: How many tasks may wait.
        retries: How often a task is tried again.
        cancel_grace: Seconds that a handler has to end after its task was cancelled.
        log_filter: What of its log is kept, as `plugin_runtime.log_filter` reads it; empty where nobody says.
        collect: Which files are collected when a task ends.
        subscribe: The plugins, by the names of their tables, whose results it gets.
        sources: The processes of these.
        listeners: The processes that get its results.
        debugger: Where its process waits for a debugger before it does anything, as ``127.0.0.1:5678``; empty where it
            does not.
    """

    id: str
    group: str = ""
    name: str
    version: str = "0.0.0"
    description: str = ""
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    inherit_env: Literal[True] | tuple[str, ...] = True
    config: Mapping[str, str] = field(default_factory=dict)
    start_timeout: float = DEFAULT_START_TIMEOUT
    task_timeout: float | None = DEFAULT_TASK_TIMEOUT
    stash_threshold: int = DEFAULT_STASH_THRESHOLD
    declared_results: Mapping[str, DeclaredResult] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    restart: Restart = "no"
    success_exit_codes: frozenset[int] = frozenset({0})
    no_restart_exit_codes: frozenset[int] = frozenset()
    health_interval: float | None = DEFAULT_HEALTH_INTERVAL
    heartbeat: float | None = None
    limits: Limits = Limits()
    nice: int = 0
    cpus: frozenset[int] | None = None
    execution: Execution = "sequential"
    concurrency: int = 1
    state: ProcessState = "persistent"
    spare: bool = False
    scope: tuple[str, ...] = ()
    queue_size: int = DEFAULT_QUEUE_SIZE
    retries: Retries = Retries()
    cancel_grace: float = DEFAULT_CANCEL_GRACE
    log_filter: str = ""
    collect: Collecting = field(default_factory=Collecting)
    subscribe: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    listeners: tuple[str, ...] = ()
    debugger: str = ""

    @property
    def pool(self) -> str:
        """The name that tasks are sent to: that of the manifest's table."""
        return self.group or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonExpected:
    """A value that a smoke test wants in a JSON result.

    Attributes:
        key: The whole key, as written: ``report:$.verdict.score``.
        result: The result's name.
        path: Where in the result, as `json_path` reads it.
        value: What has to be there.
    """

    key: str
    result: str
    path: tuple[str | int, ...]
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest:
    """One task that `malbox smoke` runs, and what must hold of it.

    Attributes:
        plugin: The name of the plugin's table.
        name: What the test is called, once in its plugin: ``#1`` for the first where the manifest does not say.
        sample: The sample's absolute path; None where its content is in the manifest.
        data: The sample's content; None where it is a file.
        config: What is set on top of the plugin's configuration.
        results: The names that have to be among those of the results.
        json: What has to be in JSON results.
        verdict: The classification that the report has to have; None for any, or none.
        outcome: How the task has to end.
        error: What has to be in the reason why it did not end well; None for any.
        timeout: Seconds that it may take; None for what the plugin's settings say.
    """

    plugin: str
    name: str
    sample: Path | None = None
    data: bytes | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    json: tuple[JsonExpected, ...] = ()
    verdict: str | None = None
    outcome: str = "completed"
    error: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest without problems.

    Attributes:
        path: The manifest's file, absolute.
        domain: The name of the domain it asks for; None for one of its own.
        state_dir: The folder of the ledger, the results and the logs, absolute; it need not exist.
        stop_timeout: Seconds that a plugin has to end by itself.
        ledger: Whether tasks are kept on disk; otherwise they are known to the supervisor alone.
        copy_samples: Whether plugins get a copy of each sample, made when its task was taken.
        plugins: The plugins in the order of the file, each instance by itself; at least one.
        smoke: The smoke tests of all plugins, in the order of the file.
    """

    path: Path
    domain: str | None = None
    state_dir: Path
    stop_timeout: float = DEFAULT_STOP_TIMEOUT
    ledger: bool = True
    copy_samples: bool = False
    plugins: tuple[PluginSpec, ...]
    smoke: tuple[SmokeTest, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the plugins' tables, in the order of the file."""
        return tuple(dict.fromkeys(spec.pool for spec in self.plugins))

    def plugin(self, id: str) -> PluginSpec | None:  # noqa: A002 - the attribute it looks for is called so
        """Return the plugin of this id, None if there is none."""
        return next((spec for spec in self.plugins if spec.id == id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a manifest's supervisor is found, whatever else may be wrong with the manifest by now.

    Attributes:
        path: The manifest's file, absolute.
        state_dir: The folder of the ledger, the results and the logs, absolute.
        plugin_ids: The names of the plugins' tables.
        process_ids: For each of them the ids of its processes: itself, or its instances.
        ledger: Whether tasks are kept on disk.
    """

    path: Path
    state_dir: Path
    plugin_ids: tuple[str, ...]
    process_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ledger: bool = True

    @property
    def groups(self) -> Mapping[str, str]:
        """The name of its plugin's table for each process's id."""
        return {process_id: name for name, ids in self.process_ids.items() for process_id in ids}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a manifest or with a plugin.toml that it points at.

    Attributes:
        file: The file to mend, as the caller named it.
        line: The line of the statement, counted from 1; None if it concerns the file as a whole.
        where: The table or key, dotted, such as ``plugins.yara.env.RULES``; empty for the file as a whole.
        message: What is wrong and what to do, without the three above.
        severity: ``error``, or ``note`` for what is accepted but not acted upon.
    """

    file: Path
    line: int | None
    where: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        text = ": ".join(part for part in (place, self.where, self.message) if part)
        # Names come out of files that anybody may have written: no line breaks and no terminal escapes from them.
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class ManifestError(MalboxError):
    """The manifest cannot be used; its text has one line for each of its problems.

    Attributes:
        problems: All of them, at least one, in the order of the files and lines.
    """

    problems: tuple[Problem, ...]

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type["ManifestError"], tuple[tuple[Problem, ...]]]:
        return (type(self), (self.problems,))
