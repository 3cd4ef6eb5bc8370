"""Who is called back for which descriptor."""

import os
from collections.abc import Iterator

import pytest

from malbox_cli.supervisor.poller import Poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = Poller()
    yield poller
    poller.close()


def test_a_descriptor_that_gets_the_number_of_one_just_closed_is_not_taken_for_it(poller: Poller) -> None:
    first, second = os.pipe(), os.pipe()
    later: list[tuple[int, int]] = []
    called: list[str] = []

    def replace(closing: int, word: str) -> None:
        """Close the other one, and open one with its number, as a plugin that is started again does."""
        called.append(word)
        poller.remove(closing)
        os.close(closing)
        later.append(os.pipe())
        assert later[0][0] == closing
        poller.add(closing, lambda: called.append("the new one, which has nothing to read"))

    poller.add(first[0], lambda: replace(second[0], "first"))
    poller.add(second[0], lambda: replace(first[0], "second"))
    os.write(first[1], b"x")
    os.write(second[1], b"x")

    poller.dispatch()

    assert called in (["first"], ["second"])
    kept = first if called == ["first"] else second
    for fd in {*first, *second, *later[0], kept[0]}:
        os.close(fd)


def test_a_callback_that_asks_to_write_later_is_still_told_what_it_can_read(poller: Poller) -> None:
    reader, writer = os.pipe()
    called: list[str] = []
    poller.add(reader, lambda: called.append("readable"))
    poller.want_write(reader, lambda: called.append("writable"))
    os.write(writer, b"x")

    poller.dispatch()

    assert called == ["readable"]
    os.close(reader)
    os.close(writer)
