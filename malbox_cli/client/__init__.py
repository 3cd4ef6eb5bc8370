"""malbox from Python: connect to the supervisor of a manifest, submit tasks, follow them, and look at what was found.

    from malbox_cli.client import connect, json_of, Result

    with connect("plugins.toml") as malbox:
        for record in malbox.submit("file-info", "/bin/ls"):
            if isinstance(record, Result) and record.format == "json":
                print(record.name, json_of(record))

`running` starts a supervisor where none runs, `connect_async` and `running_async` are the same for asyncio, and
`history` looks at tasks without any supervisor. The commands of `malbox` are written on this; what comes back are the
values that they print. Whatever goes wrong is a `MalboxError` whose text says what to do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malbox_cli.client.asynchronous import AsyncClient, AsyncTask, connect_async
    from malbox_cli.client.contents import content_of, json_of
    from malbox_cli.client.kept import History, KeptTask, history
    from malbox_cli.client.plain import Client, Task, connect
    from malbox_cli.client.starting import NotReady, running, running_async
    from malbox_cli.control.messages import PluginStatus, ReloadDone, Submitting, SupervisorStatus
    from malbox_cli.control.news import News, PluginNews, SupervisorNews
    from malbox_cli.control.problems import (
        NoSuchTask,
        NoSupervisor,
        RequestDenied,
        SupervisorLost,
        SupervisorSilent,
        TaskRefused,
    )
    from malbox_cli.control.records import Accepted, Ended, Outcome, Progress, Record, Refused, Result, TaskWarning
    from malbox_cli.manifest.specs import ManifestError
    from malbox_cli.store.ledger_rows import AttemptRow, NoteRow, TaskRow
    from malbox_cli.store.task_states import TaskState
    from plugin_runtime.errors import MalboxError

__all__ = [
    "Accepted",
    "AsyncClient",
    "AsyncTask",
    "AttemptRow",
    "Client",
    "Ended",
    "History",
    "KeptTask",
    "MalboxError",
    "ManifestError",
    "News",
    "NoSuchTask",
    "NoSupervisor",
    "NotReady",
    "NoteRow",
    "Outcome",
    "PluginNews",
    "PluginStatus",
    "Progress",
    "Record",
    "Refused",
    "ReloadDone",
    "RequestDenied",
    "Result",
    "Submitting",
    "SupervisorLost",
    "SupervisorNews",
    "SupervisorSilent",
    "SupervisorStatus",
    "Task",
    "TaskRefused",
    "TaskRow",
    "TaskState",
    "TaskWarning",
    "connect",
    "connect_async",
    "content_of",
    "history",
    "json_of",
    "running",
    "running_async",
]

_HOMES = {
    "malbox_cli.client.asynchronous": ("AsyncClient", "AsyncTask", "connect_async"),
    "malbox_cli.client.contents": ("content_of", "json_of"),
    "malbox_cli.client.kept": ("History", "KeptTask", "history"),
    "malbox_cli.client.plain": ("Client", "Task", "connect"),
    "malbox_cli.client.starting": ("NotReady", "running", "running_async"),
    "malbox_cli.control.messages": ("PluginStatus", "ReloadDone", "Submitting", "SupervisorStatus"),
    "malbox_cli.control.news": ("News", "PluginNews", "SupervisorNews"),
    "malbox_cli.control.problems": (
        *("NoSuchTask", "NoSupervisor", "RequestDenied", "SupervisorLost", "SupervisorSilent", "TaskRefused"),
    ),
    "malbox_cli.control.records": (
        *("Accepted", "Ended", "Outcome", "Progress", "Record", "Refused", "Result", "TaskWarning"),
    ),
    "malbox_cli.manifest.specs": ("ManifestError",),
    "malbox_cli.store.ledger_rows": ("AttemptRow", "NoteRow", "TaskRow"),
    "malbox_cli.store.task_states": ("TaskState",),
    "plugin_runtime.errors": ("MalboxError",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    # Each is imported when it is used: a command that asks for a status needs neither asyncio nor SQLite.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
