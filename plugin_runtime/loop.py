"""The plugin's loop: wait, receive, decode, hand to the handlers; it stays responsive while they run."""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plugin_runtime.channel import TaskChannel
from plugin_runtime.context import Context, TaskInfo
from plugin_runtime.environment import PluginEnvironment
from plugin_runtime.errors import MalboxError, ProtocolError, SupervisorGone, TaskCancelled, TransportError
from plugin_runtime.event import Event
from plugin_runtime.handlers import HandlerThread, describe, report_to_stderr
from plugin_runtime.lifecycle import LifecycleEvent, LifecycleState, next_state
from plugin_runtime.plugin import Plugin
from plugin_runtime.ports.base import IncomingRequest, PluginPorts
from plugin_runtime.validity import Validity
from plugin_runtime.wire.codec import Frame, decode_event, decode_request, encode_event, error_frame, final_frame
from plugin_runtime.wire.hello import encode_hello
from plugin_runtime.wire.messages import Cancel, EventKind, EventMessage, Execute, Hello
from plugin_runtime.wire.names import credit_wake

__all__ = ["PluginLoop"]

SAFETY_NET_SECONDS = 0.5
"""How long the loop waits at most before it looks at every channel again."""

GRACE_WITHOUT_SUPERVISOR_SECONDS = 1.0
"""How long a handler and `on_stop` may take once nobody is left to wait for them."""

CANCELLED_MESSAGE = "the task was cancelled"


@dataclass(frozen=True, slots=True)
class Fatal:
    """Something after which the process cannot do its work."""

    message: str


