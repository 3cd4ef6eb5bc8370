from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from iceoryx_domains import fresh_domain
from port_rigs import Rig, iceoryx_rig, memory_rig

from plugin_runtime.ports.base import PluginPorts
from plugin_runtime.ports.domain import Domain


@pytest.fixture
def domain() -> Iterator[Domain]:
    with fresh_domain() as domain:
        yield domain


@pytest.fixture(params=[memory_rig, iceoryx_rig], ids=["memory", "iceoryx"])
def make_rig(request: pytest.FixtureRequest) -> Iterator[Callable[..., Rig]]:
    """What makes both ends of one implementation; they are closed after the test."""
    with ExitStack() as stack:

        def make(*, uses_credits: bool = True, concurrency: int = 1) -> Rig:
            rig: Rig = request.param(stack, uses_credits=uses_credits, concurrency=concurrency)
            return rig

        yield make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Both ends, with credits."""
    return make_rig()


@pytest.fixture
def plugin(rig: Rig) -> PluginPorts:
    """The plugin's end of `rig`."""
    return rig.open_plugin()
