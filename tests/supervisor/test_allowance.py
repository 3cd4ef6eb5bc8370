"""How much may be taken at once and in a second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.supervisor.allowance import Allowance


def test_a_burst_costs_nothing_and_what_is_above_it_time() -> None:
    allowance = Allowance(100, 10)
    assert allowance.spend(60, 5.0) == 0
    assert allowance.spend(40, 5.0) == 0
    assert allowance.spend(20, 5.0) == 2.0
    assert allowance.spend(0, 7.0) == 0


def test_it_grows_with_time_and_not_above_the_burst() -> None:
    allowance = Allowance(100, 10)
    assert allowance.spend(100, 0.0) == 0
    assert allowance.spend(50, 5.0) == 0
    assert allowance.spend(101, 1000.0) == pytest.approx(0.1)


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 100))))
def test_who_keeps_to_the_pauses_gets_no_more_than_burst_and_rate(steps: list[tuple[int, float]]) -> None:
    allowance, now, taken = Allowance(100, 10), 0.0, 0
    for size, wait in steps:
        assert taken <= 100 + 10 * now + 1e-6
        taken += size
        now += allowance.spend(size, now) + wait
