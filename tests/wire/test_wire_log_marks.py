"""The marks that say the level and the task of a line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_runtime.wire.log_marks import MAX_FIELDS, LogMark, fields_text, mark_start, marked, parse_mark

KEY = "0123456789abcdef"
MARKS = st.builds(
    LogMark,
    st.sampled_from(["output", "trace", "debug", "info", "warning", "error"]),
    st.one_of(st.none(), st.integers(0, 2**31 - 1)),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3).map(fields_text),
)


@given(MARKS, st.binary())
def test_what_a_mark_says_is_read_again(mark: LogMark, text: bytes) -> None:
    line = marked(KEY, *mark).encode() + text
    assert line.startswith(mark_start(KEY))
    assert parse_mark(line.removeprefix(mark_start(KEY))) == (mark, text)


@given(st.binary())
def test_any_bytes_are_a_mark_or_none(data: bytes) -> None:
    parse_mark(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"info 1 text",
        b"loud 1 \x1ftext",
        b"info x \x1ftext",
        b"info \xb2 \x1ftext",
        b"info -1 \x1ftext",
        b"info 11111111111111111111 \x1ftext",
        b"info 1 \xff\x1ftext",
    ],
)
def test_what_is_no_mark_is_none(data: bytes) -> None:
    assert parse_mark(data) is None


def test_fields_are_json_whatever_is_in_them() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert fields_text({}) == ""
    assert json.loads(fields_text({"a": 1, "b": "\x1f\n\x1e"})) == {"a": 1, "b": "\x1f\n\x1e"}
    assert json.loads(fields_text({"a": loop}))["a"].startswith("[[")
    assert json.loads(fields_text({"a": {1, 2}}))["a"] == "{1, 2}"
    text = fields_text({"a": "\0" * 100_000})
    assert len(text) <= MAX_FIELDS
    assert list(json.loads(text)) == ["cut"]
