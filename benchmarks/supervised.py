"""A real supervisor in this process, with one plugin in a process of its own, for the length of a benchmark."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from malbox_cli.control.records import Ended, Outcome, Record, Refused
from malbox_cli.manifest.specs import Manifest, PluginSpec
from malbox_cli.supervisor.console import Console
from malbox_cli.supervisor.events import StartAsked, StopAsked, Submit
from malbox_cli.supervisor.log_hub import LogHub
from malbox_cli.supervisor.plugin_state import PluginState
from malbox_cli.supervisor.session import Session, open_session

__all__ = ["Supervised", "open_supervised", "spec_of"]

CLIENT = 0
NO_CONFIG: Mapping[str, str] = {}
NO_PLUGINS: Mapping[str, Mapping[str, str]] = {}
NO_SPECS: Sequence[PluginSpec] = ()
PLUGINS = Path(__file__).parent / "plugins"


def _ignore(record: Record) -> None:
    del record


class Supervised:
    """The supervisor.

    Attributes:
        session: It, put together as `malbox up` does it.
        plugin_id: Its one plugin.
        on_record: Called with every record of the tasks, when it is announced; to be set by whoever measures.
    """

    session: Session

    def __init__(self, plugin_id: str, sample: Path) -> None:
        self.plugin_id = plugin_id
        self.on_record: Callable[[Record], None] = _ignore
        self._sample = sample
        self._ended: Ended | None = None

    @property
    def plugin_pid(self) -> int:
        """The process of the plugin."""
        pid = self.session.machine.plugins[0].pid
        assert pid is not None
        return pid

    def submit(self, config: Mapping[str, str] = NO_CONFIG) -> None:
        """Submit a task."""
        self._ended = None
        self.session.reactor.handle(Submit(CLIENT, self.plugin_id, str(self._sample), config))

    def run_task(self, config: Mapping[str, str] = NO_CONFIG) -> Ended:
        """Submit a task and run the supervisor until it ended.

        Raises:
            RuntimeError: It did not end well.
        """
        self.submit(config)
        self.session.reactor.run_until(lambda: self._ended is not None)
        assert self._ended is not None
        if self._ended.outcome is not Outcome.COMPLETED:
            raise RuntimeError(f"the task {self._ended.outcome.value}: {self._ended.error}")
        return self._ended

    def take(self, client: int, record: Record) -> None:
        """Take a record, as whoever submitted the task does."""
        del client
        if isinstance(record, Refused):
            raise RuntimeError(record.error)
        if isinstance(record, Ended):
            self._ended = record
        self.on_record(record)


@contextmanager
def open_supervised(
    plugin_id: str,
    parent: Path | None = None,
    log: TextIO | None = None,
    beside: Mapping[str, Mapping[str, str]] = NO_PLUGINS,
    specs: Sequence[PluginSpec] = NO_SPECS,
    *,
    ledger: bool = True,
) -> Iterator[Supervised]:
    """Run a supervisor with the plugin of that name in `plugins/` for the length of a block.

    Args:
        plugin_id: The plugin.
        parent: Where to make the temporary folder of its state; by default where temporary folders are.
        log: Where what plugins print goes, and the supervisor's warnings and errors; standard error by default.
        beside: Other plugins of `plugins/`, and the configuration of each.
        specs: The processes to run instead, where there is more to say of them; tasks still go to `plugin_id`.
        ledger: Whether tasks are kept on disk.
    """
    with tempfile.TemporaryDirectory(prefix="malbox-benchmark-", dir=parent) as folder:
        sample = Path(folder, "sample")
        sample.write_bytes(b"sample")
        specs = tuple(specs) or tuple(
            spec_of(name, config) for name, config in {plugin_id: NO_CONFIG, **beside}.items()
        )
        manifest = Manifest(
            path=Path(folder, "plugins.toml"), state_dir=Path(folder, "state"), plugins=specs, ledger=ledger
        )
        supervised = Supervised(plugin_id, sample)
        console = Console(quiet=True, stream=log)
        log_hub = LogHub(console, Path(folder, "logs"))
        try:
            with open_session(
                manifest, specs, domain=None, log=log_hub, emit=supervised.take, kind="up", verbose=False
            ) as session:
                supervised.session = session
                session.reactor.handle(StartAsked())
                session.reactor.run_until(
                    lambda: all(plugin.state is not PluginState.STARTING for plugin in session.machine.plugins)
                )
                yield supervised
                session.reactor.handle(StopAsked("the benchmark is over"))
                session.reactor.run_until(lambda: session.machine.has_ended)
        finally:
            log_hub.close()
            console.close()


def spec_of(name: str, config: Mapping[str, str] = NO_CONFIG) -> PluginSpec:
    """Return what a manifest would say of the plugin of that name in `plugins/`."""
    program = (sys.executable, str(PLUGINS / f"{name}.py"))
    return PluginSpec(id=name, name=name, argv=program, cwd=PLUGINS, config=config, task_timeout=None)
