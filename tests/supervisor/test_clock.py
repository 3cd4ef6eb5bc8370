"""The clock that stands still with the supervisor."""

import time

import pytest

from malbox_cli.supervisor.clock import MAX_STOPS, Clock


class Hand:
    """The monotonic time, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.at)


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    return Hand(monkeypatch)


def test_it_goes_on_with_the_time(hand: Hand) -> None:
    clock = Clock()
    before = clock.now()

    for _ in range(30):
        hand.at += 0.1
        clock.now()

    assert clock.now() - before == pytest.approx(3)


def test_it_goes_on_for_as_long_as_nobody_was_to_ask(hand: Hand) -> None:
    clock = Clock()
    before = clock.now()

    clock.expect(5)
    hand.at += 5.1

    assert clock.now() - before == pytest.approx(5.1)


def test_where_it_was_not_asked_for_longer_than_that_nothing_of_it_counts(hand: Hand) -> None:
    clock = Clock()
    before = clock.now()

    clock.expect(5)
    hand.at += 60

    assert clock.now() == before
    hand.at += 1  # what was expected once is not expected again
    assert clock.now() == before


def test_what_is_skipped_does_not_count(hand: Hand) -> None:
    clock = Clock()
    hand.at += 0.2
    before = clock.now()

    hand.at += 100
    clock.skip()
    hand.at += 0.5

    assert clock.now() - before == 0.5


def test_what_was_counted_already_is_not_taken_back(hand: Hand) -> None:
    clock = Clock()
    clock.expect(100)
    hand.at += 100
    before = clock.now()

    clock.skip()
    clock.skip()
    hand.at += 0.25

    assert clock.now() - before == 0.25


def test_the_age_of_a_moment_has_all_of_the_time_in_it(hand: Hand) -> None:
    clock = Clock()
    long_ago = clock.now()
    clock.expect(10)
    hand.at += 10
    before = clock.now()
    hand.at += 100
    clock.skip()
    after = clock.now()
    hand.at += 0.25

    assert clock.age(long_ago) == 110.25
    assert clock.age(before) == clock.age(after) == 100.25  # to the clock it was one moment
    hand.at += 0.25
    later = clock.now()
    hand.at += 0.25
    assert clock.age(later) == 0.25


def test_more_stops_than_anybody_counts_are_still_part_of_an_age(hand: Hand) -> None:
    clock = Clock()
    begun = clock.now()

    for _ in range(3 * MAX_STOPS):
        hand.at += 10
        clock.skip()

    assert clock.age(begun) == pytest.approx(30 * MAX_STOPS)
    assert len(clock._stops) == MAX_STOPS
