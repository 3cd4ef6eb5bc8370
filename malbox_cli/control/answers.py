"""What a supervisor's lines say, for both ways of reading them: one that blocks, and one that can be awaited."""

import json
from typing import Any

from malbox_cli.control.messages import ReloadDone, SupervisorStatus, decode_status
from malbox_cli.control.news import News, news_of
from malbox_cli.control.problems import RequestDenied, other_version
from malbox_cli.control.records import Record, record_of

__all__ = ["fields_of", "news_in", "plugins_in", "record_in", "reload_in", "status_in"]

Fields = dict[str, Any]


def fields_of(line: bytes) -> Fields:
    """Return the object of a whole line.

    Raises:
        RequestDenied: It says that what was asked for is not done.
        MalboxError: The supervisor is of another version; so for all others here.
    """
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise other_version(error) from error
    if not isinstance(fields, dict) or fields.get("type") == "misunderstood":
        raise other_version(fields.get("error") if isinstance(fields, dict) else "its answer is no object")
    if fields.get("type") == "denied":
        raise RequestDenied(str(fields.get("error")))
    return fields


def record_in(fields: Fields) -> Record:
    """Return a record of a task."""
    try:
        return record_of(fields)
    except ValueError as error:
        raise other_version(error) from error


def status_in(fields: Fields) -> SupervisorStatus:
    """Return how the supervisor and its plugins are."""
    try:
        return decode_status(fields)
    except ValueError as error:
        raise other_version(error) from error


def news_in(fields: Fields) -> News:
    """Return a piece of news."""
    try:
        return news_of(fields)
    except ValueError as error:
        raise other_version(error) from error


def plugins_in(fields: Fields) -> tuple[str, ...]:
    """Return the plugins that an answer names."""
    plugins = fields.get("plugins")
    if not isinstance(plugins, list):
        raise other_version("its answer has no plugins")
    return tuple(map(str, plugins))


def reload_in(fields: Fields) -> ReloadDone:
    """Return what a manifest that was read again changes."""
    try:
        return ReloadDone(**{key: tuple(fields[key]) for key in ("added", "removed", "changed", "same")})
    except (KeyError, TypeError) as error:
        raise other_version(error) from error
