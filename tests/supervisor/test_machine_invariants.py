"""What has to be true of the machine whatever happens, in whatever order."""

from collections import deque
from dataclasses import replace
from typing import Literal

from histories import History, of, records, spec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from malbox_cli.control.records import Accepted, Ended, Refused
from malbox_cli.manifest.specs import PluginSpec, Retries
from malbox_cli.store.task_states import TaskState
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import (
    Abandon,
    Action,
    Adopt,
    Changed,
    CheckSamples,
    CleanUp,
    CloseTask,
    Emit,
    Forget,
    Grant,
    ReadSample,
    ReserveIds,
    SendTask,
    Spawn,
    StoreFile,
    StorePiece,
)
from malbox_cli.supervisor.plugin_state import TABLE, PluginState
from plugin_runtime.wire.messages import DataFormat, Piece, ResponseKind

A = spec(
    "a",
    task_timeout=20.0,
    restart="on-failure",
    heartbeat=2.0,
    execution="parallel",
    concurrency=3,
    retries=Retries(lost=2, error=1),
)
B = spec("b", start_timeout=4.0, task_timeout=None, after=("a",), health_interval=5.0, queue_size=2)
D = spec("d", after=("b",), restart="always", no_restart_exit_codes=frozenset({1}), execution="exclusive")
I1, I2 = (spec(f"i-{number}", group="i", restart="always", cancel_grace=0.5) for number in (1, 2))
E1, E2 = (spec(f"e-{number}", group="e", state="ephemeral") for number in (1, 2))
S = spec("s", state="scoped", scope=("a",), restart="on-failure")
SETS = (
    (A, B, D),
    (A, I1, I2, E1, E2),
    (D, A, S, I1),
    (E1, E2, D),
    (replace(A, restart="no"), B, replace(E1, spare=True), replace(E2, spare=True)),
    (replace(B, state="ephemeral"), A, replace(S, state="persistent"), D),
)
PLUGINS = ("a", "b", "d", "i-1", "i-2", "e-1", "e-2", "s")
POOLS = ("a", "b", "d", "i", "e", "s")
MANIFESTS = st.sampled_from(SETS)
NEXT = {state: {after for (before, _), after in TABLE.items() if before is state} for state in PluginState}
WHOLE, FIRST, MIDDLE, LAST = (True, True), (True, False), (False, False), (False, True)
JSON_DATA = st.sampled_from([b"1", b'{"progress": 0.5}', b'{"progress": 1, "warning": "w"}', b"{", b"", b"\xff", b"/f"])


