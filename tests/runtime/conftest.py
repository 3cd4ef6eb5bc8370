"""A place for a plugin's process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ID
from iceoryx_domains import fresh_domain
from process_rig import MANY, Place

from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with fresh_domain() as domain, IceoryxSupervisorPorts(domain) as ports:
        ports.add_plugin(ID)
        yield Place(ports, domain, tmp_path)


@pytest.fixture
def place_for_many(tmp_path: Path) -> Iterator[Place]:
    """A place whose plugin works on `MANY` tasks at once."""
    with fresh_domain() as domain, IceoryxSupervisorPorts(domain) as ports:
        ports.add_plugin(ID, MANY)
        yield Place(ports, domain, tmp_path)
