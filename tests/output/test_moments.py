"""Ages and dates."""

from datetime import datetime

import pytest

from malbox_cli.output.moments import parse_age, parse_moment

NOW = datetime(2026, 11, 24, 18, 30).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129600), ("7d", 604800), ("2w", 1209600), ("0s", 0)],
)
def test_an_age_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds
    assert parse_moment(text, NOW) == NOW - seconds


@pytest.mark.parametrize("text", ["2026-11-24T18:30", "2026-11-24 18:30:00", "2026-11-24T18:30:00"])
def test_a_date_is_one_of_this_machine(text: str) -> None:
    assert parse_moment(text, 0.0) == NOW


def test_a_date_alone_is_its_first_moment() -> None:
    assert parse_moment("2026-11-24", 0.0) == datetime(2026, 11, 24).timestamp()


@pytest.mark.parametrize("text", ["", "rubbish", "7", "d", "-1d", "7 d", "1e3d", "٣d", "x" * 1000, "2026-11-24"])
def test_what_is_no_age_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="is not an age such as 30m, 2h, 7d or 4w") as raised:
        parse_age(text)
    assert len(str(raised.value)) < 100


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rubbish", "'rubbish' is neither an age such as 2h or 7d nor a date such as 2026-11-24"),
        ("2026-13-01", "'2026-13-01' is not a date such as 2026-11-24 or 2026-11-24T18:30"),
        ("2026-11-24T25:00", "is not a date such as"),
        ("yesterday", "is neither an age"),
    ],
)
def test_what_is_no_moment_is_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_moment(text, NOW)
