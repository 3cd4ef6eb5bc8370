"""What can go wrong between a command, or a program, and a supervisor; named by what to do next."""

from typing import TYPE_CHECKING

from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.control.records import Refused

__all__ = [
    "NoSuchTask",
    "NoSupervisor",
    "RequestDenied",
    "SupervisorLost",
    "SupervisorSilent",
    "TaskRefused",
    "other_version",
]


class NoSupervisor(MalboxError):
    """No supervisor is running for the manifest; the text says how to start one."""


class RequestDenied(MalboxError):
    """The supervisor does not do what was asked for; the text says why."""


class SupervisorLost(MalboxError):
    """The supervisor closed the connection before it had answered."""


class SupervisorSilent(MalboxError):
    """The supervisor lives and does not answer; the text says what to do."""


class NoSuchTask(MalboxError):
    """There is no task of that number."""


class TaskRefused(MalboxError):
    """The supervisor took no task, because its queue is full or it has no such plugin; the text says which.

    Attributes:
        record: What it said.
    """

    def __init__(self, record: "Refused") -> None:
        super().__init__(f"{record.plugin} refused the task: {record.error}")
        self.record = record


def other_version(why: object) -> MalboxError:
    """Return the error of a supervisor that says what nobody can understand."""
    return MalboxError(f"the supervisor is of another version of malbox ({why}); restart it")
