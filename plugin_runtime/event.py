"""An event, as a plugin's author sees it."""

import json as _json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from plugin_runtime.wire.codec import decode_result_available, encode_result_available
from plugin_runtime.wire.messages import EventKind, EventMessage

if TYPE_CHECKING:
    from plugin_runtime.sink import ResultSink

__all__ = ["Event"]

_NAMES = {kind: "".join(part.capitalize() for part in kind.name.split("_")) for kind in EventKind}
_KINDS = {name: kind for kind, name in _NAMES.items()}
_ABOUT_TASK = {
    EventKind.TASK_CREATED,
    EventKind.TASK_STARTING,
    EventKind.TASK_COMPLETED,
    EventKind.TASK_FAILED,
    EventKind.TASK_CANCELED,
}
_ABOUT_SAMPLE = {EventKind.SAMPLE_STARTED, EventKind.SAMPLE_STOPPED, EventKind.SAMPLE_RESULT_PRODUCED}
_ABOUT_PLUGIN = {EventKind.PLUGIN_STARTED, EventKind.PLUGIN_STOPPED}


class Payload(Protocol):
    """The result that came with an event. Each method raises `RuntimeError` once the handler has returned."""

    def data(self) -> bytes:
        """Return all of it."""

    def path(self) -> Path:
        """Return a file that has it."""

    def results(self) -> "ResultSink":
        """Return where to push what was made of it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Make one with the methods named after its kinds.

    Attributes:
        kind: The event's name, such as ``"TaskCreated"``.
        id: The task, sample or plugin it is about; of a result the task it was pushed in. None where the event has
            none.
        source: The plugin whose result it announces, or None.
        result_name: The name of that result, or None.
        missed: How many results of `source` this process did not get since the one before, or since `source` started.
    """

    kind: str
    id: int | None = None
    source: str | None = None
    result_name: str | None = None
    missed: int = 0
    _payload: Payload | None = field(default=None, repr=False, compare=False)

    def data(self) -> bytes:
        """Return the result that came with the event, whole; within `on_event` only.

        Raises:
            RuntimeError: `on_event` has returned.
            ValueError: No result came with it: only results of plugins that are subscribed to do.
            OSError: It is in a file that cannot be read.
        """
        return self._result().data()

    def json(self) -> Any:  # noqa: ANN401 - whatever the result is
        """Return the result as the JSON that it is; raises what `data` does, and `ValueError` where it is none."""
        return _json.loads(self._result().data())

    def path(self) -> Path:
        """Return a file with the result in it, to be read and not changed; within `on_event` only.

        A result of up to 64 MiB was in memory, and is written to the file by the first call; a larger one always comes
        as a file. It goes with the event: copy what is to stay. Raises what `data` does.
        """
        return self._result().path()

    def results(self) -> "ResultSink":
        """Return where to push what was made of the result, for the plugins that subscribe to this one.

        They get it as a result of the same task. The supervisor does not keep it. Raises what `data` does.
        """
        return self._result().results()

    def _result(self) -> Payload:
        if self._payload is None:
            raise ValueError(f"no result came with {self.kind}: they come with PluginResultAvailable, when subscribed")
        return self._payload

    @staticmethod
    def task_created(task_id: int) -> "Event":
        """A task was created."""
        return Event("TaskCreated", task_id)

    @staticmethod
    def task_starting(task_id: int) -> "Event":
        """A task begins to run."""
        return Event("TaskStarting", task_id)

    @staticmethod
    def task_completed(task_id: int) -> "Event":
        """A task ended well."""
        return Event("TaskCompleted", task_id)

    @staticmethod
    def task_failed(task_id: int) -> "Event":
        """A task ended with an error."""
        return Event("TaskFailed", task_id)

    @staticmethod
    def task_canceled(task_id: int) -> "Event":
        """A task was cancelled."""
        return Event("TaskCanceled", task_id)

    @staticmethod
    def plugin_started(plugin_id: int) -> "Event":
        """A plugin is ready for tasks."""
        return Event("PluginStarted", plugin_id)

    @staticmethod
    def plugin_stopped(plugin_id: int) -> "Event":
        """A plugin ended."""
        return Event("PluginStopped", plugin_id)

    @staticmethod
    def plugin_result_available(source: str, result_name: str) -> "Event":
        """A plugin published a result."""
        return Event("PluginResultAvailable", None, source, result_name)

    @staticmethod
    def sample_started(sample_id: int) -> "Event":
        """The analysis of a sample begins."""
        return Event("SampleStarted", sample_id)

    @staticmethod
    def sample_stopped(sample_id: int) -> "Event":
        """The analysis of a sample ended."""
        return Event("SampleStopped", sample_id)

    @staticmethod
    def sample_result_produced(sample_id: int) -> "Event":
        """There is a new result for a sample."""
        return Event("SampleResultProduced", sample_id)

    @staticmethod
    def daemon_shutdown() -> "Event":
        """The supervisor is about to end."""
        return Event("DaemonShutdown")

    @staticmethod
    def config_reloaded() -> "Event":
        """The supervisor read its configuration again."""
        return Event("ConfigReloaded")

    def to_message(self) -> EventMessage:
        """Return what goes over the wire.

        Raises:
            ValueError: `kind` is not the name of an event.
        """
        kind = _KINDS.get(self.kind)
        if kind is None:
            raise ValueError(f"{self.kind!r} is no event; make events with Event.task_created and its like")
        payload = encode_result_available(self.source or "", self.result_name or "") if self.result_name else b""
        if kind in _ABOUT_PLUGIN:
            return EventMessage(kind, source_plugin_id=self.id or 0)
        return EventMessage(kind, associated_id=self.id or 0, payload=payload)

    @staticmethod
    def from_message(message: EventMessage) -> "Event":
        """Return what an author sees of a message.

        Raises:
            ProtocolError: Its payload makes no sense.
        """
        kind = message.kind
        source, result_name = None, None
        if kind is EventKind.PLUGIN_RESULT_AVAILABLE:
            named = decode_result_available(message.payload)
            source, result_name = named or (None, None)
        about: int | None = None
        if kind in _ABOUT_TASK or kind in _ABOUT_SAMPLE:
            about = message.associated_id
        elif kind in _ABOUT_PLUGIN:
            about = message.source_plugin_id
        return Event(_NAMES[kind], about, source, result_name)
