"""Whether a plugin that has a process only while there is something to do needs one now."""

from malbox_cli.supervisor.board import TaskBoard
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.plugins import PluginRecord

__all__ = ["is_done", "is_wanted"]


def is_wanted(plugin: PluginRecord, board: TaskBoard) -> bool:
    """Return whether a plugin that has no process should have one."""
    if plugin.spec.state == "scoped":
        return _scope_is_open(plugin, board)
    pool = board.pools[plugin.spec.pool]
    to_come = sum(_is_free_or_on_its_way(worker) for worker in pool.workers.values() if worker is not plugin)
    return len(pool.queue) + plugin.spec.spare > to_come


def is_done(plugin: PluginRecord, board: TaskBoard) -> bool:
    """Return whether a plugin that takes tasks has nothing to do any more, and not even waits for what is to come."""
    if plugin.running:
        return False
    if plugin.spec.state == "scoped":
        return not _scope_is_open(plugin, board)
    pool = board.pools[plugin.spec.pool]
    return plugin.served > 0 or (not plugin.spec.spare and not pool.queue)


def _scope_is_open(plugin: PluginRecord, board: TaskBoard) -> bool:
    return any(board.open_of[name] for name in (plugin.spec.pool, *plugin.spec.scope))


def _is_free_or_on_its_way(worker: PluginRecord) -> bool:
    if worker.state.is_up:
        return worker.takes_tasks and not worker.served
    return worker.state in (PluginState.PENDING, PluginState.STARTING, PluginState.BACKOFF)
