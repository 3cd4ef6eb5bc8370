"""Answers the supervisor's questions after the plugin's health."""

import threading

from plugin_runtime.errors import MalboxError, PeerGone
from plugin_runtime.handlers import Handlers, describe, last_line, report_to_stderr
from plugin_runtime.health import HealthStatus
from plugin_runtime.plugin import Plugin
from plugin_runtime.ports.base import IncomingRequest
from plugin_runtime.wire.health import health_frame
from plugin_runtime.wire.messages import HealthAnswer

__all__ = ["HealthDesk"]


class HealthDesk:
    """The questions that wait for an answer. One check answers all of them, those too that come while it runs.

    The loop's thread takes questions in, the thread on which handlers run in order answers them.

    Args:
        plugin: Whose `health_check` to run.
        handlers: The threads that it is run on.
    """

    def __init__(self, plugin: Plugin, handlers: Handlers) -> None:
        self._plugin = plugin
        self._handlers = handlers
        self._lock = threading.Lock()
        self._waiting: list[IncomingRequest] = []
        self._reported = ""

    def take(self, question: IncomingRequest) -> bool:
        """Let a question wait; return whether `answer` is to be queued: not where it is for an earlier one."""
        with self._lock:
            self._waiting.append(question)
            return len(self._waiting) == 1

    def answer(self) -> None:
        """Run the check, and answer every question that waits."""
        answer = self._check()
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for question in waiting:
            reply(question, answer)

    def _check(self) -> HealthAnswer:
        try:
            status: object = self._handlers.call(self._plugin.health_check)
        except BaseException as error:  # noqa: BLE001 - an author's exception, whatever it is
            return self._failed(f"health_check failed: {last_line(error)}", f"health_check failed: {describe(error)}")
        if isinstance(status, HealthStatus):
            self._reported = ""
            return HealthAnswer(status.level, status.reason)
        wrong = f"health_check returned {type(status).__name__}, and not what HealthStatus.Healthy() and its like make"
        return self._failed(wrong, wrong)

    def _failed(self, reason: str, log: str) -> HealthAnswer:
        """Return the answer of a check that did not do its work; log that, but not again for the same reason."""
        if reason != self._reported:
            self._reported = reason
            report_to_stderr(log)
        return HealthAnswer("unhealthy", reason)


def reply(question: IncomingRequest, answer: HealthAnswer) -> None:
    """Answer a question and let go of it; a supervisor that does not wait for it any more is no error."""
    try:
        question.send(health_frame(answer))
    except PeerGone:
        pass
    except MalboxError as error:
        report_to_stderr(f"cannot say how the plugin is: {error}")
    finally:
        question.close()
