import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30.0), ("1.5s", 1.5), ("5m", 300.0), ("2h", 7200.0), ("0s", 0.0), ("100ms", 0.1)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("512B", 512), ("64KiB", 65536), ("512MiB", 536870912), ("1.5GiB", 1610612736), ("1TiB", 1 << 40)],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "is not a duration"),
        ("s", "is not a duration"),
        ("30 s", "is not a duration"),
        ("-5s", "is not a duration"),
        ("1e3s", "is not a duration"),
        ("٣s", "is not a duration"),
        ("30", "has no unit"),
        ("30sec", "did you mean 's'?"),
        ("30minutes", "did you mean 'm'?"),
        ("30S", "did you mean 's'?"),
        ("30MiB", "unknown unit 'MiB'"),
        ("9000h", "longer than a year"),
        ("9" * 500 + "s", "is not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_what_to_write(text: str, fragment: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit") as caught:
        parse_duration(text)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("big", "is not a size"),
        ("-1B", "is not a size"),
        ("64", "has no unit"),
        ("64KB", "did you mean 'KiB'?"),
        ("64mb", "did you mean 'MiB'?"),
        ("64mib", "did you mean 'MiB'?"),
        ("1.5B", "not a whole number of bytes"),
        ("99999999TiB", "is too large"),
    ],
)
def test_what_is_no_size_is_refused_with_what_to_write(text: str, fragment: str) -> None:
    with pytest.raises(ValueError, match=r"size|unit|bytes") as caught:
        parse_size(text)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.5, "500ms"), (1.0, "1s"), (90.0, "90s"), (300.0, "5m"), (3600.0, "1h"), (1.25, "1.25s")],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (1023, "1023B"), (1 << 20, "1MiB"), (1536, "1536B")])
def test_a_size_is_written_in_its_largest_whole_unit(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 366 * 86400 * 1000).map(lambda millis: millis / 1000))
def test_a_duration_comes_back_from_its_text(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 2**63 - 1))
def test_a_size_comes_back_from_its_text(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_what_is_no_duration_is_not_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        format_duration(seconds)


def test_a_negative_size_is_not_written() -> None:
    with pytest.raises(ValueError, match="-1 is not a size"):
        format_size(-1)


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds >= 0


@given(st.text(max_size=40))
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    try:
        size = parse_size(text)
    except ValueError:
        return
    assert size >= 0


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("pth", " (did you mean 'path'?)"),
        ("PATH", " (did you mean 'path'?)"),
        ("start-timeout", " (did you mean 'start_timeout'?)"),
        ("environment", " (did you mean 'env'?)"),
        ("start", " (did you mean 'start_timeout'?)"),
        ("en", " (did you mean 'env'?)"),
        ("st", ""),
        ("colour", ""),
        ("path" * 50, ""),
        ("", ""),
    ],
)
def test_the_closest_word_is_proposed_if_one_is_close(word: str, answer: str) -> None:
    assert did_you_mean(word, ["path", "env", "start_timeout"]) == answer
