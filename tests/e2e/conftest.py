"""A place for every test, and what has to be true of it afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_harness import Place, subreaper


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a place to run malbox in; afterwards nothing may be left of what was started there."""
    with subreaper():
        place = Place(tmp_path)
        try:
            yield place
            place.assert_nothing_left()
        finally:
            place.close()
