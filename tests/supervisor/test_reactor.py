"""How the reactor lets go of everything."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from malbox_cli.store.results import ResultWriter
from malbox_cli.store.samples import SampleReader
from malbox_cli.supervisor.children import Children
from malbox_cli.supervisor.machine import Machine
from malbox_cli.supervisor.output_pump import OutputPump
from malbox_cli.supervisor.poller import Poller
from malbox_cli.supervisor.reactor import Reactor
from plugin_runtime.ports.memory import MemoryExchange


def test_a_step_of_the_end_that_fails_keeps_none_of_the_others_from_being_taken() -> None:
    closed: list[str] = []

    def noting(what: str) -> Callable[[], None]:
        return lambda: closed.append(what)

    def fail() -> None:
        raise OSError("no descriptor is left to look for strays with")

    reader, writer = SimpleNamespace(close=noting("samples")), SimpleNamespace(close=noting("results"))
    poller, ports = Poller(), MemoryExchange().supervisor()
    reactor = Reactor(
        Machine([], stop_timeout=1, jitter=lambda: 1.0),
        [],
        ports,
        poller,
        cast(Children, SimpleNamespace(kill_all=fail)),
        OutputPump(poller, lambda *_: None),
        lambda _: (cast(ResultWriter, writer), cast(SampleReader, reader)),
        lambda *_: None,
        lambda *_: None,
    )

    with pytest.raises(OSError, match="no descriptor"):
        reactor.close()

    assert closed == ["samples", "results"]
    ports.close()
    poller.close()
