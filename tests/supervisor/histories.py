"""Histories of a supervisor: events in, actions out, under a clock that is handed in."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ledger_model import LedgerModel

from malbox_cli.control.records import Accepted, Ended, Outcome, Record, Result
from malbox_cli.manifest.specs import PluginSpec
from malbox_cli.store.entries import Entry, TaskEnded
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import Action, Changed, Emit, ReadSample, Say, Signal, Write
from malbox_cli.supervisor.exit_status import ExitStatus
from malbox_cli.supervisor.machine import Machine
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord
from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.chunks import Reassembler
from plugin_runtime.wire.codec import Frame, final_frame, result_frames
from plugin_runtime.wire.messages import DataFormat, Hello

A = TypeVar("A", bound=Action)
R = TypeVar("R", bound=Record)

CLIENT = 7
SHA256 = "ab" * 32
FIRST_PID = 1000


def spec(plugin_id: str, **fields: object) -> PluginSpec:
    settings: dict[str, object] = {"name": plugin_id, "argv": ("/bin/true",), "cwd": Path("/"), **fields}
    return PluginSpec(id=plugin_id, **settings)  # type: ignore[arg-type] # the caller says which fields these are


def of(kind: type[A], actions: Iterable[Action]) -> list[A]:
    return [action for action in actions if isinstance(action, kind)]


def records(kind: type[R], actions: Iterable[Action]) -> list[R]:
    return [action.record for action in of(Emit, actions) if isinstance(action.record, kind)]


def said(actions: Iterable[Action]) -> str:
    return "\n".join(f"{action.level}: {action.text}" for action in of(Say, actions))


def signals(actions: Iterable[Action]) -> list[tuple[str, int]]:
    return [(action.plugin_id, action.number) for action in of(Signal, actions)]


class History:
    """A machine, its clock, and the world around it as the reactor makes it.

    Every step checks that no task ends twice, that what is announced of a task is in the ledger before, and that no
    deadline stays behind after a tick. What goes to the ledger is in `entries`, and not among the actions.
    """

    def __init__(self, *specs: PluginSpec, stop_timeout: float = 10.0, keeps_tasks: bool = True) -> None:
        self.jitter = 1.0
        self.machine = Machine(
            specs or (spec("p"),), stop_timeout=stop_timeout, jitter=lambda: self.jitter, keeps_tasks=keeps_tasks
        )
        self.entries: list[Entry] = []
        self.ledger = LedgerModel()
        self.now = 500.0
        self.actions: list[Action] = []
        self.ended: dict[int, Ended] = {}
        self._reassemblers: dict[int, Reassembler] = {}
        self._next_pid = FIRST_PID
        self.do(events.IdsReserved(1, 1000))

    def plugin(self, plugin_id: str = "p") -> PluginRecord:
        return next(plugin for plugin in self.machine.plugins if plugin.id == plugin_id)

    def state(self, plugin_id: str = "p") -> PluginState:
        return self.plugin(plugin_id).state

    def do(self, event: events.Event) -> list[Action]:
        """Hand an event in; return what is asked for."""
        had_ended = self.machine.has_ended
        everything = self.machine.handle(event, self.now)
        self._look_at_the_ledger(everything)
        actions = [action for action in everything if not isinstance(action, Write)]
        self.actions += actions
        for action in everything:
            if isinstance(action, Write) and isinstance(action.entry, TaskEnded):
                end = action.entry
                assert not had_ended, f"{end} came after everything had ended"
                assert end.task not in self.ended, f"task {end.task} ended twice"
                outcome = Outcome[end.state.name]
                plugin = self.ledger.tasks[end.task].added.plugin
                self.ended[end.task] = Ended(end.task, plugin, outcome, end.error, end.seconds, end.partial)
        return actions

    def _look_at_the_ledger(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Write():
                    self.ledger.take(action.entry)
                    self.entries.append(action.entry)
                case Emit(record=Accepted() as record):
                    assert record.task in self.ledger.tasks
                case Emit(record=Result() as record):
                    assert (record.attempt, record.number) in self.ledger.tasks[record.task].results
                case Emit(record=Ended() as record):
                    assert self.ledger.tasks[record.task].state.name == record.outcome.name

    def of_task(self, task_id: int) -> list[str]:
        """Return what the ledger was told of a task: the kinds of entries."""
        return [type(entry).__name__ for entry in self.entries if entry.task == task_id]

    def wait(self, seconds: float) -> list[Action]:
        """Let time pass as the reactor does: a tick at every deadline, and none that leaves a deadline behind."""
        until, actions = self.now + seconds, list[Action]()
        while (deadline := self.machine.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            actions += self.do(events.Tick())
            after = self.machine.next_deadline()
            assert after is None or after > self.now, "a deadline stays in the past: the reactor would spin"
        self.now = until
        return actions

    # Plugins.

    def spawned(self, plugin_id: str = "p") -> list[Action]:
        self._next_pid += 1
        return self.do(events.Spawned(plugin_id, self._next_pid, f"nonce-{self._next_pid}"))

    def started(
        self,
        plugin_id: str = "p",
        *,
        extensions: Iterable[str] = ("cancel",),
        is_ours: bool = True,
        instance: str | None = None,
        says_hello: bool = True,
        protocol: int = 1,
    ) -> list[Action]:
        plugin = self.plugin(plugin_id)
        nonce = plugin.instance if instance is None else instance
        hello = (
            Hello(protocol, "test 1", "0.10.0", plugin_id, "1.0", nonce, frozenset(extensions)) if says_hello else None
        )
        return self.do(events.PluginStarted(plugin_id, plugin.pid or 0, is_ours, hello))

    def stopped(self, plugin_id: str = "p", *, is_ours: bool = True) -> list[Action]:
        return self.do(events.PluginStopped(plugin_id, is_ours))

    def exited(self, plugin_id: str = "p", *, code: int | None = None, signal: int | None = None) -> list[Action]:
        pid = self.plugin(plugin_id).pid
        assert pid is not None
        return self.do(events.ProcessExited(plugin_id, pid, ExitStatus(code, signal)))

    def ready(self, plugin_id: str = "p", *, says_hello: bool = True) -> "History":
        """Go on until the plugin is READY."""
        self.spawned(plugin_id)
        self.started(plugin_id, says_hello=says_hello)
        assert self.state(plugin_id) is PluginState.READY
        return self

    # Tasks.

    def submit(
        self,
        plugin_id: str = "p",
        *,
        client: int = CLIENT,
        config: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **more: Any,
    ) -> list[Action]:
        return self.do(events.Submit(client, plugin_id, "/samples/a", config or {}, timeout, **more))

    def task(self, plugin_id: str = "p", *, fingerprint: str = "", **more: Any) -> int:
        """Submit a task and read its sample; return its number."""
        (read,) = of(ReadSample, self.submit(plugin_id, **more))
        self.do(events.SampleRead(read.task_id, SHA256, 3, fingerprint))
        return read.task_id

    def frames(self, task_id: int, *frames: Frame) -> list[Action]:
        """Let a task's plugin send frames, through the reassembly that they take on their way."""
        reassembler = self._reassemblers.setdefault(task_id, Reassembler(task_id))
        actions: list[Action] = []
        for frame in frames:
            try:
                piece = reassembler.feed(frame.header, b"".join(frame.parts))
            except ProtocolError as error:
                actions += self.do(events.ResponsesBroken(task_id, str(error)))
            else:
                actions += self.do(events.TaskSaid(piece))
        return actions

    def result(self, task_id: int, name: str, data: bytes, format_: DataFormat = DataFormat.JSON) -> list[Action]:
        return self.frames(task_id, *result_frames(task_id, name, data, format_))

    def completes(self, task_id: int) -> list[Action]:
        return self.frames(task_id, final_frame(task_id))

    def stored(self, task_id: int, name: str, *, json_is_valid: bool = True) -> list[Action]:
        path = f"/results/{task_id}/{name}"
        return self.do(events.ResultStored(task_id, name, "bytes", path, 3, SHA256, json_is_valid))

    def not_stored(self, task_id: int, name: str, error: str = "No space left on device") -> list[Action]:
        return self.do(events.ResultNotStored(task_id, name, error))


def kinds(actions: Iterable[Action]) -> list[str]:
    """Return the names of the actions, without what is only said; a record has the name of its own type."""
    return [
        type(action.record if isinstance(action, Emit) else action).__name__
        for action in actions
        if not isinstance(action, Say | Changed)
    ]
