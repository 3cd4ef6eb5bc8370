"""A node in a domain, and the services of the protocol as both ends have to open them."""

import ctypes
from typing import Any

import iceoryx2 as iox

from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import ROOM_FOR_PLUGIN, translated
from plugin_runtime.wire.headers import EventHeader, ResultHeader, TaskRequestHeader, TaskResponseHeader
from plugin_runtime.wire.names import (
    DAEMON_EVENTS_SERVICE,
    DAEMON_NOTIFY_SERVICE,
    MAX_PLUGINS,
    RESPONSE_WINDOW,
    plugin_events_service,
    plugin_notify_service,
    results_service,
    tasks_service,
)

__all__ = ["MAX_SUBSCRIBERS", "RESULT_BUFFER", "Services", "responses_at_once", "room_for_plugin"]

MAX_SUBSCRIBERS = MAX_PLUGINS
RESULT_BUFFER = 16
EVENT_BUFFER = 32
DAEMON_NOTIFIERS = 140
DAEMON_LISTENERS = 2
MAX_NODES = 140
"""Processes that may have a channel or an event service open; iceoryx2's own limits are 20 and 36, one of them ours."""
SPARE_RESPONSES = 16
"""Responses that are no task's: answers after the plugin's health, refusals, and what a race left unread."""
BYTES_FOR_RESPONSE = 640
"""Bytes that iceoryx2 notes, for each request that can be open, of each response that there can be."""
U8_SLICE = iox.Slice[ctypes.c_uint8]


def requests_at_once(concurrency: int) -> int:
    """Return how many requests a plugin with so many tasks may have open: those, a cancel of each, and two more."""
    return 2 * concurrency + 2


def responses_at_once(concurrency: int) -> int:
    """Return how many responses of so many tasks there are at once: the windows, and what is read and written now."""
    return concurrency * (RESPONSE_WINDOW + 2) + SPARE_RESPONSES


def room_for_plugin(concurrency: int) -> int:
    """Return the bytes of shared memory that a plugin with so many tasks at once takes before it has said anything."""
    if concurrency == 1:
        return ROOM_FOR_PLUGIN
    return ROOM_FOR_PLUGIN + requests_at_once(concurrency) * responses_at_once(concurrency) * BYTES_FOR_RESPONSE


class Services:
    """A node in a domain, and the services of the protocol opened through it with the protocol's quality of service.

    The node, and with it what the process has in the domain, goes when this object and every service is let go of.
    """

    def __init__(self, domain: Domain) -> None:
        if domain.is_default:
            config = iox.config.global_config()
        else:
            config = iox.config.default()
            config.global_cfg.root_path = iox.Path.new(domain.root)
            config.global_cfg.prefix = iox.FileName.new(domain.prefix)
        # Not asked for when a service is opened, as the rest is: it counts only where the service is made here.
        config.defaults.publish_subscribe.max_nodes = config.defaults.event.max_nodes = MAX_NODES
        self.config = config
        with translated("make an iceoryx2 node"):
            self._node = (
                iox.NodeBuilder.new()
                .config(config)
                .signal_handling_mode(iox.SignalHandlingMode.Disabled)
                .create(iox.ServiceType.Ipc)
            )

    def tasks(self, plugin_id: str, concurrency: int = 1) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        """Open the request-response service of a plugin's tasks, with room for so many of them at once."""
        name = tasks_service(plugin_id)
        builder = (
            self._builder(name)
            .request_response(U8_SLICE, U8_SLICE)
            .request_header(TaskRequestHeader)
            .response_header(TaskResponseHeader)
            .max_servers(1)
            .max_clients(1)
            .max_response_buffer_size(RESPONSE_WINDOW)
            .enable_safe_overflow_for_responses(False)
        )
        if concurrency > 1:  # otherwise iceoryx2's own four do, and whoever made the service need not have said so
            builder = builder.max_active_requests_per_client(requests_at_once(concurrency))
        return _opened(builder, name)

    def results(self, plugin_id: str) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        """Open a plugin's result channel."""
        return self._channel(results_service(plugin_id), ResultHeader, RESULT_BUFFER, overflow=False)

    def plugin_events(self, plugin_id: str) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        """Open a plugin's event channel."""
        return self._channel(plugin_events_service(plugin_id), EventHeader, EVENT_BUFFER, overflow=True)

    def daemon_events(self) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        """Open the supervisor's event channel."""
        return self._channel(DAEMON_EVENTS_SERVICE, EventHeader, EVENT_BUFFER, overflow=True)

    def plugin_notify(self, plugin_id: str) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        """Open the event service that wakes a plugin."""
        name = plugin_notify_service(plugin_id)
        return _opened(self._builder(name).event(), name)

    def daemon_notify(self) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        """Open the event service that wakes the supervisor."""
        builder = self._builder(DAEMON_NOTIFY_SERVICE).event()
        return _opened(builder.max_notifiers(DAEMON_NOTIFIERS).max_listeners(DAEMON_LISTENERS), DAEMON_NOTIFY_SERVICE)

    def _builder(self, name: str) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        return self._node.service_builder(iox.ServiceName.new(name))

    def _channel(self, name: str, header: type[ctypes.Structure], buffer: int, *, overflow: bool) -> Any:  # noqa: ANN401 - iceoryx2 has no types
        builder = (
            self._builder(name)
            .publish_subscribe(U8_SLICE)
            .user_header(header)
            .max_publishers(1)
            .max_subscribers(MAX_SUBSCRIBERS)
            .subscriber_max_buffer_size(buffer)
            .enable_safe_overflow(overflow)
        )
        return _opened(builder, name)


def _opened(builder: Any, name: str) -> Any:  # noqa: ANN401 - iceoryx2 has no types
    with translated(f"open the service {name}"):
        return builder.open_or_create()
