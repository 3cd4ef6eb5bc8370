import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_runtime.errors import ResultRefused
from plugin_runtime.results import PluginResult, check_json_bytes

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def test_json_is_compact_and_utf8() -> None:
    result = PluginResult.json("größe", {"bytes": 3, "names": ["ä", "\N{PILE OF POO}"]})
    assert (result.name, result.kind, result.path) == ("größe", "json", None)
    assert result.data == '{"bytes":3,"names":["ä","\N{PILE OF POO}"]}'.encode()


@given(JSON_VALUES)
def test_what_json_encodes_is_json_and_comes_back(value: Any) -> None:
    result = PluginResult.json("any", value)
    check_json_bytes("any", result.data)
    assert json.loads(result.data) == value


def test_json_is_encoded_when_it_is_made() -> None:
    value = {"n": 1}
    result = PluginResult.json("n", value)
    value["n"] = 2
    assert result.data == b'{"n":1}'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(float("nan"), "not JSON compliant", id="nan"),
        pytest.param([float("-inf")], "not JSON compliant", id="infinity"),
        pytest.param({"k": b"bytes"}, "bytes is not JSON serializable", id="bytes"),
        pytest.param({("a", 1): 2}, "keys must be", id="key"),
        pytest.param("\udc80", "surrogates not allowed", id="surrogate"),
        pytest.param(circular(), "Circular reference", id="circular"),
        pytest.param(nested(200_000), "nested too deep", id="nested"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_the_name_and_the_reason(value: Any, reason: str) -> None:
    with pytest.raises(ResultRefused, match=reason) as refused:
        PluginResult.json("finding", value)
    assert "'finding'" in str(refused.value)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview], ids=lambda make: make.__name__)
def test_bytes_keeps_a_copy(make: Callable[[bytes], Any]) -> None:
    result = PluginResult.bytes("dump", make(b"\x00\xff"))
    assert (result.kind, result.data) == ("bytes", b"\x00\xff")
    assert type(result.data) is bytes


def test_bytes_does_not_follow_later_changes() -> None:
    data = bytearray(b"before")
    result = PluginResult.bytes("dump", data)
    data[:] = b"after!"
    assert result.data == b"before"


def test_bytes_refuses_text() -> None:
    text: Any = "text"
    with pytest.raises(ResultRefused, match="'dump' takes bytes, not str"):
        PluginResult.bytes("dump", text)


@pytest.mark.parametrize("path", ["/samples/a", Path("/samples/a")], ids=["text", "path"])
def test_file_holds_the_path_and_no_data(path: str | Path) -> None:
    result = PluginResult.file("dropped", path)
    assert (result.kind, result.path, result.data) == ("file", Path("/samples/a"), b"")


@pytest.mark.parametrize("path", ["", "a\0b", 7, None, b"/a"], ids=["empty", "nul", "number", "none", "bytes"])
def test_file_refuses_what_is_no_path(path: Any) -> None:
    with pytest.raises(ResultRefused, match="'dropped' takes"):
        PluginResult.file("dropped", path)


@pytest.mark.parametrize(
    "make",
    [
        lambda name: PluginResult.json(name, 1),
        lambda name: PluginResult.bytes(name, b""),
        lambda name: PluginResult.file(name, "/a"),
        lambda name: PluginResult(name, "bytes"),
    ],
    ids=["json", "bytes", "file", "plain"],
)
@pytest.mark.parametrize("name", ["", "ä" * 128], ids=["empty", "256 bytes"])
def test_a_name_that_cannot_travel_is_refused_when_the_result_is_made(
    make: Callable[[str], PluginResult], name: str
) -> None:
    with pytest.raises(ResultRefused):
        make(name)


def test_a_name_of_255_bytes_is_kept_whole() -> None:
    name = "ä" * 127 + "a"
    assert PluginResult.bytes(name, b"").name == name


def test_a_result_cannot_be_changed() -> None:
    result: Any = PluginResult.bytes("dump", b"")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.name = "other"


@pytest.mark.parametrize("data", [b"null", b' {"a": [1.5, "\xc3\xa4"]}\n', b'"\\ud83d\\ude00"'])
def test_json_as_bytes_passes(data: bytes) -> None:
    check_json_bytes("size", data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "Expecting value", id="empty"),
        pytest.param(b"{'a': 1}", "property name", id="quotes"),
        pytest.param(b"1 2", "Extra data", id="two values"),
        pytest.param(b"[NaN]", "NaN is not a number in JSON", id="nan"),
        pytest.param(b"-Infinity", "-Infinity is not a number", id="infinity"),
        pytest.param(b'"\xff"', "can't decode", id="not utf-8"),
        pytest.param('"a"'.encode("utf-16"), "can't decode", id="utf-16"),
        pytest.param(b"\xef\xbb\xbf1", "BOM", id="byte order mark"),
        pytest.param(b"[" * 200_000, "nested too deep", id="nested"),
        pytest.param("{}", "as bytes, not str", id="text"),
    ],
)
def test_bytes_that_are_no_json_are_refused_with_the_name_and_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ResultRefused, match=reason) as refused:
        check_json_bytes("size", data)
    assert "'size'" in str(refused.value)
