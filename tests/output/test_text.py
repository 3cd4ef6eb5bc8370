"""Text that is safe and pleasant on a terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.output.text import WIDTH, human_duration, human_size, one_line, pretty_json, safe

HOSTILE = ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\u2066", "\r", "\x00", "\ud800", "\U000e0041", "\u2028", "\x85"]
TEXT = st.text(st.characters(codec=None, exclude_categories=())) | st.lists(st.sampled_from(HOSTILE)).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=60,
)


@given(VALUES)
def test_pretty_json_is_the_same_json_and_does_nothing_to_a_terminal(value: object) -> None:
    text = pretty_json(value)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()


@given(st.lists(st.integers() | st.floats(allow_nan=False), min_size=30))
def test_long_lists_of_numbers_are_wrapped(value: list[float]) -> None:
    lines = pretty_json(value).splitlines()
    longest = max(len(json.dumps(item)) for item in value)
    assert all(len(line) <= max(WIDTH, longest + 3) for line in lines)
    assert len(lines) <= 2 + len(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ([], "[]"),
        ({"a": [1, 2], "b": "ü"}, '{"a": [1, 2], "b": "ü"}'),
        ({"a": "x" * 100, "b": {}}, '{\n  "a": "' + "x" * 100 + '",\n  "b": {}\n}'),
        ([{"a": "x" * 50}, {"b": "y" * 50}], '[\n  {"a": "' + "x" * 50 + '"},\n  {"b": "' + "y" * 50 + '"}\n]'),
        ("\x1b\u202e\x85\U000e0041", '"\\u001b\\u202e\\u0085\\udb40\\udc41"'),
    ],
    ids=["object", "list", "short", "long object", "long list", "hostile"],
)
def test_pretty_json_looks_like_this(value: object, text: str) -> None:
    assert pretty_json(value) == text


@given(TEXT)
def test_safe_text_is_printable_and_what_is_printable_stays(text: str) -> None:
    assert safe(text).replace("\n", "").replace("\t", "").isprintable()
    assert one_line(text).isprintable()
    if text.isprintable():
        assert safe(text) == one_line(text) == text


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_what_could_do_something_to_a_terminal_is_spelled_out(hostile: str) -> None:
    assert safe(hostile).startswith("\\")
    assert "\\" in one_line(f"a\n{hostile}")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (3 << 20, "3.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 40, "1.0 TiB"),
        (3 << 50, "3.0 PiB"),
    ],
)
def test_sizes_as_a_person_says_them(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.004, "4 ms"), (1.5, "1.5 s"), (59.94, "59.9 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_as_a_person_says_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.9999, "1.0 s"), (59.96, "1 min 0 s"), (0.99951, "1.0 s")])
def test_durations_are_not_rounded_up_to_a_unit_they_do_not_have(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
