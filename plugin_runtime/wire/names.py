"""Names of services, numbers of wake-ups and the sizes that both ends of the wire count on."""

import re
from enum import IntEnum

__all__ = [
    "BEAT_SLOTS",
    "CHUNK_SIZE",
    "CREDIT_SLOTS",
    "DAEMON_EVENTS_SERVICE",
    "DAEMON_NOTIFY_SERVICE",
    "MAX_NAME_BYTES",
    "MAX_PLUGINS",
    "MAX_PLUGIN_ID_BYTES",
    "RESPONSE_WINDOW",
    "RESULT_SLOTS",
    "RESULT_TAKEN_BATCH",
    "RESULT_WINDOW",
    "DaemonWake",
    "PluginWake",
    "beat_slot",
    "beat_wake",
    "credit_wake",
    "is_plugin_id",
    "joined_wake",
    "plugin_events_service",
    "plugin_notify_service",
    "results_service",
    "taken_wake",
    "tasks_service",
]

CHUNK_SIZE = 1 << 20
"""Bytes after which a payload (name and data together) is cut."""

MAX_NAME_BYTES = 255
"""Bytes of UTF-8 that a result's name has at most; its length travels in one byte."""

MAX_PLUGINS = 65
"""Plugins, each process counted, that can listen to one supervisor, and so all that it can have at once."""

RESPONSE_WINDOW = 4
"""Responses of one task that may be on their way and not yet received."""

CREDIT_SLOTS = 64
"""How many event ids, from `PluginWake.CREDIT` up, carry credits."""

RESULT_SLOTS = 64
"""How many plugins can subscribe to one plugin's results and be waited for; also how many event ids tell of each."""

RESULT_WINDOW = 12
"""Frames of a result channel that may be on their way to a subscriber before it is waited for; it has room for 16."""

RESULT_TAKEN_BATCH = 4
"""After how many frames a subscriber says that it has taken them."""

BEAT_SLOTS = 120
"""How many event ids, from `DaemonWake.BEAT` up, carry heartbeats."""

MAX_PLUGIN_ID_BYTES = 255 - len("malbox/plugin//results")
"""Bytes that a plugin's id has at most: the name of an iceoryx2 service has 255, and this is the longest around it."""

DAEMON_EVENTS_SERVICE = "malbox/events/daemon"
"""Publish-subscribe: the supervisor's events, to every plugin."""

DAEMON_NOTIFY_SERVICE = "malbox/daemon/notify"
"""Event: wakes the supervisor."""

_PLUGIN_ID = re.compile(r"[A-Za-z0-9_-]+")


class PluginWake(IntEnum):
    """Why a plugin is woken; ids from 16 up are extensions of our own, which the reference ignores."""

    TASK = 0
    DAEMON_EVENT = 1
    RESULT = 2
    CREDIT = 16
    """The first of `CREDIT_SLOTS` ids; see `credit_wake`."""
    STOP = 80
    """This plugin, and no other, is to stop, as DaemonShutdown tells all of them."""
    JOINED = 81
    """The first of `RESULT_SLOTS` ids; see `joined_wake`."""
    TAKEN = 145
    """The first of `RESULT_SLOTS` ids; see `taken_wake`."""
    SOURCE = 209
    """A plugin whose results this one subscribes to has started, and wants to be told who is there."""


class DaemonWake(IntEnum):
    """Why the supervisor is woken; ids from 16 up are extensions of our own here, too."""

    RESPONSE = 0
    EVENT = 1
    RESULT = 2
    BEAT = 16
    """The first of `BEAT_SLOTS` ids; see `beat_wake`."""


def credit_wake(task_id: int) -> int:
    """Return the event id with which the supervisor gives a credit of this task back.

    Each request has a response buffer of its own, so credits are counted by task. A credit that comes after its task
    ended must not be taken for one of the task after it: tasks that follow each other have different ids.
    """
    return PluginWake.CREDIT + task_id % CREDIT_SLOTS


def beat_wake(slot: int) -> int:
    """Return the event id of the heartbeat of the plugin that has this slot.

    Raises:
        ValueError: There is no such slot.
    """
    if not 0 <= slot < BEAT_SLOTS:
        raise ValueError(f"There is no heartbeat slot {slot}: they are numbered from 0 to {BEAT_SLOTS - 1}.")
    return DaemonWake.BEAT + slot


def beat_slot(event_id: int) -> int | None:
    """Return the slot whose heartbeat an event id of the supervisor's is, or None if it is no heartbeat."""
    slot = event_id - DaemonWake.BEAT
    return slot if 0 <= slot < BEAT_SLOTS else None


def joined_wake(slot: int) -> int:
    """Return the event id with which a subscriber says that it is there and has taken all that was published.

    A plugin's supervisor gives each of its subscribers a slot.
    """
    return PluginWake.JOINED + slot


def taken_wake(slot: int) -> int:
    """Return the event id with which a subscriber says that it has taken `RESULT_TAKEN_BATCH` frames more."""
    return PluginWake.TAKEN + slot


def is_plugin_id(text: str) -> bool:
    """Return whether a plugin can be called this: ``[A-Za-z0-9_-]+``, short enough for the names of its services."""
    return len(text) <= MAX_PLUGIN_ID_BYTES and _PLUGIN_ID.fullmatch(text) is not None


def tasks_service(plugin_id: str) -> str:
    """Return the name of the service that carries a plugin's requests and responses.

    Raises:
        ValueError: The id is not one.
    """
    return f"malbox/plugin/{_checked(plugin_id)}/tasks"


def results_service(plugin_id: str) -> str:
    """Return the name of the service on which a plugin publishes results for others.

    Raises:
        ValueError: The id is not one.
    """
    return f"malbox/plugin/{_checked(plugin_id)}/results"


def plugin_events_service(plugin_id: str) -> str:
    """Return the name of the service on which a plugin publishes its events.

    Raises:
        ValueError: The id is not one.
    """
    return f"malbox/events/plugin/{_checked(plugin_id)}"


def plugin_notify_service(plugin_id: str) -> str:
    """Return the name of the service that wakes a plugin.

    Raises:
        ValueError: The id is not one.
    """
    return f"malbox/plugin/{_checked(plugin_id)}/notify"


def _checked(plugin_id: str) -> str:
    if not is_plugin_id(plugin_id):
        raise ValueError(f"{plugin_id!r} is not a plugin id: use 1 to {MAX_PLUGIN_ID_BYTES} of A-Z, a-z, 0-9, _ and -.")
    return plugin_id
