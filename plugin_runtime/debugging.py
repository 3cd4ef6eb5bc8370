"""One task under `pdb`, in the foreground of a terminal: what a plugin's program does for `malbox retry --debug`.

There is no supervisor and no shared memory: what the handlers send goes through the same checks and the same encoding
as always, and is printed. The handlers run on the main thread, where the debugger and Ctrl-C work as an author knows
them.
"""

import bdb
import json
import pdb
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from inspect import isawaitable, unwrap
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING

from plugin_runtime.artifacts import Artifacts
from plugin_runtime.channel import TaskChannel
from plugin_runtime.context import Context
from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import EnvironmentProblem
from plugin_runtime.event import Event
from plugin_runtime.handlers import describe
from plugin_runtime.plugin import Plugin
from plugin_runtime.ports.base import IncomingRequest
from plugin_runtime.validity import Validity
from plugin_runtime.wire.chunks import Reassembler
from plugin_runtime.wire.codec import Frame, decode_file_ref, decode_progress, decode_request, encode_request
from plugin_runtime.wire.headers import TaskRequestHeader
from plugin_runtime.wire.messages import DataFormat, Execute, Piece, ResponseKind, TaskRequest

if TYPE_CHECKING:
    import asyncio

__all__ = ["DebugTask", "debug"]

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
MOST_SHOWN = 2000
"""Characters of a JSON result that are shown."""


@dataclass(frozen=True, slots=True)
class DebugTask:
    """The task.

    Attributes:
        task: Its number.
        sample: Absolute path of its sample.
        config: The plugin's configuration with the sender's on top.
    """

    task: int
    sample: str
    config: Mapping[str, str]

    def to_text(self) -> str:
        """Return what `from_text` reads."""
        return json.dumps({**asdict(self), "config": dict(self.config)})

    @classmethod
    def from_text(cls, text: str) -> "DebugTask":
        """Read it.

        Raises:
            EnvironmentProblem: It makes no sense.
        """
        try:
            fields = json.loads(text)
            return cls(int(fields["task"]), str(fields["sample"]), dict(fields["config"]))
        except (ValueError, TypeError, KeyError) as error:
            raise EnvironmentProblem("MALBOX_DEBUG is not what `malbox retry --debug` sets") from error


def debug(plugin: Plugin, environment: PluginEnvironment, task: DebugTask) -> int:
    """Run a plugin from its start to its end with one task in between; return the exit code: 0 if all went well."""
    handlers = _Handlers()
    _say(f"task {task.task} of {environment.plugin_id} under pdb: n steps, c goes on, q ends it; no time limit")
    try:
        if not _is_well("on_start", lambda: handlers.call(plugin.on_start, dict(environment.config))):
            return 1
        code = _run_task(plugin, environment, task, handlers)
        return code if _is_well("on_stop", lambda: handlers.call(plugin.on_stop)) else 1
    finally:
        handlers.close()


def _run_task(plugin: Plugin, environment: PluginEnvironment, task: DebugTask, handlers: "_Handlers") -> int:
    config = tuple(task.config.items())
    header, payload = encode_request(Execute(task.task, TaskRequest(task.sample, config)))
    execute = decode_request(header, payload)
    assert isinstance(execute, Execute)
    request = _Shown(header, payload)
    validity = Validity("on_task")
    artifacts = Artifacts("", execute.task_id, environment.collect)
    context = Context(
        execute,
        TaskChannel(request, uses_credits=False),
        _Publisher(),
        validity,
        file_ref_threshold=environment.file_ref_threshold,
        warnings_travel=True,
        artifacts=artifacts,
    )
    debugger = _Debugger(plugin.on_task)
    try:
        is_well = _is_well("on_task", lambda: debugger.run_handler(handlers.call, plugin.on_task, context))
        if is_well and (left_out := artifacts.collect(context.results().collect_file)):
            context.warn(left_out)
    finally:
        artifacts.remove()
        validity.end()
    if is_well:
        _say(f"on_task returned; it pushed {request.results} result{'s' * (request.results != 1)}")
    return 0 if is_well else 1


