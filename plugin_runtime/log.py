"""Logging from a plugin: Python's own `logging`, to standard error, and five functions as a short way into it."""

import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plugin_runtime.current_task import current_task, own_task
from plugin_runtime.log_filter import parse_log_filter
from plugin_runtime.wire.log_marks import PluginLevel, fields_text

if TYPE_CHECKING:
    from plugin_runtime.log_stream import MarkedStream

__all__ = ["configure_logging", "debug", "error", "info", "report_to_stderr", "trace", "warn"]

TRACE = 5
OFF = logging.CRITICAL + 1
_logger = logging.getLogger("malbox.plugin")
_THRESHOLDS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": OFF,
}
_LEVELS: tuple[tuple[int, PluginLevel], ...] = (
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
    (logging.DEBUG, "debug"),
)
_OWN_ATTRIBUTES = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_FORMAT = "%(levelname)s %(name)s: %(message)s"

_errors: "MarkedStream | None" = None
"""Standard error, where the supervisor reads marks; kept here too, because a stream that nobody has is closed."""
_output: "MarkedStream | None" = None


def configure_logging(mark: str = "", log_filter: str = "") -> None:
    """Send log records to standard error, from INFO up, unless the plugin has set up logging itself.

    Args:
        mark: What the supervisor knows marks by; empty where it does not read any. With it whatever is printed has its
            task, and what is logged, warned of and raised in threads its level.
        log_filter: What to keep; empty: what was set up.

    Raises:
        ValueError: The filter is none.
    """
    logging.addLevelName(TRACE, "TRACE")
    kept = parse_log_filter(log_filter)
    root = logging.getLogger()
    is_set_up = root.hasHandlers()
    if mark:
        _mark_streams(mark)
    if not is_set_up:
        handler = logging.StreamHandler(sys.stderr) if _errors is None else _MarkedHandler(_errors)
        handler.setFormatter(logging.Formatter(_FORMAT if _errors is None else "%(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    if kept.level is not None:
        root.setLevel(_THRESHOLDS[kept.level])
    for name, level in kept.targets:
        logging.getLogger(name).setLevel(_THRESHOLDS[level])


def report_to_stderr(text: str, level: PluginLevel = "error") -> None:
    """Write lines to where the plugin's log goes; a standard error that is closed is no reason to fail."""
    try:
        if _errors is not None:
            _errors.log(text, level, own_task.get())
        elif sys.stderr is not None:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
    except (OSError, ValueError):
        return


def trace(message: str) -> None:
    """Log what is of interest only while looking for a fault."""
    _logger.log(TRACE, "%s", message)


def debug(message: str) -> None:
    """Log what helps to understand what the plugin does."""
    _logger.debug("%s", message)


def info(message: str) -> None:
    """Log what an operator may want to know."""
    _logger.info("%s", message)


def warn(message: str) -> None:
    """Log what is not as it should be and does not keep the plugin from its work."""
    _logger.warning("%s", message)


def error(message: str) -> None:
    """Log what keeps the plugin from a part of its work."""
    _logger.error("%s", message)


class _MarkedHandler(logging.Handler):
    """Writes records with their level, their task and what `extra` added to them."""

    def __init__(self, stream: "MarkedStream") -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            more = {key: value for key, value in vars(record).items() if key not in _OWN_ATTRIBUTES}
            self._stream.log(self.format(record).rstrip("\n"), _level_of(record), current_task(), fields_text(more))
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)


def _level_of(record: logging.LogRecord) -> PluginLevel:
    return next((level for least, level in _LEVELS if record.levelno >= least), "trace")


def _mark_streams(mark: str) -> None:
    global _errors, _output
    from plugin_runtime.log_stream import MarkedLines, MarkedStream

    if _errors is not None or any(getattr(each, "buffer", None) is None for each in (sys.stdout, sys.stderr)):
        return  # somebody has put streams of another kind in their place
    lines = MarkedLines(mark)
    places: Mapping[Any, MarkedStream] = {each: MarkedStream(each, lines) for each in (sys.stdout, sys.stderr)}
    _output, _errors = places[sys.stdout], places[sys.stderr]
    for handler in logging.getLogger().handlers:  # those of an author, who may have set up logging before
        if isinstance(handler, logging.StreamHandler) and handler.stream in places:
            stream = places[handler.stream]
            handler.setStream(stream)
            handler.addFilter(_tell_level_to(stream))
    sys.stdout, sys.stderr = _output, _errors
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _thread_failed
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable
    if getattr(warnings, "_showwarning_orig", None) is warnings.showwarning:
        logging.captureWarnings(True)


def _tell_level_to(stream: "MarkedStream") -> Any:  # noqa: ANN401 - the type of a filter
    def tell(record: logging.LogRecord) -> bool:
        stream.next_level[threading.get_ident()] = _level_of(record)
        return True

    return tell


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = "a thread" if args.thread is None else f"thread {args.thread.name}"
    _failed(f"exception in {name}", args.exc_value or args.exc_type())


def _unraisable(args: Any) -> None:  # noqa: ANN401 - the type exists for a checker only
    _failed(f"{args.err_msg or 'exception ignored in'}: {args.object!r}", args.exc_value or args.exc_type())


def _failed(what: str, why: BaseException) -> None:
    import traceback

    text = "".join(traceback.format_exception(why)).rstrip("\n")
    if _errors is not None:
        _errors.log(f"{what}:\n{text}", "error", current_task())
