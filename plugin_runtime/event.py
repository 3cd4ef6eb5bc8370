"""An event, as a plugin's author sees it."""

from dataclasses import dataclass

from plugin_runtime.wire.codec import decode_result_available, encode_result_available
from plugin_runtime.wire.messages import EventKind, EventMessage

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


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Make one with the methods named after its kinds.

    Attributes:
        kind: The event's name, such as ``"TaskCreated"``.
        id: The task, sample or plugin it is about; None where the event has none.
        source: The plugin whose result it announces, or None.
        result_name: The name of that result, or None.
    """

    kind: str
    id: int | None = None
    source: str | None = None
    result_name: str | None = None

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
