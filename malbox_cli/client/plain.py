"""A supervisor, and its tasks, for who waits for answers."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from malbox_cli.client.finding import ManifestPath, location_of, owner_of
from malbox_cli.control.client import ANSWER_SECONDS, ControlClient
from malbox_cli.control.messages import Changing, ReloadDone, Submitting, SupervisorStatus
from malbox_cli.control.news import News, PluginNews
from malbox_cli.control.problems import NoSuchTask, RequestDenied, SupervisorSilent, TaskRefused
from malbox_cli.control.records import Ended, Record, Refused, Result
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.client.kept import History, KeptTask
    from malbox_cli.manifest.specs import Location
    from malbox_cli.store.ledger_rows import TaskRow
    from malbox_cli.store.task_states import TaskState
    from malbox_cli.supervisor.ownership import Owner

__all__ = ["Client", "Task", "connect"]

T = TypeVar("T")


class Task:
    """A task and the records of it that are still to come, each of which is yielded once; the last is its end.

        task = malbox.submit("yara", "sample.exe")
        for record in task:
            print(record)
        assert task.ended is not None

    One that was submitted and not detached is cancelled by `close`, by the end of a `with` around it, by that of its
    client's, and by that of this process.

    Attributes:
        number: The task's number, by which everybody knows it.
        plugin: The plugin's name.
        ended: How it ended; None until that was yielded.
    """

    def __init__(self, control: ControlClient, number: int, plugin: str, first: Record | None = None) -> None:
        self.number = number
        self.plugin = plugin
        self.ended: Ended | None = None
        self._control = control
        self._next = first
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        """Return the next record; blocks until there is one.

        Raises:
            SupervisorLost: The supervisor ended before the task did; it takes it up again when it is started.
        """
        if self._is_closed:
            raise StopIteration
        record, self._next = self._next, None
        if record is None:
            record = self._control.record()
        if isinstance(record, Ended):
            self.ended = record
            self.close()
        return record

    def wait(self) -> Ended:
        """Pass over the records that are still to come, and return how the task ended.

            assert malbox.submit("yara", "sample.exe").wait().outcome is Outcome.COMPLETED

        Raises:
            SupervisorLost: The supervisor ended before the task did.
            MalboxError: It was let go of before its end.
        """
        for _ in self:
            pass
        if self.ended is None:
            raise MalboxError(f"task {self.number} was let go of before its end: nothing more is told of it")
        return self.ended

    def cancel(self) -> None:
        """Ask for the task's end; the records go on until it has come, which takes `cancel_grace` at most.

            task.cancel()
            assert task.wait().outcome is Outcome.CANCELED

        Raises:
            SupervisorLost: The supervisor ended.
        """
        if not self._is_closed:
            self._control.cancel(self.number)

    def close(self) -> None:
        """Let go of it: one that has not ended is cancelled, unless it was detached or only followed."""
        self._is_closed = True
        self._control.close()


class Client:
    """A connection to the supervisor of a manifest; `connect` makes it. Its methods block. For one thread at a time.

        with connect("plugins.toml") as malbox:
            print([plugin.state for plugin in malbox.status().plugins])

    Any of them may raise `SupervisorLost` where the supervisor ends meanwhile, `SupervisorSilent` where it does not
    answer, and `MalboxError` where it is of another version.

    Args:
        location: The manifest's place.
        owner: Its supervisor.
        timeout: Seconds that an answer may take; None: as long as it takes. Records and news have no limit.

    Attributes:
        location: As given.
        pid: The supervisor's process.

    Raises:
        SupervisorLost: It cannot be reached.
    """

    def __init__(self, location: "Location", owner: "Owner", timeout: float | None = ANSWER_SECONDS) -> None:
        self.location = location
        self.pid = owner.pid
        self._owner = owner
        self._timeout = timeout
        self._control: ControlClient | None = ControlClient(owner, timeout)
        self._tasks: set[Task] = set()
        self._history: History | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the supervisor, and of every task; those that were submitted and not detached are cancelled."""
        for task in self._tasks:
            task.close()
        self._tasks.clear()
        if self._history is not None:
            self._history.close()
        if self._control is not None:
            self._control.close()
            self._control = None

    def status(self) -> SupervisorStatus:
        """Return how the supervisor and its plugins are.

        Example:
            ready = all(plugin.state == "READY" for plugin in malbox.status().plugins)
        """
        return self._ask(ControlClient.status)

    def submit(
        self,
        plugin: str,
        sample: str | os.PathLike[str],
        *,
        config: Mapping[str, str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
        detach: bool = False,
        wait: bool = False,
    ) -> Task:
        """Send a task, and return it once it is in the ledger, or has ended before; its records come from there.

            task = malbox.submit("file-info", "/bin/ls", config={"min_string": "8"}, timeout=60)
            results = [record for record in task if isinstance(record, Result)]

        Args:
            plugin: Its name in the manifest.
            sample: The file; a relative path is one from the current folder.
            config: What is set on top of the plugin's configuration.
            timeout: Seconds for each attempt; None for what the plugin's settings say.
            priority: From -1000 to 1000; the higher, the earlier.
            detach: Whether it goes on when it is closed, and this process ends.
            wait: Whether to wait for room in the plugin's queue where it is full.

        Raises:
            TaskRefused: There is no such plugin, its queue is full, or the supervisor takes nothing now.
        """
        path = os.path.abspath(os.fspath(sample))
        return self.send(Submitting(plugin, path, dict(config or {}), timeout, priority, detach, wait))

    def send(self, request: Submitting) -> Task:
        """Send a task that is described already; as `submit`.

        Example:
            task = malbox.send(Submitting("yara", "/bin/ls", retry_of=12))
        """
        with ExitStack() as stack:
            control = stack.enter_context(ControlClient(self._owner, self._timeout))
            control.ask(request)
            first = control.record()
            if isinstance(first, Refused):
                raise TaskRefused(first)
            stack.pop_all()  # it is the task's from here on
        return self._kept(Task(control, first.task, request.plugin, first))

    def join(self, number: int) -> Task:
        """Return an open task with the records that come from now on; closing it does not cancel it.

            malbox.join(12).cancel()

        Raises:
            RequestDenied: There is no such task, or it has ended.
        """
        with ExitStack() as stack:
            control = stack.enter_context(ControlClient(self._owner, self._timeout))
            (plugin,) = control.follow(number)
            stack.pop_all()
        return self._kept(Task(control, number, plugin))

    def follow(self, number: int) -> Iterator[Record]:
        """Yield the stream of a task from its beginning to its end, whenever one begins to look; not past progress.

            for record in malbox.follow(12):
                print(record)

        Raises:
            NoSuchTask: There is none of that number.
            MalboxError: No tasks are kept.
        """
        from malbox_cli.client.joining import news_filter
        from malbox_cli.control.replay import past_records

        kept = self._kept_tasks()
        asked_at = time.time()
        joined, denied = None, None
        if not kept.task(number).state.is_final:
            try:
                joined = self.join(number)
            except RequestDenied as error:
                denied = error
        try:
            # What comes from now on is told; what came before is read, some of it twice.
            task = kept.task(number)
            if denied is not None and not task.state.is_final:
                raise denied
            notes, results = kept.rows_of(number)
            yield from past_records(task, notes, results)
            if joined is not None and not task.state.is_final:
                is_new = news_filter(task, [note for note in notes if note.at >= asked_at], results)
                yield from filter(is_new, joined)
        finally:
            if joined is not None:
                joined.close()

    def cancel(self, number: int) -> Ended:
        """Cancel a task and wait for its end, which may be another where that came first.

            assert malbox.cancel(12).outcome is Outcome.CANCELED

        Raises:
            NoSuchTask: There is none of that number that is open or kept.
        """
        try:
            with self.join(number) as task:
                task.cancel()
                return task.wait()
        except RequestDenied as error:
            if not self.location.ledger:
                raise NoSuchTask(str(error)) from error
        *_, last = self._kept_tasks().records(number)
        if not isinstance(last, Ended):
            raise NoSuchTask(f"task {number} is not the supervisor's")
        return last

    def tasks(
        self,
        *,
        states: "Collection[TaskState]" = (),
        plugins: Collection[str] = (),
        sample: str | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> "list[TaskRow]":
        """Return tasks, the newest first; as `History.tasks`.

            for row in malbox.tasks(states=[TaskState.RUNNING]):
                print(row.task, row.plugin, row.sample)

        Raises:
            MalboxError: No tasks are kept.
        """
        kept = self._kept_tasks()
        return kept.tasks(states=states, plugins=plugins, sample=sample, since=since, before=before, limit=limit)

    def show(self, number: int) -> "KeptTask":
        """Return everything that is kept of a task.

            print(malbox.show(12).task.state)

        Raises:
            NoSuchTask: There is none of that number.
            MalboxError: No tasks are kept.
        """
        return self._kept_tasks().show(number)

    def results(self, number: int) -> list[Result]:
        """Return the results of a task's last attempt.

            names = [result.name for result in malbox.results(12)]

        Raises:
            NoSuchTask: There is none of that number.
            MalboxError: No tasks are kept.
        """
        return self._kept_tasks().results(number)

    def watch(self, give_up_at: float | None = None) -> Iterator[News]:
        """Yield how the supervisor and each plugin are, and then what changes, until the supervisor ends.

            for news in malbox.watch():
                print(news)

        Args:
            give_up_at: When to give up, by the monotonic clock; None: never.

        Raises:
            TimeoutError: That time has come.
        """
        with ControlClient(self._owner, self._timeout) as control:
            yield from control.watch(give_up_at)

    def change(self, what: Literal["start", "stop", "restart"], *plugins: str) -> tuple[str, ...]:
        """Ask for plugins to be started, stopped or restarted; return which, before that is done.

            malbox.change("restart", "yara")
            malbox.wait_ready("yara")

        Args:
            what: Which of the three.
            plugins: Their names; patterns such as ``yara-*`` too.

        Raises:
            RequestDenied: There is no such plugin, or the supervisor is stopping.
        """
        return self._ask(lambda control: control.change(Changing(what, plugins)))

    def reload(self) -> ReloadDone:
        """Have the manifest read again; return what that changes, before it is done.

            print(malbox.reload().added)

        Raises:
            RequestDenied: The manifest has problems, or changes what only a new supervisor can change.
        """
        return self._ask(ControlClient.reload)

    def wait_ready(self, *plugins: str, timeout: float | None = None) -> list[PluginNews]:
        """Wait until plugins are READY; return those that are not, and cannot become so or were not in time.

            assert not malbox.wait_ready(timeout=30)

        Args:
            plugins: Their processes' ids; none for all.
            timeout: Seconds; None: until it is clear.
        """
        from malbox_cli.client.following import TO_BE_READY, follow

        give_up_at = None if timeout is None else time.monotonic() + timeout
        followed = follow(self, plugins or None, TO_BE_READY, give_up_at)
        return [*followed.missed, *followed.waiting]

    def shut_down(self, timeout: float | None = None) -> bool:
        """Stop the supervisor, as `malbox down` does; return whether it has ended within so many seconds.

        Example:
            malbox.shut_down()
        """
        return self._ask(lambda control: control.stop(timeout))

    def _ask(self, question: Callable[[ControlClient], T]) -> T:
        if self._control is None:
            self._control = ControlClient(self._owner, self._timeout)
        try:
            return question(self._control)
        except (KeyboardInterrupt, SupervisorSilent):
            self._control.close()  # the answer would be taken for that of the next question
            self._control = None
            raise

    def _kept(self, task: Task) -> Task:
        # Those that have ended hold nothing any more.
        self._tasks = {each for each in self._tasks if each.ended is None}
        self._tasks.add(task)
        return task

    def _kept_tasks(self) -> "History":
        from malbox_cli.client.kept import History

        if self._history is None:
            self._history = History(self.location)
        return self._history


def connect(manifest: ManifestPath | None = None, *, timeout: float | None = ANSWER_SECONDS) -> Client:
    """Connect to the supervisor of a manifest, which `malbox up` or `running` started.

        with connect("plugins.toml") as malbox:
            ended = malbox.submit("file-info", "/bin/ls").wait()

    Args:
        manifest: Its file; None for the one that `MALBOX_MANIFEST` names, else ``plugins.toml``.
        timeout: Seconds that an answer may take; None: as long as it takes.

    Raises:
        ManifestError: There is no such file, or no TOML in it.
        NoSupervisor: No supervisor is running for it.
        SupervisorLost: It cannot be reached.
    """
    location = location_of(manifest)
    return Client(location, owner_of(location), timeout)
