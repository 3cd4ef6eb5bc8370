"""The plugin's loop: wait, receive, decode, hand to the handlers; it stays responsive while they run."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from plugin_runtime.channel import TaskChannel
from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import MalboxError, ProtocolError
from plugin_runtime.event import Event
from plugin_runtime.handlers import Handlers, HandlerThread, report_to_stderr
from plugin_runtime.health_desk import HealthDesk, reply
from plugin_runtime.jobs import Fatal, PluginJobs
from plugin_runtime.lifecycle import LifecycleEvent, LifecycleState, next_state
from plugin_runtime.mailbox import Mailbox
from plugin_runtime.plugin import Plugin
from plugin_runtime.ports.base import IncomingRequest, PluginPorts
from plugin_runtime.wire.codec import decode_event, decode_request, encode_event, encode_result_available, error_frame
from plugin_runtime.wire.hello import encode_hello
from plugin_runtime.wire.messages import (
    Cancel,
    EventKind,
    EventMessage,
    Execute,
    HealthAnswer,
    Hello,
)
from plugin_runtime.wire.names import PluginWake

if TYPE_CHECKING:
    from plugin_runtime.publishing import ResultPublisher
    from plugin_runtime.sink import ForSubscribers
    from plugin_runtime.subscribing import Arrived, Subscriptions

__all__ = ["Outside", "PluginLoop"]

SAFETY_NET_SECONDS = 0.5
"""How long the loop waits at most before it looks at every channel again."""

OWN_SAFETY_NET_SECONDS = 30.0
"""The same under a supervisor of ours, which rings for all it sends and whose end is seen too.

Each look costs an idle machine some 300 µs.
"""

GRACE_WITHOUT_SUPERVISOR_SECONDS = 1.0
"""How long a handler and `on_stop` may take once nobody is left to wait for them."""

LAST_FRAME_SECONDS = 1.0
"""How long a plugin that is to stop waits for room for the frame that ends its task."""

STOP, SOURCE = int(PluginWake.STOP), int(PluginWake.SOURCE)
STOPPING = "the plugin is stopping"


@dataclass(frozen=True, slots=True)
class EventHandled:
    """A result of another plugin was looked at: there is room for the next one."""


class Outside(Protocol):
    """What the loop asks on its turns about the world beside its ports; the answers end its wait."""

    def stop_asked(self) -> bool:
        """Whether a signal asked the plugin to stop."""

    def supervisor_ended(self) -> bool:
        """Whether the supervisor's process has ended."""


