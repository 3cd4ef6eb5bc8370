import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_runtime.errors import ProtocolError
from plugin_runtime.wire.codec import decode_hello, encode_hello
from plugin_runtime.wire.messages import Hello

HELLO = Hello(1, "malbox-python 0.1.0", "0.10.0", "file-info", "1.2", "n0nce", frozenset({"credits", "cancel"}))
BYTES = (
    b'{"protocol":1,"runtime":"malbox-python 0.1.0","iceoryx2":"0.10.0","plugin":"file-info","version":"1.2",'
    b'"instance":"n0nce","extensions":["cancel","credits"]}'
)

short_texts = st.text(max_size=8)
any_texts = st.text(st.characters(exclude_categories=()), max_size=600)  # lone surrogates too


def test_a_hello_is_these_bytes_in_both_directions() -> None:
    assert encode_hello(HELLO) == BYTES
    assert decode_hello(memoryview(BYTES)) == HELLO


def test_a_plugin_of_the_reference_says_nothing() -> None:
    assert decode_hello(b"") is None


def test_what_is_missing_is_empty_and_what_is_unknown_is_ignored() -> None:
    assert decode_hello(b'{"protocol": 2, "colour": "red"}') == Hello(2, "", "", "", "", "")


SHORTENED = {
    "plugin": (Hello(1, "r", "i", "p" * 600, "v", "n", frozenset({"x"})), {"runtime", "iceoryx2", "version"}),
    "version": (Hello(1, "r", "i", "p" * 600, "v" * 600, "n", frozenset({"x"})), {"runtime", "iceoryx2"}),
    "runtime": (Hello(1, "r" * 600, "i", "p" * 600, "v" * 600, "n", frozenset({"x"})), {"iceoryx2"}),
    "iceoryx2": (Hello(1, "r" * 600, "i" * 600, "p" * 600, "v" * 600, "n", frozenset({"x"})), set()),
}


@pytest.mark.parametrize("field", SHORTENED)
def test_a_long_hello_loses_what_is_for_people_first(field: str) -> None:
    hello, untouched = SHORTENED[field]
    data = encode_hello(hello)
    read = decode_hello(data)
    assert read is not None
    assert 500 < len(data) <= 512
    assert getattr(read, field).endswith("…")
    for name in (*untouched, "protocol", "instance", "extensions"):
        assert getattr(read, name) == getattr(hello, name)


def test_too_many_extensions_lose_the_last_ones_and_never_the_instance() -> None:
    extensions = frozenset(f"extension-{number:03}" for number in range(100))
    read = decode_hello(encode_hello(Hello(1, "r", "i", "p", "v", "n0nce", extensions)))
    assert read is not None
    assert read.instance == "n0nce"
    assert 20 < len(read.extensions) < 40
    assert sorted(read.extensions) == sorted(extensions)[: len(read.extensions)]


def test_an_instance_that_has_no_room_is_left_out() -> None:
    read = decode_hello(encode_hello(Hello(1, "r", "i", "p", "v", "n" * 600, frozenset({"cancel"}))))
    assert read == Hello(1, "", "", "", "", "")


def test_a_protocol_that_has_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="too many digits"):
        encode_hello(Hello(10**600, "", "", "", "", ""))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"{",
        b"[]",
        b"1",
        b"{}",
        b'{"protocol": "1"}',
        b'{"protocol": true}',
        b'{"protocol": 1.0}',
        b'{"protocol": 1, "plugin": 1}',
        b'{"protocol": 1, "instance": null}',
        b'{"protocol": 1, "extensions": "cancel"}',
        b'{"protocol": 1, "extensions": [1]}',
        b'{"protocol": 1, "extensions": null}',
        b"[" * 512,
        BYTES + b" " * 512,
    ],
    ids=lambda data: data[:40].decode("latin-1"),
)
def test_a_malformed_hello_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="PluginStarted"):
        decode_hello(data)


@given(
    st.builds(
        Hello,
        st.integers(0, 99),
        short_texts,
        short_texts,
        short_texts,
        short_texts,
        short_texts,
        st.frozensets(st.text("abc", max_size=8), max_size=4),
    )
)
def test_a_short_hello_comes_back(hello: Hello) -> None:
    assert decode_hello(encode_hello(hello)) == hello


@given(
    st.builds(
        Hello,
        st.integers(),
        any_texts,
        any_texts,
        any_texts,
        any_texts,
        any_texts,
        st.frozensets(any_texts, max_size=5),
    )
)
def test_any_hello_fits_and_can_be_read(hello: Hello) -> None:
    data = encode_hello(hello)
    read = decode_hello(data)
    assert len(data) <= 512
    assert read is not None
    assert read.protocol == hello.protocol
    assert read.instance in (hello.instance, "") or "\\u" in read.instance


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)


@given(
    st.dictionaries(st.sampled_from(["protocol", "runtime", "plugin", "instance", "extensions"]), values), st.binary()
)
def test_any_json_and_any_bytes_are_a_hello_or_a_protocol_error(answer: dict[str, Any], data: bytes) -> None:
    for attempt in (data, json.dumps(answer).encode(), json.dumps({"protocol": 1} | answer).encode()):
        try:
            read = decode_hello(attempt)
        except ProtocolError:
            continue
        assert read is None or isinstance(read.protocol, int)
