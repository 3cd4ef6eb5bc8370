"""A supervisor, and its tasks, for asyncio: on the event loop, without a thread."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from malbox_cli.client.finding import ManifestPath, location_of, owner_of
from malbox_cli.client.following import TO_BE_READY, Pursuit
from malbox_cli.client.joining import news_filter
from malbox_cli.client.kept import History, KeptTask
from malbox_cli.control.answers import fields_of, news_in, plugins_in, record_in, reload_in, status_in
from malbox_cli.control.client import ANSWER_SECONDS
from malbox_cli.control.messages import (
    Canceling,
    Changing,
    Following,
    ReloadDone,
    Reloading,
    Request,
    StatusAsked,
    Stopping,
    Submitting,
    SupervisorStatus,
    Watching,
    encode,
)
from malbox_cli.control.news import News, PluginNews, SupervisorNews
from malbox_cli.control.problems import (
    NoSuchTask,
    RequestDenied,
    SupervisorLost,
    SupervisorSilent,
    TaskRefused,
    other_version,
)
from malbox_cli.control.records import Ended, Record, Refused, Result
from malbox_cli.control.replay import past_records
from malbox_cli.store.ledger_rows import TaskRow
from malbox_cli.store.task_states import TaskState
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.manifest.specs import Location
    from malbox_cli.supervisor.ownership import Owner

__all__ = ["AsyncClient", "AsyncTask", "connect_async"]

LINE_BYTES = 4 << 20
"""What a line of a supervisor may have: much more than a result of 64 KiB with everything in it escaped."""


class _Line:
    """A connection to a supervisor."""

    def __init__(self, owner: "Owner", timeout: float | None) -> None:
        self._owner = owner
        self._timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_open(self) -> bool:
        return self._streams is not None

    async def open(self) -> None:
        try:
            self._streams = await asyncio.open_unix_connection(self._owner.socket, limit=LINE_BYTES)
        except OSError as error:
            raise SupervisorLost(
                f"cannot reach the supervisor (process {self._owner.pid}): {error.strerror or error}"
            ) from error

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def send(self, request: Request) -> None:
        if self._streams is None:
            raise self._lost()
        try:
            self._streams[1].write(encode(request).encode() + b"\n")
            await self._streams[1].drain()
        except OSError as error:
            raise self._lost() from error

    async def receive(self) -> dict[str, Any]:
        if self._streams is None:
            raise self._lost()
        try:
            line = await self._streams[0].readline()
        except OSError as error:
            raise self._lost() from error
        except ValueError as error:
            raise other_version(error) from error
        if not line.endswith(b"\n"):
            raise self._lost()
        return fields_of(line)

    async def answer(self) -> dict[str, Any]:
        """Return what is said to a request that is answered at once."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self.receive()
        except TimeoutError as error:
            who = f"the supervisor (process {self._owner.pid})"
            raise SupervisorSilent(
                f"{who} does not answer: it is busy, was stopped, or hangs; see `malbox doctor`"
            ) from error

    def _lost(self) -> SupervisorLost:
        return SupervisorLost(f"the supervisor (process {self._owner.pid}) ended before it had answered")


class AsyncTask:
    """A task and the records of it that are still to come, each of which is yielded once; the last is its end.

        task = await malbox.submit("yara", "sample.exe")
        async for record in task:
            print(record)

    One that was submitted and not detached is cancelled by `close`, by the end of an `async with` around it, by that of
    its client's, and by that of this process.

    Attributes:
        number: The task's number, by which everybody knows it.
        plugin: The plugin's name.
        ended: How it ended; None until that was yielded.
    """

    def __init__(self, line: _Line, number: int, plugin: str, first: Record | None = None) -> None:
        self.number = number
        self.plugin = plugin
        self.ended: Ended | None = None
        self._line = line
        self._next = first
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        """Return the next record, once there is one.

        Raises:
            SupervisorLost: The supervisor ended before the task did; it takes it up again when it is started.
        """
        if self._is_closed:
            raise StopAsyncIteration
        record, self._next = self._next, None
        if record is None:
            record = record_in(await self._line.receive())
        if isinstance(record, Ended):
            self.ended = record
            self.close()
        return record

    async def wait(self) -> Ended:
        """Pass over the records that are still to come, and return how the task ended.

            ended = await task.wait()

        Raises:
            SupervisorLost: The supervisor ended before the task did.
            MalboxError: It was let go of before its end.
        """
        async for _ in self:
            pass
        if self.ended is None:
            raise MalboxError(f"task {self.number} was let go of before its end: nothing more is told of it")
        return self.ended

    async def cancel(self) -> None:
        """Ask for the task's end; the records go on until it has come, which takes `cancel_grace` at most.

            await task.cancel()
            assert (await task.wait()).outcome is Outcome.CANCELED

        Raises:
            SupervisorLost: The supervisor ended.
        """
        if not self._is_closed:
            await self._line.send(Canceling(self.number))

    def close(self) -> None:
        """Let go of it: one that has not ended is cancelled, unless it was detached or only followed."""
        self._is_closed = True
        self._line.close()


