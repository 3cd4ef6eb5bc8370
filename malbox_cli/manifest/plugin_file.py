"""plugin.toml, read as Malbox reads it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from malbox_cli.manifest.collect_keys import read_collecting, read_log_filter
from malbox_cli.manifest.findings import Findings
from malbox_cli.manifest.specs import DEFAULT_STASH_THRESHOLD, DEFAULT_TASK_TIMEOUT, DeclaredResult
from malbox_cli.manifest.table import Table, shown
from malbox_cli.manifest.task_keys import HowTasksRun, read_how_tasks_run
from malbox_cli.manifest.unsupported import note_what_differs
from plugin_runtime.collecting import Collecting
from plugin_runtime.wire.names import MAX_NAME_BYTES, is_plugin_id

__all__ = ["PluginFile", "parse_plugin_file"]

# The regular expression that semver.org suggests.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)
_TASK_TYPES = ("file", "sample")
_RESULTS = "PluginResultAvailable"
_SUPERVISORS = ("SampleStarted", "SampleStopped", "ConfigReloaded", "DaemonShutdown")
_LEAST_THRESHOLD = 4096
_MOST = 2**63 - 1  # the largest integer of TOML

_GUEST = (
    "is 'guest': a guest plugin runs inside of a virtual machine, which malbox does not start;"
    " run it under Malbox, and remove its table from the manifest"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFile:
    """What malbox takes from a plugin.toml; None where it does not say.

    Attributes:
        name: The plugin's name.
        version: Its version.
        description: What it does.
        binary: The program, relative to the folder.
        is_guest: Whether it is a guest plugin, which has been added as an error.
        task_timeout: Seconds that a task may take.
        stash_threshold: Bytes above which a file travels as its path.
        declared_results: The results it declares, by name.
        how: What may run beside a task, and how long a process lives.
        scope: The plugins whose open tasks keep a scoped one alive, as written; empty if all that is there is wrong.
        lacks_scope: Whether it is scoped without a scope, which has been added as an error.
        log_filter: What of its log is kept; empty if it does not say.
        collect: Which files are collected when a task ends.
        results_from: The plugins whose results it wants, as written; empty: all others; None: it wants none.
    """

    name: str | None = None
    version: str | None = None
    description: str = ""
    binary: str | None = None
    is_guest: bool = False
    task_timeout: float = DEFAULT_TASK_TIMEOUT
    stash_threshold: int = DEFAULT_STASH_THRESHOLD
    declared_results: Mapping[str, DeclaredResult] = field(default_factory=dict)
    how: HowTasksRun = field(default_factory=HowTasksRun)
    scope: tuple[str, ...] | None = None
    lacks_scope: bool = False
    log_filter: str = ""
    collect: Collecting = field(default_factory=Collecting)
    results_from: tuple[str, ...] | None = None


def parse_plugin_file(document: Mapping[str, object], findings: Findings) -> PluginFile:
    """Return what a plugin.toml says, with whatever is wrong or not acted upon added to the findings."""
    top = Table(document, (), findings)
    about = top.table("plugin", example='[plugin] with name = "my-plugin"')
    runtime = top.table("runtime", example='[runtime] with execution = "sequential"')
    events = top.table("events", example='[events] with subscribe = ["TaskCompleted"]')
    scope = top.table("scope", example='[scope] with task_types = ["file"]')
    results = top.table("results", example='[results.report] with description = "..."')
    top.finish("note")

    if about is None:
        if not top.has("plugin"):
            findings.note((), "has no table [plugin]; Malbox itself needs name, version and type in it")
        about = Table({}, ("plugin",), Findings())
    else:
        missing = [key for key in ("name", "version", "type") if not about.has(key)]
        if missing:
            findings.note(("plugin",), f"says no {', no '.join(missing)}, which Malbox itself refuses")
    about.strings("authors", expected='an array of strings such as ["A. Author <a@example.org>"]')
    before = read_how_tasks_run(about)  # older releases of Malbox have these two keys here
    is_guest = about.choice("type", ("host", "guest")) == "guest"
    if is_guest:
        about.error("type", _GUEST)
    name, version = _name(about), _version(about)
    description = about.string("description", expected="a sentence", may_be_empty=True) or ""
    binary = about.string("binary", expected='the name of a program in the folder, such as "my-plugin"')
    about.finish("note")

    how = read_how_tasks_run(runtime) if runtime is not None else HowTasksRun()
    how = _together(how, before)
    collect, log_filter = Collecting(), None
    task_timeout = stash_threshold = None
    if runtime is not None:
        collect, log_filter = read_collecting(runtime), read_log_filter(runtime, is_ours=False)
        task_timeout, stash_threshold = _runtime(runtime)
    results_from = _events(events) if events is not None else None
    plugins = _scope(scope) if scope is not None else None
    lacks_scope = how.state == "scoped" and not top.has("scope")
    if lacks_scope:
        place = runtime if runtime is not None and runtime.has("state") else about
        place.error("state", "is 'scoped', which needs a table [scope]; add one or write \"persistent\"")
    note_what_differs(document, findings)
    return PluginFile(
        name=name,
        version=version,
        description=description,
        binary=binary,
        is_guest=is_guest,
        task_timeout=DEFAULT_TASK_TIMEOUT if task_timeout is None else task_timeout,
        stash_threshold=DEFAULT_STASH_THRESHOLD if stash_threshold is None else stash_threshold,
        declared_results=_results(results) if results is not None else {},
        how=how,
        scope=plugins if plugins is not None or not top.has("scope") else (),
        lacks_scope=lacks_scope,
        log_filter=log_filter or "",
        collect=collect,
        results_from=results_from,
    )


def _together(first: HowTasksRun, second: HowTasksRun) -> HowTasksRun:
    """Return what both places say; where both say something, the first counts."""
    return HowTasksRun(
        execution=first.execution or second.execution,
        state=first.state or second.state,
        wrong=first.wrong | second.wrong,
    )


def _scope(scope: Table) -> tuple[str, ...] | None:
    plugins = scope.strings("plugins", expected='an array of plugins\' names such as ["yara"]')
    for index, kind in enumerate(scope.strings("task_types", expected='an array of strings such as ["file"]') or ()):
        if kind not in _TASK_TYPES:
            scope.note_in("task_types", index, f"is {shown(kind)}, but every task of this version is one of a file")
    scope.finish("note")
    return plugins


def _name(about: Table) -> str | None:
    name = about.string("name", expected='a name such as "my-plugin"')
    if name is None or is_plugin_id(name):
        return name
    about.error("name", f"is {shown(name)}; a plugin's name has only the characters A-Z, a-z, 0-9, _ and -")
    return None


def _version(about: Table) -> str | None:
    version = about.string("version", expected='a version such as "0.1.0"')
    if version is None or _SEMVER.fullmatch(version):
        return version
    about.error("version", f'is {shown(version)}, which is not a semantic version; write one such as "0.1.0"')
    return None


def _runtime(runtime: Table) -> tuple[float | None, int | None]:
    runtime.integer("port", at_least=1024, at_most=65535, example=50051)
    task_timeout = runtime.seconds("analysis_timeout", example=int(DEFAULT_TASK_TIMEOUT))
    stash = runtime.table("stash", example="[runtime.stash] with threshold_bytes = 1048576")
    threshold = None
    if stash is not None:
        threshold = stash.integer("threshold_bytes", at_least=_LEAST_THRESHOLD, at_most=_MOST, example=1048576)
        stash.integer("ttl_secs", at_least=1, at_most=_MOST, example=120)
        stash.finish()
    runtime.finish()  # inside of [runtime] Malbox refuses what it does not know
    return task_timeout, threshold


def _events(events: Table) -> tuple[str, ...] | None:
    """Return the plugins whose results are wanted, none for all others; None where no results are."""
    wanted = events.strings("subscribe", expected=f'an array of events such as ["{_RESULTS}"]') or ()
    names: tuple[str, ...] = ()
    for index, event in enumerate(wanted):
        if event not in (_RESULTS, *_SUPERVISORS):
            what = f"is {shown(event)}; of other plugins only {_RESULTS} is passed on"
            events.note_in("subscribe", index, f"{what}, beside the supervisor's own events")
    filters = events.table("filters", example='[events.filters.TaskCompleted] with from_plugins = ["yara"]')
    for event in filters.data if filters is not None else ():
        one = filters.table(event, example='{ from_plugins = ["yara"] }') if filters is not None else None
        if one is not None:
            from_plugins = one.strings("from_plugins", expected='an array of plugins\' names such as ["yara"]')
            if event == _RESULTS:
                names = from_plugins or ()
            elif from_plugins:
                one.note("from_plugins", f"has no effect: of other plugins only {_RESULTS} is passed on")
            one.finish("note")
    events.finish("note")
    return names if _RESULTS in wanted else None


def _results(results: Table) -> dict[str, DeclaredResult]:
    declared: dict[str, DeclaredResult] = {}
    for name in results.data:
        one = results.table(name, example='{ description = "..." }')
        if one is None:
            continue
        if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
            results.error(name, f"has a name that cannot travel; a result's name has 1 to {MAX_NAME_BYTES} bytes")
        visible = one.boolean("user_visible")
        declared[name] = DeclaredResult(
            description=one.string("description", expected="a sentence", may_be_empty=True) or "",
            user_visible=True if visible is None else visible,
            display_name=one.string("display_name", expected='a heading such as "Matches"') or name,
            render=one.string("render", expected='how to show it, such as "json"', may_be_empty=True) or "",
        )
        one.finish("note")
    return declared
