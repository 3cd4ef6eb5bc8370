"""Logging from a plugin: Python's own `logging`, to standard error, and five functions as a short way into it."""

import logging
import sys

__all__ = ["configure_logging", "debug", "error", "info", "trace", "warn"]

TRACE = 5
_logger = logging.getLogger("malbox.plugin")


def configure_logging() -> None:
    """Send log records to standard error, from INFO up, unless the plugin has set up logging itself."""
    logging.addLevelName(TRACE, "TRACE")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


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