class AsyncClient:
    """A connection to the supervisor of a manifest; `connect_async` makes it. For one event loop.

        async with connect_async("plugins.toml") as malbox:
            tasks = [await malbox.submit("yara", sample) for sample in samples]
            ends = await asyncio.gather(*(task.wait() for task in tasks))

    What can be asked, what comes back and what is raised is as in `Client`, where each method has its words. Each task
    has a connection of its own. The ledger is read in place: that takes a moment, not a wait.

    Args:
        location: The manifest's place.
        owner: Its supervisor.
        timeout: Seconds that an answer may take; None: as long as it takes. Records and news have no limit.

    Attributes:
        location: As given.
        pid: The supervisor's process.
    """

    def __init__(self, location: "Location", owner: "Owner", timeout: float | None = ANSWER_SECONDS) -> None:
        self.location = location
        self.pid = owner.pid
        self._owner = owner
        self._timeout = timeout
        self._asking = asyncio.Lock()  # one question at a time: answers come in the order of the questions
        self._line = _Line(owner, timeout)
        self._tasks: set[AsyncTask] = set()
        self._history: History | None = None

    async def __aenter__(self) -> Self:
        await self._line.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.close()
        self._tasks.clear()
        if self._history is not None:
            self._history.close()
        self._line.close()
        await asyncio.sleep(0)  # closing is done by the loop

    async def status(self) -> SupervisorStatus:
        """Return how the supervisor and its plugins are.

        Example:
            status = await malbox.status()
        """
        return status_in(await self._ask(StatusAsked()))

    async def submit(
        self,
        plugin: str,
        sample: str | os.PathLike[str],
        *,
        config: Mapping[str, str] | None = None,
        timeout: float | None = None,
        priority: int = 0,
        detach: bool = False,
        wait: bool = False,
    ) -> AsyncTask:
        """Send a task, and return it once it is in the ledger; as `Client.submit`.

        Example:
            task = await malbox.submit("file-info", "/bin/ls", config={"min_string": "8"})
        """
        path = os.path.abspath(os.fspath(sample))
        return await self.send(Submitting(plugin, path, dict(config or {}), timeout, priority, detach, wait))

    async def send(self, request: Submitting) -> AsyncTask:
        """Send a task that is described already; as `submit`.

        Example:
            task = await malbox.send(Submitting("yara", "/bin/ls", retry_of=12))
        """
        line = await self._open()
        try:
            await line.send(request)
            first = record_in(await line.receive())
            if isinstance(first, Refused):
                raise TaskRefused(first)
        except BaseException:
            line.close()
            raise
        return self._kept(AsyncTask(line, first.task, request.plugin, first))

    async def join(self, number: int) -> AsyncTask:
        """Return an open task with the records that come from now on; as `Client.join`.

        Example:
            await (await malbox.join(12)).cancel()
        """
        line = await self._open()
        try:
            await line.send(Following(number))
            (plugin,) = plugins_in(await line.answer())
        except BaseException:
            line.close()
            raise
        return self._kept(AsyncTask(line, number, plugin))

    async def follow(self, number: int) -> AsyncIterator[Record]:
        """Yield the stream of a task from its beginning to its end; as `Client.follow`.

        Example:
            async for record in malbox.follow(12):
                print(record)
        """
        kept = self._kept_tasks()
        asked_at = time.time()
        joined, denied = None, None
        if not kept.task(number).state.is_final:
            try:
                joined = await self.join(number)
            except RequestDenied as error:
                denied = error
        try:
            task = kept.task(number)
            if denied is not None and not task.state.is_final:
                raise denied
            notes, results = kept.rows_of(number)
            for record in past_records(task, notes, results):
                yield record
            if joined is not None and not task.state.is_final:
                is_new = news_filter(task, [note for note in notes if note.at >= asked_at], results)
                async for record in joined:
                    if is_new(record):
                        yield record
        finally:
            if joined is not None:
                joined.close()

    async def cancel(self, number: int) -> Ended:
        """Cancel a task and wait for its end; as `Client.cancel`.

        Example:
            ended = await malbox.cancel(12)
        """
        try:
            async with await self.join(number) as task:
                await task.cancel()
                return await task.wait()
        except RequestDenied as error:
            if not self.location.ledger:
                raise NoSuchTask(str(error)) from error
        *_, last = self._kept_tasks().records(number)
        if not isinstance(last, Ended):
            raise NoSuchTask(f"task {number} is not the supervisor's")
        return last

    async def tasks(
        self,
        *,
        states: Collection[TaskState] = (),
        plugins: Collection[str] = (),
        sample: str | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[TaskRow]:
        """Return tasks, the newest first; as `History.tasks`.

        Example:
            failed = await malbox.tasks(states=[TaskState.FAILED])
        """
        kept = self._kept_tasks()
        return kept.tasks(states=states, plugins=plugins, sample=sample, since=since, before=before, limit=limit)

    async def show(self, number: int) -> KeptTask:
        """Return everything that is kept of a task; as `History.show`.

        Example:
            state = (await malbox.show(12)).task.state
        """
        return self._kept_tasks().show(number)

    async def results(self, number: int) -> list[Result]:
        """Return the results of a task's last attempt; as `History.results`.

        Example:
            names = [result.name for result in await malbox.results(12)]
        """
        return self._kept_tasks().results(number)

    async def watch(self) -> AsyncGenerator[News, None]:
        """Yield how the supervisor and each plugin are, and then what changes, until the supervisor ends.

        Example:
            async for news in malbox.watch():
                print(news)
        """
        line = await self._open()
        is_stopping = False
        try:
            await line.send(Watching())
            fields = await line.answer()
            while True:
                news = news_in(fields)
                is_stopping |= isinstance(news, SupervisorNews) and news.state == "stopping"
                yield news
                fields = await line.receive()
        except SupervisorLost:
            if not is_stopping:
                raise
        finally:
            line.close()

    async def change(self, what: Literal["start", "stop", "restart"], *plugins: str) -> tuple[str, ...]:
        """Ask for plugins to be started, stopped or restarted; as `Client.change`.

        Example:
            await malbox.change("restart", "yara")
        """
        return plugins_in(await self._ask(Changing(what, plugins)))

    async def reload(self) -> ReloadDone:
        """Have the manifest read again; as `Client.reload`.

        Example:
            print((await malbox.reload()).added)
        """
        return reload_in(await self._ask(Reloading()))

    async def wait_ready(self, *plugins: str, timeout: float | None = None) -> list[PluginNews]:
        """Wait until plugins are READY; return those that are not; as `Client.wait_ready`.

        Example:
            assert not await malbox.wait_ready(timeout=30)
        """
        pursuit = Pursuit(plugins or None, TO_BE_READY)
        told = self.watch()
        try:
            async with asyncio.timeout(timeout):
                async for news in told:
                    if pursuit.take(news):
                        break
        except TimeoutError:
            pass
        finally:
            await told.aclose()
        followed = pursuit.end(time.time())
        return [*followed.missed, *followed.waiting]

    async def shut_down(self) -> None:
        """Stop the supervisor, and wait for its end.

        Example:
            await malbox.shut_down()
        """
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(pidfd, over.set)
        try:
            async with self._asking:
                await self._line.send(Stopping())
            await over.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    async def _ask(self, request: Request) -> dict[str, Any]:
        async with self._asking:
            try:
                if not self._line.is_open:
                    await self._line.open()
                await self._line.send(request)
                return await self._line.answer()
            except (asyncio.CancelledError, SupervisorSilent):
                self._line.close()  # the answer would be taken for that of the next question
                raise

    async def _open(self) -> _Line:
        line = _Line(self._owner, self._timeout)
        await line.open()
        return line

    def _kept(self, task: AsyncTask) -> AsyncTask:
        self._tasks = {each for each in self._tasks if each.ended is None}
        self._tasks.add(task)
        return task

    def _kept_tasks(self) -> History:
        if self._history is None:
            self._history = History(self.location)
        return self._history


def connect_async(manifest: ManifestPath | None = None, *, timeout: float | None = ANSWER_SECONDS) -> AsyncClient:
    """Return a client of a manifest's supervisor, which connects in `async with`.

        async with connect_async("plugins.toml") as malbox:
            print(await malbox.status())

    Args:
        manifest: Its file; None for the one that `MALBOX_MANIFEST` names, else ``plugins.toml``.
        timeout: Seconds that an answer may take; None: as long as it takes.

    Raises:
        ManifestError: There is no such file, or no TOML in it.
        NoSupervisor: No supervisor is running for it.
    """
    location = location_of(manifest)
    return AsyncClient(location, owner_of(location), timeout)
