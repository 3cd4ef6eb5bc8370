"""JSON that every reader can read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malbox_cli.control.json_text import MAX_DEPTH, on_one_line, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=VALUES, indent=st.sampled_from([None, 1, "\r\n"]), ascii_only=st.booleans())
def test_what_python_writes_is_read_and_stays_what_it_is_on_one_line(
    value: object, indent: int | str | None, *, ascii_only: bool
) -> None:
    # Lone surrogates have no UTF-8; as escapes they are fine.
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    assert parse_json(data) == value
    assert json.loads(on_one_line(text)) == value
    assert "\n" not in on_one_line(text)
    assert "\r" not in on_one_line(text)


@given(st.binary())
def test_any_bytes_are_json_or_a_value_error(data: bytes) -> None:
    try:
        value = parse_json(data)
    except ValueError:
        return
    assert json.loads(data.decode()) == value


@pytest.mark.parametrize("depth", [1, MAX_DEPTH, MAX_DEPTH + 1, 950, 5000, 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_what_is_nested_too_deep_for_a_reader_is_refused(depth: int, brackets: str) -> None:
    outer = "[" if brackets == "[]" else '{"a":'
    data = (outer * (depth - 1) + brackets + brackets[1] * (depth - 1)).encode()
    if depth <= MAX_DEPTH:
        assert json.dumps(parse_json(data), separators=(",", ":")).encode() == data
    else:
        with pytest.raises(ValueError, match="nested too deep"):
            parse_json(data)


def test_many_brackets_beside_each_other_are_not_deep() -> None:
    assert parse_json(json.dumps([[]] * 1000).encode()) == [[]] * 1000


@pytest.mark.parametrize("data", [b"NaN", b"[Infinity]", b"-Infinity", b"1e400", b"-1e400", b"\xef\xbb\xbf1", b"\xff"])
def test_what_only_python_takes_for_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(data)
