"""What can go wrong, named by what the reader should do next and whose fault it was.

Every error that malbox raises on purpose is a `MalboxError` whose text is one sentence for a person. Two of them are
not errors of a program but requests to a handler to end, and derive from `BaseException` so that an author's
`except Exception` does not swallow them: `TaskCancelled` and `SupervisorGone`.
"""

__all__ = [
    "EnvironmentProblem",
    "MalboxError",
    "PeerGone",
    "ProtocolError",
    "ResultRefused",
    "SharedMemoryFull",
    "SupervisorGone",
    "TaskCancelled",
    "TransportError",
    "UnknownValue",
    "VersionMismatch",
]


class MalboxError(Exception):
    """The base of every error that malbox raises on purpose; its text is one sentence for a person."""


class ProtocolError(MalboxError):
    """The peer sent bytes that the protocol does not allow; the peer has to be mended."""


class UnknownValue(ProtocolError):
    """The peer sent a number that this version has no meaning for: log it and skip what carried it.

    Attributes:
        field: The header's field, such as ``request_type``.
        number: What stood in it.
    """

    def __init__(self, field: str, number: int) -> None:
        super().__init__(f"The peer sent {field} {number}, which this version of malbox does not know; it is skipped.")
        self.field = field
        self.number = number


class EnvironmentProblem(MalboxError):
    """The process was not started as a plugin, or what it was told through its environment makes no sense."""


class ResultRefused(MalboxError, ValueError):
    """A plugin pushed a result that cannot travel (its name, its data or its file); the plugin has to be mended."""


class TransportError(MalboxError):
    """iceoryx2 could not do what was asked of it."""


class VersionMismatch(TransportError):
    """The services were made by another release of iceoryx2; both sides have to use the same one."""


class SharedMemoryFull(TransportError):
    """There is no room left in shared memory; writing on would kill the process with SIGBUS."""


class PeerGone(TransportError):
    """The other side of a port is not there any more."""


class TaskCancelled(BaseException):
    """The task was cancelled: the handler is asked to end. Clean up and let it pass."""


class SupervisorGone(TaskCancelled):
    """The supervisor is not there any more, so nobody is left to take results: the handler is asked to end."""
