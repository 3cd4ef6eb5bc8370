"""What a handler sees of its task."""

from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Protocol

from plugin_runtime.artifacts import Artifacts
from plugin_runtime.channel import TaskChannel
from plugin_runtime.collecting import Collecting
from plugin_runtime.event import Event
from plugin_runtime.sink import ForSubscribers, ResultSink
from plugin_runtime.validity import Validity
from plugin_runtime.wire.codec import progress_frame
from plugin_runtime.wire.messages import Execute

__all__ = ["Context", "TaskInfo"]


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task, as its sender described it.

    Attributes:
        id: The task's number.
        sample_path: The file to look at. Treat it as hostile, and do not change it.
        config: The plugin's configuration with what the sender of the task set on top.
    """

    id: int
    sample_path: Path
    config: dict[str, str] = field(default_factory=dict)

    def sample_bytes(self) -> bytes:
        """Read the whole sample into memory.

        Raises:
            OSError: It cannot be read.
        """
        return self.sample_path.read_bytes()

    def config_value(self, key: str) -> str | None:
        """Return the value of a configuration key, or None."""
        return self.config.get(key)


class Publisher(Protocol):
    """What a context needs of the loop that it runs in."""

    def publish(self, event: Event) -> None:
        """Publish an event of this plugin."""

    def log_warning(self, message: str) -> None:
        """Write a warning where the plugin's log goes."""


class Context:
    """The handler's side of one task. Valid only during the handler's call: later use raises `RuntimeError`.

    Any thread of the handler may use it. Where several tasks run at once each has a context of its own. `progress`,
    `warn` and what is pushed wait while the supervisor has no room for them, a coroutine's event loop with them: one
    with much to push does that with ``await asyncio.to_thread(...)``.
    """

    __slots__ = (
        *("_artifacts", "_channel", "_execute", "_progress", "_publisher", "_sink", "_task", "_validity"),
        "_warnings_travel",
    )

    def __init__(
        self,
        execute: Execute,
        channel: TaskChannel,
        publisher: Publisher,
        validity: Validity,
        *,
        file_ref_threshold: int | None,
        warnings_travel: bool,
        artifacts: Artifacts | None = None,
        subscribers: ForSubscribers | None = None,
    ) -> None:
        self._artifacts = artifacts or Artifacts("", execute.task_id, Collecting())
        self._execute = execute
        self._task: TaskInfo | None = None
        self._channel = channel
        self._publisher = publisher
        self._validity = validity
        self._warnings_travel = warnings_travel
        self._progress = 0.0
        self._sink = ResultSink(
            channel,
            validity,
            file_ref_threshold=file_ref_threshold,
            taken=self._artifacts.take,
            subscribers=subscribers,
        )

    @property
    def cancelled(self) -> bool:
        """Whether the task was asked to end; nobody waits for its results any more."""
        self._validity.check()
        return self._channel.notice()

    def raise_if_cancelled(self) -> None:
        """Return if the task may go on.

        Raises:
            TaskCancelled: It was cancelled. It is no `Exception`; let it pass.
        """
        self._validity.check()
        self._channel.check()

    def task(self) -> TaskInfo:
        """Return the task."""
        self._validity.check()
        if self._task is None:
            request = self._execute.request
            self._task = TaskInfo(self._execute.task_id, Path(request.sample_path), request.config_dict())
        return self._task

    def results(self) -> ResultSink:
        """Return where results go."""
        self._validity.check()
        return self._sink

    def progress(self, pct: float, message: str) -> None:
        """Say how far the task is.

        Args:
            pct: A fraction, clamped to 0.0..1.0.
            message: A line for a person.

        Raises:
            TaskCancelled: The task was cancelled.
        """
        self._validity.check()
        frame = progress_frame(self._channel.task_id, pct, message)
        self._progress = min(max(pct, 0.0), 1.0)
        self._channel.send(frame)

    def warn(self, message: str) -> None:
        """Warn whoever sent the task; it does not end it.

        Raises:
            TaskCancelled: The task was cancelled.
        """
        self._validity.check()
        if self._warnings_travel:
            self._channel.send(progress_frame(self._channel.task_id, self._progress, message, warning=True))
        else:
            self._publisher.log_warning(message)

    def emit_event(self, event: Event) -> None:
        """Publish an event on this plugin's event channel, for the supervisor and the plugins that subscribed."""
        self._validity.check()
        self._publisher.publish(event)

    @property
    def artifact_dir(self) -> Path:
        """A folder for the files of this task alone, made when it is first asked for.

        What is in it when the handler has returned becomes results, called ``artifacts/`` and the path in the folder,
        and then the folder is removed; plugin.toml says which files are wanted, and how large they may be.

        Raises:
            OSError: It cannot be made.
        """
        self._validity.check()
        return self._artifacts.folder

    def mark_collected(self, path: str | PathLike[str]) -> None:
        """Say that a file, or everything in a folder, was taken care of, so that nothing collects it again."""
        self._validity.check()
        self._artifacts.take(fspath(path))