class World(RuleBasedStateMachine):
    """A machine, and a world that answers its actions in any order that the reactor could."""

    tasks = Bundle("tasks")

    @initialize(specs=st.sampled_from(SETS), keeps_tasks=st.sampled_from([True, True, False]))
    def begin(self, specs: tuple[PluginSpec, ...], *, keeps_tasks: bool) -> None:
        self.history = History(*specs, stop_timeout=6.0, keeps_tasks=keeps_tasks)
        self.spawning: set[str] = set()
        self.alive: set[str] = set()
        self.adopted = {spec.id for spec in specs}
        self.open: dict[int, str] = {}
        self.reading: list[int] = []
        self.disk: deque[tuple[int, str]] = deque()
        self.accepted: set[int] = set()
        self.made: set[int] = set()
        self.over: set[tuple[int, int]] = set()
        self.checks: list[tuple[int, ...]] = []
        self.is_stuck = False

    def do(self, event: events.Event) -> list[Action]:
        before = {plugin.id: plugin.state for plugin in self.history.machine.plugins}
        actions = self.history.do(event)
        for plugin in self.history.machine.plugins:
            before.setdefault(plugin.id, PluginState.PENDING)
            was, now = before[plugin.id], plugin.state
            assert was is now or now in NEXT[was] | {later for next_ in NEXT[was] for later in NEXT[next_]}
            assert (was is now) or Changed(plugin.id) in actions
        self.look_at(actions)
        return actions

    def look_at(self, actions: list[Action]) -> None:
        accepted = {record.task for record in records(Accepted, actions)}
        for action in actions:
            match action:
                case Spawn():
                    assert action.plugin_id not in self.spawning | self.alive
                    self.spawning.add(action.plugin_id)
                    assert action.plugin_id in self.adopted
                    after = [self.history.plugin(needed).state for needed in action.spec.after]
                    good = all(state.is_up or state is PluginState.IDLE for state in after)
                    assert good or self.history.plugin(action.plugin_id).restarts.count
                case Abandon():
                    self.alive.remove(action.plugin_id)
                case Adopt():
                    assert action.plugin_id not in self.adopted
                    self.adopted.add(action.plugin_id)
                case Forget():
                    self.adopted.remove(action.plugin_id)
                    assert action.plugin_id not in self.spawning | self.alive | set(self.open.values())
                case CleanUp():
                    assert action.plugin_id not in self.open.values(), "memory is cleaned under an open stream"
                    assert action.plugin_id not in self.spawning, "memory is cleaned after the next process is spawned"
                case SendTask():
                    assert action.plugin_id in self.alive
                    assert action.task_id in self.accepted | accepted
                    assert action.task_id not in self.open
                    assert not self.is_stuck, "something is sent that cannot be written down"
                    self.open[action.task_id] = action.plugin_id
                    self.look_at_those_beside(action.plugin_id)
                case CloseTask():
                    del self.open[action.task_id]
                case CheckSamples():
                    self.checks.append(tuple(task for task, _, _ in action.samples))
                case ReserveIds():
                    self.history.do(events.IdsReserved(10**6 * len(self.made), action.count))
                case ReadSample():
                    self.reading.append(action.task_id)
                    self.made.add(action.task_id)
                case StorePiece() | StoreFile():
                    if isinstance(action, StoreFile) or action.is_last:
                        self.disk.append((action.task_id, action.name))
                case Emit():
                    self.look_at_record(action)

    def look_at_those_beside(self, plugin_id: str) -> None:
        """Hold what runs against how much may."""
        plugin = self.history.plugin(plugin_id)
        mine = [task for task, other in self.open.items() if other == plugin_id]
        at_most = plugin.spec.concurrency if plugin.hello is None or plugin.knows("parallel") else 1
        assert len(mine) <= at_most
        if plugin.spec.state == "ephemeral":
            assert plugin.served == 1
        if any("lost" in self.history.ledger.tasks[task].attempts for task in mine):
            assert len(mine) == 1, "one that is tried again has its process for itself"
        specs = {other: self.history.plugin(other).spec for other in set(self.open.values())}
        if any(each.execution == "exclusive" for each in specs.values()):
            assert len(self.open) == 1, "nothing runs beside an exclusive task"

    def look_at_record(self, action: Emit) -> None:
        record = action.record
        if isinstance(record, Refused):
            return
        if isinstance(record, Accepted):
            self.accepted.add(record.task)
        assert (action.client, record.task) not in self.over, f"{record} came after the end"
        if isinstance(record, Ended):
            self.over.add((action.client, record.task))
            assert record.task not in self.open, "a task ended whose stream is open"
        else:
            assert record.task in self.accepted

    # What can happen.

    @rule()
    def start(self) -> None:
        self.do(events.StartAsked())

    @rule(
        what=st.sampled_from(["start", "stop", "restart"]),
        asked=st.lists(st.sampled_from(PLUGINS), unique=True, min_size=1),
    )
    def ask(self, what: Literal["start", "stop", "restart"], asked: list[str]) -> None:
        there = tuple(plugin_id for plugin_id in asked if self.history.machine.plugin(plugin_id) is not None)
        self.do(events.PluginsAsked(what, there))
        for plugin_id in there:
            if what == "stop":
                state = self.history.state(plugin_id)
                assert state is PluginState.STOPPING or not state.is_up or self.history.plugin(plugin_id).to_stop

    @rule(manifest=MANIFESTS)
    def reload(self, manifest: tuple[PluginSpec, ...]) -> None:
        self.do(events.Reloaded(manifest, 6.0))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), level=st.sampled_from(["healthy", "degraded"]), jitter=st.floats(0, 1))
    def is_examined(self, data: st.DataObject, level: Literal["healthy", "degraded"], jitter: float) -> None:
        self.history.jitter = jitter
        plugin_id = data.draw(st.sampled_from(sorted(self.alive)))
        self.do(events.HealthSaid(plugin_id, level, "why"))
        self.do(events.Beat(plugin_id))

    @precondition(lambda self: self.spawning)
    @rule(data=st.data(), works=st.sampled_from([True, True, True, False]), is_transient=st.booleans())
    def spawn(self, data: st.DataObject, *, works: bool, is_transient: bool) -> None:
        plugin_id = data.draw(st.sampled_from(sorted(self.spawning)))
        self.spawning.remove(plugin_id)
        if works:
            self.alive.add(plugin_id)
            self.look_at(self.history.spawned(plugin_id))
        else:
            self.do(events.SpawnFailed(plugin_id, "no", is_transient))

    @rule(
        plugin_id=st.sampled_from(PLUGINS),
        is_ours=st.sampled_from([True, True, True, False]),
        instance=st.sampled_from([None, None, "stale", ""]),
        says_hello=st.booleans(),
    )
    def plugin_started(self, plugin_id: str, instance: str | None, *, is_ours: bool, says_hello: bool) -> None:
        is_ours = is_ours and plugin_id in self.alive
        if plugin_id not in self.adopted:
            return
        self.look_at(self.history.started(plugin_id, is_ours=is_ours, instance=instance, says_hello=says_hello))

    @rule(plugin_id=st.sampled_from(PLUGINS), is_ours=st.booleans())
    def plugin_stopped(self, plugin_id: str, *, is_ours: bool) -> None:
        if plugin_id not in self.adopted:
            return
        self.look_at(self.history.stopped(plugin_id, is_ours=is_ours))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), code=st.sampled_from([0, 0, 1, -9, -15]))
    def exit(self, data: st.DataObject, code: int) -> None:
        plugin_id = data.draw(st.sampled_from(sorted(self.alive)))
        self.end_process(plugin_id, code)

    def end_process(self, plugin_id: str, code: int) -> None:
        self.alive.remove(plugin_id)
        actions = self.history.exited(plugin_id, code=None if code < 0 else code, signal=-code if code < 0 else None)
        self.look_at(actions)
        assert len(of(CleanUp, actions)) == 1

    @rule(
        target=tasks,
        pool=st.sampled_from([*POOLS, "c"]),
        client=st.integers(1, 2),
        timeout=st.sampled_from([None, 3.0, float("inf")]),
        priority=st.sampled_from([0, 0, 1]),
        is_detached=st.booleans(),
        waits=st.booleans(),
    )
    def submit(
        self, pool: str, client: int, timeout: float | None, priority: int, *, is_detached: bool, waits: bool
    ) -> int:
        actions = self.do(events.Submit(client, pool, "/s", {}, timeout, priority, is_detached, waits))
        reads, refusals = of(ReadSample, actions), records(Refused, actions)
        assert len(reads) + len(refusals) == 1 or (waits and not actions)
        return reads[0].task_id if reads else 0

    @precondition(lambda self: self.reading)
    @rule(data=st.data(), readable=st.sampled_from([True, True, True, False]))
    def sample_read(self, data: st.DataObject, *, readable: bool) -> None:
        task = data.draw(st.sampled_from(self.reading))
        self.reading.remove(task)
        self.do(events.SampleRead(task, "00", 1, "f") if readable else events.SampleUnreadable(task, "no"))

    @precondition(lambda self: self.checks)
    @rule(data=st.data())
    def samples_are_checked(self, data: st.DataObject) -> None:
        asked = self.checks.pop()
        changed = data.draw(st.sets(st.sampled_from(asked), max_size=1))
        unchanged = tuple(task for task in asked if task not in changed)
        self.do(events.SamplesChecked(unchanged, tuple((task, "it changed") for task in changed)))

    @rule()
    def the_ledger_is_stuck_or_well(self) -> None:
        self.is_stuck = not self.is_stuck
        self.do(events.LedgerStuck("no") if self.is_stuck else events.LedgerWell())

    @rule(task=tasks, client=st.integers(1, 3))
    def follow(self, task: int, client: int) -> None:
        if task in self.accepted:
            self.do(events.FollowAsked(client, task))

    @precondition(lambda self: self.open)
    @rule(
        data=st.data(),
        kind=st.sampled_from(ResponseKind),
        format_=st.sampled_from([DataFormat.JSON, DataFormat.BYTES]),
        where=st.sampled_from([WHOLE, WHOLE, FIRST, MIDDLE, LAST]),
        content=JSON_DATA,
        is_final=st.sampled_from([False, False, False, True]),
    )
    def say(
        self,
        data: st.DataObject,
        kind: ResponseKind,
        format_: DataFormat,
        where: tuple[bool, bool],
        content: bytes,
        *,
        is_final: bool,
    ) -> None:
        task = data.draw(st.sampled_from(sorted(self.open)))
        is_final = is_final and where[1]
        piece = Piece(task, kind, format_, "n", len(content), 0, content, *where, is_final)
        actions = self.do(events.TaskSaid(piece))
        credits_given = len(of(Grant, actions)) + len(of(StorePiece, actions)) + len(of(StoreFile, actions))
        if task in self.open:
            assert credits_given == 1, "a frame gives its credit back once, now or when it is on disk"
        else:
            assert credits_given <= 1

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["completes", "broken", "not sent"]))
    def end_task(self, data: st.DataObject, how: str) -> None:
        task = data.draw(st.sampled_from(sorted(self.open)))
        match how:
            case "completes":
                final = Piece(task, ResponseKind.RESULT, DataFormat.BYTES, "", 0, 0, b"", True, True, True)
                self.do(events.TaskSaid(final))
            case "broken":
                self.do(events.ResponsesBroken(task, "no"))
            case _:
                self.do(events.SendFailed(task, "no"))
        assert task not in self.open

    @precondition(lambda self: self.disk)
    @rule(outcome=st.sampled_from(["stored", "stored", "no json", "lost"]))
    def disk_answers(self, outcome: str) -> None:
        task, name = self.disk.popleft()
        if outcome == "lost":
            self.do(events.ResultNotStored(task, name, "no"))
        else:
            self.do(events.ResultStored(task, name, "json", "/r", 1, "00", json_is_valid=outcome == "stored"))

    @rule(task=tasks)
    def cancel(self, task: int) -> None:
        self.do(events.CancelAsked(task))

    @rule(task=consumes(tasks))
    def late_news(self, task: int) -> None:
        if task in self.history.ended:
            actions = self.do(events.ResponsesBroken(task, "late")) + self.do(events.SendFailed(task, "late"))
            assert actions == []

    @rule(client=st.integers(1, 3))
    def client_leaves(self, client: int) -> None:
        self.do(events.ClientLeft(client))

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.0, 3.0, 5.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.look_at(self.history.wait(seconds))

    @rule()
    def tick_without_need(self) -> None:
        self.do(events.Tick())
        deadline = self.history.machine.next_deadline()
        assert deadline is None or deadline > self.history.now

    @rule(kill=st.sampled_from([False, False, True]))
    def stop(self, *, kill: bool) -> None:
        self.do(events.KillAsked() if kill else events.StopAsked("x"))

    @invariant()
    def it_has_ended_only_when_nothing_is_left(self) -> None:
        if self.history.machine.has_ended:
            assert not self.spawning | self.alive
            assert not self.open
            self.hold_tasks_against_the_ledger()

    def hold_tasks_against_the_ledger(self) -> None:
        """Each task has ended once, or waits there for the next supervisor."""
        left = {task for task, kept in self.history.ledger.tasks.items() if not kept.state.is_final}
        assert self.history.ended.keys() == self.made - left
        for task in left:
            kept = self.history.ledger.tasks[task]
            assert kept.state is TaskState.QUEUED
            assert kept.added.is_detached

    @invariant()
    def what_has_no_process_says_so(self) -> None:
        for plugin in self.history.machine.plugins:
            assert (plugin.pid is not None) == (plugin.id in self.alive)
            assert plugin.spawning == (plugin.id in self.spawning)

    def teardown(self) -> None:
        """Stop: with everything answered it has to end, each task exactly once."""
        self.do(events.StopAsked("the end"))
        self.look_at(self.history.wait(1000))
        while self.spawning or self.alive:
            for plugin_id in sorted(self.spawning):
                self.spawning.remove(plugin_id)
                self.alive.add(plugin_id)
                self.look_at(self.history.spawned(plugin_id))
            for plugin_id in sorted(self.alive):
                self.end_process(plugin_id, -9)
        while self.disk:
            self.disk_answers("stored")
        assert self.history.machine.has_ended
        assert self.history.machine.next_deadline() is None
        self.hold_tasks_against_the_ledger()


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