class PluginLoop:
    """Joins a plugin to its ports until it is told to stop.

    Args:
        plugin: Whose handlers to run.
        ports: The way to the supervisor; the loop's thread is the one that made them.
        environment: What the process was told.
        hello: What to say of the plugin once it is ready.
    """

    def __init__(self, plugin: Plugin, ports: PluginPorts, environment: PluginEnvironment, hello: Hello) -> None:
        self._ports = ports
        self._environment = environment
        self._hello = hello
        self._state = LifecycleState.STARTING
        self._handlers = _handlers_for(environment.concurrency)
        self._inbox: Mailbox[LifecycleEvent | Fatal | EventHandled] = Mailbox()
        self._publisher: ResultPublisher | None = None
        self._subscriptions: Subscriptions | None = None
        # Loaded only where plugins get each other's results: the others need not wait for it when they start.
        if environment.listeners:
            from plugin_runtime import publishing

            self._publisher = publishing.ResultPublisher(ports, environment.listeners, self._announce_result)
        if environment.sources:
            from plugin_runtime import subscribing

            self._subscriptions = subscribing.Subscriptions(ports, environment.sources, report_to_stderr)
        self._jobs = PluginJobs(
            plugin, self._handlers, environment, self._publish, self._inbox.put, subscribers=self._publisher
        )
        self._onward: ForSubscribers | None = self._publisher
        self._health = HealthDesk(plugin, self._handlers)
        self._channels: dict[int, TaskChannel] = {}
        self._runs_many = environment.concurrency > 1
        self._changed = None if self._runs_many else threading.Condition(threading.Lock())
        self._early_events: list[Event] = []
        self._to_submit: list[tuple[Callable[[Callable[[], None]], None], Callable[[], None]]] = []
        self._safety_net = OWN_SAFETY_NET_SECONDS if environment.supervisor_knows_extensions else SAFETY_NET_SECONDS
        self._beat_at: float | None = None
        self._give_up_at: float | None = None
        self._failed = False
        self._stop_rang = False

    @property
    def state(self) -> LifecycleState:
        """Where the process stands."""
        return self._state

    @property
    def handlers_are_running(self) -> bool:
        """Whether the handlers' thread has not ended: a handler that does not return still runs on it."""
        return self._handlers.is_running

    def run(self, outside: Outside | None = None) -> int:
        """Run until the plugin has stopped, and return the exit code: 0, or 1 where it could not do its work.

        Raises:
            TransportError: The ports failed.
        """
        self._ports.watch(self._inbox.fd)
        self._handlers.start()
        self._handlers.submit(self._jobs.start)
        patience = 0.0
        try:
            while self._state not in (LifecycleState.STOPPED, LifecycleState.FAILED) and not self._failed:
                self._ports.wait(self._wait_time())
                rang = self._turn()
                if outside is not None:
                    self._look(outside, rang=rang)
                if self._to_submit:
                    self._submit_jobs()
                if self._beat_at is not None:
                    self._beat(self._beat_at)
                if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                    report_to_stderr("a handler did not end in time; giving up on it")
                    return 1
            give_up_at = self._give_up_at or time.monotonic() + GRACE_WITHOUT_SUPERVISOR_SECONDS
            patience = max(0.0, give_up_at - time.monotonic())
        finally:
            self._ports.unwatch(self._inbox.fd)
            self._inbox.close()
            self._handlers.finish(patience)
            if self._subscriptions is not None:
                self._subscriptions.close()
        return 0 if self._state is LifecycleState.STOPPED and self._give_up_at is None else 1

    def ask_stop(self) -> None:
        """Begin to stop: what runs is asked to end, then `on_stop` runs. Does nothing if that had begun before."""
        first = self._state in (LifecycleState.STARTING, LifecycleState.READY)
        if first:
            self._take_results(everything=True)
        self._move(LifecycleEvent.STOP_ASKED)
        if first:
            for channel in self._channels.values():
                channel.cancel(last_frame_by=time.monotonic() + LAST_FRAME_SECONDS)
            self._submit(self._jobs.stop)

    def _wait_time(self) -> float:
        if self._subscriptions is not None and self._subscriptions.has_more:
            return 0.0
        due = [at for at in (self._give_up_at, self._beat_at) if at is not None]
        return min(self._safety_net, max(0.0, min(due) - time.monotonic())) if due else self._safety_net

    def _turn(self) -> bool:
        """Deal with everything that has come; return whether the supervisor rang."""
        ports = self._ports
        wakes = ports.take_wakes()
        if wakes and self._channels:
            self._give_credits(wakes)
        if wakes and self._publisher is not None:
            self._publisher.take(wakes)
        self._read_inbox()
        if self._state is not LifecycleState.STARTING:
            while (request := ports.receive_request()) is not None:
                self._take_request(request)
        if self._subscriptions is not None:
            if SOURCE in wakes:
                self._subscriptions.join()
            self._take_results()
        while (received := ports.receive_event()) is not None:
            try:
                self._take_event(decode_event(received.header, received.payload))
            except ProtocolError as error:
                report_to_stderr(f"skipped an event of the supervisor: {error}")
        if STOP in wakes or self._stop_rang:
            self._stop_rang = False
            self.ask_stop()
        return bool(wakes)

    def _submit_jobs(self) -> None:
        """Hand on what the turn brought; the last of a turn, so that the handlers' thread finds Python's lock free."""
        for submit, job in self._to_submit:
            submit(job)
        self._to_submit.clear()

    def _submit(self, job: Callable[[], None]) -> None:
        """Have a job run in order, from the end of this turn on."""
        self._to_submit.append((self._handlers.submit, job))

    def _beat(self, due_at: float) -> None:
        """Show the supervisor that this thread is alive, where that is due again."""
        now = time.monotonic()
        if now >= due_at and self._environment.heartbeat is not None:
            self._ports.beat(self._environment.heartbeat_slot)
            self._beat_at = now + self._environment.heartbeat

    def _look(self, outside: Outside, *, rang: bool) -> None:
        """Look at the world beside the ports; at its costlier part only where the supervisor did not just show life."""
        if outside.stop_asked():
            self.ask_stop()
        if not rang and self._give_up_at is None and outside.supervisor_ended():
            self._lose_supervisor()

    def _give_credits(self, wakes: Mapping[int, int]) -> None:
        for channel in self._channels.values():
            if given := wakes.get(channel.credit_id):
                channel.give(given)

    def _read_inbox(self) -> None:
        for said in self._inbox.take_all():
            if isinstance(said, EventHandled):
                continue
            if isinstance(said, Fatal):
                report_to_stderr(said.message)
                self._failed = True
                continue
            self._move(said)
            if said is LifecycleEvent.STARTED and self._state is LifecycleState.READY:
                self._say_started()
            elif said is LifecycleEvent.STOPPED:
                self._publish(EventMessage(EventKind.PLUGIN_STOPPED))

    def _say_started(self) -> None:
        environment = self._environment
        greeting = encode_hello(self._hello) if environment.supervisor_knows_extensions else b""
        self._publish(EventMessage(EventKind.PLUGIN_STARTED, payload=greeting))
        if environment.heartbeat is not None:
            self._beat_at = time.monotonic()
        if self._publisher is not None:
            self._publisher.greet()
        for event in self._early_events:
            self._submit(partial(self._jobs.run_event, event))
        self._early_events.clear()

    def _announce_result(self, name: str) -> None:
        payload = encode_result_available(self._environment.plugin_id, name)
        self._publish(EventMessage(EventKind.PLUGIN_RESULT_AVAILABLE, payload=payload))

    def _take_results(self, *, everything: bool = False) -> None:
        """Take the results of other plugins; what comes while this one is not READY waits in shared memory."""
        if self._subscriptions is not None and self._state is LifecycleState.READY:
            for arrived in self._subscriptions.take(everything=everything):
                self._submit(partial(self._run_result, arrived))

    def _run_result(self, arrived: "Arrived") -> None:
        """Run `on_event` for a result; on the handlers' thread."""
        from plugin_runtime.payload import Onward
        from plugin_runtime.publishing import NoSubscribers

        if self._onward is None:
            self._onward = NoSubscribers(report_to_stderr)
        onward = Onward(arrived.payload, arrived.task_id, self._onward)
        try:
            self._jobs.run_event(
                Event("PluginResultAvailable", arrived.task_id, arrived.plugin, arrived.name, arrived.missed, onward)
            )
        finally:
            onward.close()
            self._inbox.put(EventHandled())

    def _publish(self, message: EventMessage) -> None:
        self._ports.publish_event(*encode_event(message))

    def _take_request(self, request: IncomingRequest) -> None:
        try:
            decoded = decode_request(request.header, request.payload)
        except ProtocolError as error:
            report_to_stderr(f"refused a request: {error}")
            self._refuse(request, f"the plugin cannot read the request: {error}")
            return
        if isinstance(decoded, Execute):
            self._take_task(request, decoded)
        elif isinstance(decoded, Cancel):
            request.close()
            if (running := self._channels.get(decoded.task_id)) is not None:
                running.cancel()
        else:
            self._take_question(request)

    def _take_task(self, request: IncomingRequest, execute: Execute) -> None:
        task_id = execute.task_id
        running = self._channels.get(task_id)
        if self._state is not LifecycleState.READY:
            self._refuse(request, STOPPING)
        elif running is not None and not running.ended:
            self._refuse(request, f"task {task_id} is running already")
        else:
            if self._runs_many:
                self._take_late_credits()
            channel = TaskChannel(request, uses_credits=self._ports.uses_credits, changed=self._changed)
            # Those that are over go here and not when they are, because this thread alone changes the table.
            self._channels = {number: other for number, other in self._channels.items() if not other.closed}
            self._channels[task_id] = channel
            self._to_submit.append((self._handlers.submit_task, partial(self._jobs.run_task, execute, channel)))

    def _take_late_credits(self) -> None:
        """Take the credits of earlier tasks before there is a new one, whose event id may be that of one of them.

        They were all rung before it was sent, and its own are not until it has sent something. What else rings
        meanwhile rings for what is drained after this.
        """
        wakes = self._ports.take_wakes()
        if wakes:
            self._give_credits(wakes)
            self._stop_rang |= STOP in wakes
            if self._publisher is not None:
                self._publisher.take(wakes)
            if self._subscriptions is not None and SOURCE in wakes:
                self._subscriptions.join()

    def _take_question(self, request: IncomingRequest) -> None:
        if self._state is not LifecycleState.READY:
            reply(request, HealthAnswer("unhealthy", STOPPING))
        elif self._health.take(request):
            self._submit(self._health.answer)

    def _refuse(self, request: IncomingRequest, reason: str) -> None:
        try:
            request.send(error_frame(request.header.task_id, reason))
        except MalboxError as error:
            report_to_stderr(f"cannot refuse a request: {error}")
        finally:
            request.close()

    def _take_event(self, message: EventMessage) -> None:
        if message.kind is EventKind.DAEMON_SHUTDOWN:
            self.ask_stop()
            return
        event = Event.from_message(message)
        self._take_results(everything=True)  # they were there before it
        if self._state is LifecycleState.STARTING:
            self._early_events.append(event)
        elif self._state is LifecycleState.READY:
            self._submit(partial(self._jobs.run_event, event))

    def _lose_supervisor(self) -> None:
        report_to_stderr(f"the supervisor (process {self._environment.supervisor_pid}) is gone; the plugin ends")
        self._give_up_at = time.monotonic() + GRACE_WITHOUT_SUPERVISOR_SECONDS
        for channel in self._channels.values():
            channel.lose_supervisor()
        self.ask_stop()

    def _move(self, event: LifecycleEvent) -> None:
        self._state = next_state(self._state, event)


def _handlers_for(concurrency: int) -> Handlers:
    if concurrency == 1:
        return HandlerThread()
    from plugin_runtime.parallel import ParallelHandlers

    return ParallelHandlers(concurrency)