class PluginLoop:
    """Joins a plugin to its ports until it is told to stop.

    Args:
        plugin: Whose handlers to run.
        ports: The way to the supervisor; the loop's thread is the one that made them.
        environment: What the process was told.
        hello: What to say of the plugin once it is ready.
    """

    def __init__(self, plugin: Plugin, ports: PluginPorts, environment: PluginEnvironment, hello: Hello) -> None:
        self._plugin = plugin
        self._ports = ports
        self._environment = environment
        self._hello = hello
        self._state = LifecycleState.STARTING
        self._handlers = HandlerThread()
        self._channels: dict[int, TaskChannel] = {}
        self._inbox: deque[LifecycleEvent | Fatal] = deque()
        self._inbox_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._give_up_at: float | None = None
        self._failed = False

    @property
    def state(self) -> LifecycleState:
        """Where the process stands."""
        return self._state

    def run(self, supervisor_ended: Callable[[], bool] = lambda: False) -> int:
        """Run until the plugin has stopped, and return the exit code: 0, or 1 where it could not do its work.

        Args:
            supervisor_ended: Asked on every turn; once it is true the loop stops, and gives up after a short grace.
        """
        self._ports.watch(self._inbox_fd)
        self._handlers.start()
        self._handlers.submit(self._start)
        try:
            while self._state not in (LifecycleState.STOPPED, LifecycleState.FAILED) and not self._failed:
                self._ports.wait(self._wait_time())
                self._turn()
                if self._give_up_at is None:
                    if supervisor_ended():
                        self._lose_supervisor()
                elif time.monotonic() >= self._give_up_at:
                    report_to_stderr("a handler did not end in time; giving up on it")
                    return 1
        finally:
            self._ports.unwatch(self._inbox_fd)
            os.close(self._inbox_fd)
            self._inbox_fd = -1
        self._handlers.finish(GRACE_WITHOUT_SUPERVISOR_SECONDS)
        return 0 if self._state is LifecycleState.STOPPED and self._give_up_at is None else 1

    def ask_stop(self) -> bool:
        """Begin to stop: what runs is asked to end, then `on_stop` runs. Return False if that had begun before."""
        first = self._state in (LifecycleState.STARTING, LifecycleState.READY)
        self._move(LifecycleEvent.STOP_ASKED)
        if first:
            for channel in list(self._channels.values()):
                channel.cancel()
            self._handlers.submit(self._stop)
        return first

    # What the handlers' thread runs.

    def _start(self) -> None:
        try:
            self._handlers.call(self._plugin.on_start, dict(self._environment.config))
        except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
            report_to_stderr(f"on_start failed: {describe(error)}")
            self._say(LifecycleEvent.START_FAILED)
        else:
            self._say(LifecycleEvent.STARTED)

    def _stop(self) -> None:
        try:
            self._handlers.call(self._plugin.on_stop)
        except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
            report_to_stderr(f"on_stop failed: {describe(error)}")
        self._say(LifecycleEvent.STOPPED)

    def _run_task(self, execute: Execute, channel: TaskChannel) -> None:
        task_id = execute.task_id
        validity = Validity("on_task")
        extensions = self._environment.supervisor_knows_extensions
        context = Context(
            TaskInfo(task_id, Path(execute.request.sample_path), execute.request.config_dict()),
            channel,
            self,
            validity,
            file_ref_threshold=self._environment.file_ref_threshold if extensions else None,
            warnings_travel=extensions,
        )
        last: Frame | None = final_frame(task_id)
        outcome = EventKind.TASK_COMPLETED
        try:
            channel.check()
            self._handlers.call(self._plugin.on_task, context)
            if channel.cut_off is not None:
                last, outcome = error_frame(task_id, channel.cut_off), EventKind.TASK_FAILED
        except SupervisorGone:
            last = None
        except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
            if isinstance(error, TaskCancelled) and channel.cancelled:
                last, outcome = error_frame(task_id, CANCELLED_MESSAGE), EventKind.TASK_CANCELED
            else:
                last, outcome = error_frame(task_id, describe(error)), EventKind.TASK_FAILED
        finally:
            validity.end()
        try:
            if last is not None:
                channel.send_last(last)
                self._publish(EventMessage(outcome, associated_id=task_id))
        except SupervisorGone:
            pass  # the loop sees it too, and ends the process
        except TransportError as error:
            self._say(Fatal(f"cannot say how task {task_id} ended: {error}"))
        finally:
            self._channels.pop(task_id, None)

    def _run_event(self, event: Event) -> None:
        try:
            self._handlers.call(self._plugin.on_event, event)
        except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
            report_to_stderr(f"on_event({event.kind}) failed: {describe(error)}")

    def publish(self, event: Event) -> None:
        """Publish an event of this plugin; for its context."""
        self._publish(event.to_message())

    def log_warning(self, message: str) -> None:
        """Write a warning where the plugin's log goes; for its context."""
        report_to_stderr(f"warning: {message}")

    def _publish(self, message: EventMessage) -> None:
        self._ports.publish_event(*encode_event(message))

    def _say(self, what: LifecycleEvent | Fatal) -> None:
        self._inbox.append(what)
        os.eventfd_write(self._inbox_fd, 1)

    # What the loop's thread runs.

    def _wait_time(self) -> float:
        if self._give_up_at is None:
            return SAFETY_NET_SECONDS
        return min(SAFETY_NET_SECONDS, max(0.0, self._give_up_at - time.monotonic()))

    def _turn(self) -> None:
        wakes = self._ports.take_wakes()
        for channel in list(self._channels.values()):
            if given := wakes.get(credit_wake(channel.task_id)):
                channel.give(given)
        self._read_inbox()
        if self._state is not LifecycleState.STARTING:
            while (request := self._ports.receive_request()) is not None:
                self._take_request(request)
        while (received := self._ports.receive_event()) is not None:
            try:
                self._take_event(decode_event(received.header, received.payload))
            except ProtocolError as error:
                report_to_stderr(f"skipped an event of the supervisor: {error}")

    def _read_inbox(self) -> None:
        if not self._inbox:
            return
        os.eventfd_read(self._inbox_fd)
        while self._inbox:
            said = self._inbox.popleft()
            if isinstance(said, Fatal):
                report_to_stderr(said.message)
                self._failed = True
                continue
            self._move(said)
            if said is LifecycleEvent.STARTED and self._state is LifecycleState.READY:
                self._publish(EventMessage(EventKind.PLUGIN_STARTED, payload=self._greeting()))
            elif said is LifecycleEvent.STOPPED:
                self._publish(EventMessage(EventKind.PLUGIN_STOPPED))

    def _greeting(self) -> bytes:
        return encode_hello(self._hello) if self._environment.supervisor_knows_extensions else b""

    def _take_request(self, request: IncomingRequest) -> None:
        try:
            decoded = decode_request(request.header, request.payload)
        except ProtocolError as error:
            report_to_stderr(f"refused a request: {error}")
            self._refuse(request, f"the plugin cannot read the request: {error}")
            return
        if isinstance(decoded, Cancel):
            request.close()
            if (running := self._channels.get(decoded.task_id)) is not None:
                running.cancel()
        elif self._state is not LifecycleState.READY:
            self._refuse(request, "the plugin is stopping")
        elif decoded.task_id in self._channels:
            self._refuse(request, f"task {decoded.task_id} is running already")
        else:
            channel = TaskChannel(request, uses_credits=self._ports.uses_credits)
            self._channels[decoded.task_id] = channel
            self._handlers.submit(lambda: self._run_task(decoded, channel))

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
        elif self._state is LifecycleState.READY:
            event = Event.from_message(message)
            self._handlers.submit(lambda: self._run_event(event))

    def _lose_supervisor(self) -> None:
        report_to_stderr(f"the supervisor (process {self._environment.supervisor_pid}) is gone; the plugin ends")
        self._give_up_at = time.monotonic() + GRACE_WITHOUT_SUPERVISOR_SECONDS
        for channel in list(self._channels.values()):
            channel.lose_supervisor()
        self.ask_stop()

    def _move(self, event: LifecycleEvent) -> None:
        self._state = next_state(self._state, event)
