"""What commands ask of a running supervisor, over the control socket, and what is told to those that watch."""

import os
import time
from collections.abc import Callable, Sequence

from malbox_cli.control.messages import (
    Acting,
    Canceling,
    Changing,
    Denied,
    Following,
    ReloadDone,
    Reloading,
    Request,
    StatusAsked,
    Stopping,
    Submitting,
    Watching,
    encode,
)
from malbox_cli.control.news import News, PluginNews, SupervisorNews
from malbox_cli.control.records import Record, to_line
from malbox_cli.control.server import ControlServer
from malbox_cli.manifest.debugged import Debugging, debugged
from malbox_cli.manifest.select import NoSuchPlugin, matching
from malbox_cli.supervisor.descriptors import make_room
from malbox_cli.supervisor.events import (
    CancelAsked,
    ClientLeft,
    FollowAsked,
    PluginsAsked,
    Reloaded,
    StopAsked,
    Submit,
)
from malbox_cli.supervisor.reload import difference, most_at_once
from malbox_cli.supervisor.reread import read_again
from malbox_cli.supervisor.session import Session
from plugin_runtime.errors import MalboxError

__all__ = ["Service"]


class Service:
    """Answers commands until `close`.

    Args:
        session: The supervisor.
        chosen: The ids or patterns of the plugins that it was started with; none for all of the manifest.
        debugging: Which of them is debugged; None for none.

    Attributes:
        on_reload: Called when what the manifest says now begins to be done.

    Raises:
        MalboxError: The control socket cannot be bound.
    """

    def __init__(self, session: Session, chosen: Sequence[str], debugging: Debugging | None = None) -> None:
        self.on_reload: Callable[[], None] = _nothing
        self._session = session
        self._chosen = tuple(chosen)
        self._debugging = debugging
        self._watchers: set[int] = set()
        self._said_that_it_stops = False
        self._server = ControlServer(
            session.folder.socket,
            session.poller,
            self._take,
            self._client_left,
            lambda text: session.log.say("warning", text),
        )
        session.reactor.on_change = self._changed

    def emit(self, client: int, record: Record) -> None:
        """Send a record of a task to whoever sent the task."""
        self._server.send(client, to_line(record))

    def close(self) -> None:
        """Take no more commands, and let those go that are connected."""
        self._say_that_it_stops()
        self._server.close()

    def _take(self, client: int, request: Request) -> None:
        handle = self._session.reactor.handle
        match request:
            case Submitting():
                handle(_submission(client, request))
            case Canceling():
                handle(CancelAsked(request.task))
            case Following():
                self._follow(client, request.task)
            case StatusAsked():
                self._server.send(client, encode(self._session.status()))
            case Stopping():
                handle(StopAsked("`malbox down`"))
            case Changing():
                self._change(client, request)
            case Watching():
                self._watch(client)
            case Reloading():
                self._reload(client)

    def _follow(self, client: int, task_id: int) -> None:
        """Let a client have the records of a task that come from now on, behind the answer."""
        reactor = self._session.reactor
        plugin = self._session.machine.plugin_of_task(task_id)
        answer = Denied(f"task {task_id} is not open") if plugin is None else Acting((plugin,))
        # What was announced before is in the ledger by then.
        reactor.when_kept(task_id, lambda: self._server.send(client, encode(answer)))
        if plugin is not None:
            reactor.handle(FollowAsked(client, task_id))

    def _change(self, client: int, request: Changing) -> None:
        machine = self._session.machine
        try:
            if machine.is_stopping:
                raise NoSuchPlugin("the supervisor is stopping")
            there = [plugin.id for plugin in machine.plugins if not plugin.leaves]
            groups = {plugin.id: plugin.spec.group for plugin in machine.plugins}
            plugin_ids = matching(request.plugins, there, groups)
        except NoSuchPlugin as error:
            self._server.send(client, encode(Denied(str(error))))
            return
        self._session.reactor.handle(PluginsAsked(request.what, plugin_ids))
        self._server.send(client, encode(Acting(plugin_ids)))

    def _reload(self, client: int) -> None:
        session = self._session
        try:
            if session.machine.is_stopping:
                raise MalboxError("the supervisor is stopping")
            plugins, stop_timeout = read_again(session.manifest, self._chosen)
            if self._debugging is not None:
                plugins = debugged(plugins, self._debugging)
            make_room(most_at_once((plugin.id for plugin in session.machine.plugins), plugins))
        except MalboxError as error:
            self._server.send(client, encode(Denied(str(error))))
            return
        there = {plugin.id: plugin.next_spec or plugin.spec for plugin in session.machine.plugins if not plugin.leaves}
        changes = difference(there, plugins)
        session.log.say("info", f"read {session.manifest.path} again: {changes}")
        self.on_reload()
        session.reactor.handle(Reloaded(plugins, stop_timeout))
        done = ReloadDone(changes.added, changes.removed, changes.changed, changes.same)
        self._server.send(client, encode(done))

    def _watch(self, client: int) -> None:
        self._watchers.add(client)
        self._server.send(client, encode(self._news()))
        for plugin in self._session.machine.plugins:
            self._server.send(client, encode(self._session.news(plugin)))

    def _changed(self, plugin_id: str) -> None:
        if not self._watchers:
            return
        if self._session.machine.is_stopping:
            self._say_that_it_stops()
        plugin = self._session.machine.plugin(plugin_id)
        now = round(time.time(), 3)
        gone = "the manifest does not have it any more"
        self._tell_watchers(self._session.news(plugin) if plugin else PluginNews(now, plugin_id, "REMOVED", gone, now))

    def _say_that_it_stops(self) -> None:
        if not self._said_that_it_stops:
            self._said_that_it_stops = True
            self._tell_watchers(self._news())

    def _news(self) -> SupervisorNews:
        machine = self._session.machine
        state = "stopping" if machine.is_stopping else "running"
        ids = tuple(plugin.id for plugin in machine.plugins)
        return SupervisorNews(round(time.time(), 3), os.getpid(), state, ids)

    def _tell_watchers(self, news: News) -> None:
        line = encode(news)
        for client in list(self._watchers):
            self._server.send(client, line)

    def _client_left(self, client: int) -> None:
        self._watchers.discard(client)
        self._session.reactor.handle(ClientLeft(client))


def _submission(client: int, request: Submitting) -> Submit:
    return Submit(
        client,
        request.plugin,
        request.sample,
        request.config,
        request.timeout,
        request.priority,
        request.detach,
        request.wait,
        request.retry_of,
    )


def _nothing() -> None:
    pass