def _is_well(what: str, call: Callable[[], object]) -> bool:
    """Call a handler; where it raises, let the author look at what is there. Return whether it did not."""
    try:
        call()
    except bdb.BdbQuit:
        _say(f"{what}: the debugger was left")
    except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
        error = error.with_traceback(_from_the_author_on(error.__traceback__))
        _say(f"{what} raised: {describe(error)}")
        _say("this is where: p shows a value, u and d walk the stack, q ends it")
        pdb.post_mortem(error.__traceback__)
    else:
        return True
    return False


def _from_the_author_on(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without our frames and the debugger's at its beginning; all of it where it has no others."""
    own = trace
    while own is not None and own.tb_frame.f_code.co_filename in (__file__, bdb.__file__):
        own = own.tb_next
    return own or trace


class _Handlers:
    """Calls handlers on this thread, async ones on the process's one event loop."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def call(self, handler: Callable[..., object], *arguments: object) -> None:
        answer = handler(*arguments)
        if isawaitable(answer):
            if self._runner is None:
                import asyncio

                self._runner = asyncio.Runner()
            self._runner.run(_awaited(answer))

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


async def _awaited(answer: Awaitable[object]) -> object:
    return await answer


class _Debugger(pdb.Pdb):
    """A debugger that stops for the first time where a handler begins, whatever calls it."""

    def __init__(self, handler: Callable[..., object]) -> None:
        super().__init__()
        self._was_left = False
        self._code: CodeType | None = getattr(unwrap(handler), "__code__", None)

    def run_handler(self, call: Callable[..., None], *arguments: object) -> None:
        """Call what calls the handler.

        Raises:
            bdb.BdbQuit: The debugger was left.
        """
        self.runcall(call, *arguments)
        if self._was_left:  # which `runcall` tells nobody
            raise bdb.BdbQuit

    def set_quit(self) -> None:
        self._was_left = True
        super().set_quit()

    def user_call(self, frame: FrameType, argument_list: None) -> None:
        if self._code is None:
            super().user_call(frame, argument_list)

    def user_line(self, frame: FrameType) -> None:
        if self._code is None or frame.f_code is self._code:
            self._code = None
            super().user_line(frame)

    def user_return(self, frame: FrameType, return_value: object) -> None:
        if self._code is None:
            super().user_return(frame, return_value)

    def user_exception(self, frame: FrameType, exc_info: _ExcInfo) -> None:
        if self._code is None:
            super().user_exception(frame, exc_info)


class _Publisher:
    """Takes what a context has for the loop that it runs in."""

    def publish(self, event: Event) -> None:
        _say(f"event {event.kind}")

    def log_warning(self, message: str) -> None:
        _say(f"warning: {message}")


class _Shown(IncomingRequest):
    """A request whose responses are printed.

    Attributes:
        results: How many results were whole.
    """

    def __init__(self, header: TaskRequestHeader, payload: bytes) -> None:
        self.header = header
        self.payload = payload
        self.results = 0
        self._reassembler = Reassembler(header.task_id)
        self._data = bytearray()

    @property
    def is_open(self) -> bool:
        return True

    def send(self, frame: Frame) -> bool:
        piece = self._reassembler.feed(frame.header, b"".join(frame.parts))
        if piece.kind is ResponseKind.PROGRESS:
            update = decode_progress(piece.data)
            _say(f"warning: {update.warning}" if update.warning else f"{update.progress:4.0%} {update.message}")
        elif piece.kind is ResponseKind.FILE_REF:
            self.results += 1
            _say(f"result {piece.name!r}: the file {decode_file_ref(piece.data)}")
        elif piece.kind is ResponseKind.RESULT:
            self._take(piece)
        return True

    def close(self) -> None:
        pass

    def _take(self, piece: Piece) -> None:
        is_json = piece.format is DataFormat.JSON
        if is_json and len(self._data) < MOST_SHOWN:
            self._data += piece.data
        if not piece.is_last:
            return
        self.results += 1
        text = self._data.decode("utf-8", "replace")
        self._data.clear()
        more = " ..." if len(text) > MOST_SHOWN else ""
        shown = f": {text[:MOST_SHOWN]}{more}" if is_json else ""
        _say(f"result {piece.name!r}, {piece.total_size} bytes{shown}")


def _say(text: str) -> None:
    """Print what is not the plugin's own, where the debugger prints too."""
    sys.stdout.write(f"[malbox] {text}\n")
    sys.stdout.flush()
