import ctypes
import sys
from typing import Any

import pytest
from wire_vectors import vectors

from plugin_runtime.wire import headers

TYPES = vectors()["header_types"]
CASES = vectors()["headers"]


def test_the_machine_is_little_endian_as_the_wire_is() -> None:
    assert sys.byteorder == "little"


@pytest.mark.parametrize("name", TYPES)
def test_a_header_has_the_type_name_the_size_and_the_alignment_that_iceoryx2_compares(name: str) -> None:
    header = getattr(headers, name)
    assert header.type_name() == TYPES[name]["type_name"]
    assert ctypes.sizeof(header) == TYPES[name]["size"]
    assert ctypes.alignment(header) == TYPES[name]["alignment"]


@pytest.mark.parametrize("name", TYPES)
def test_a_header_s_fields_leave_no_byte_to_chance(name: str) -> None:
    header = getattr(headers, name)
    assert sum(ctypes.sizeof(kind) for _, kind in header._fields_) == ctypes.sizeof(header)
    assert bytes(header()) == bytes(TYPES[name]["size"])


@pytest.mark.parametrize("case", CASES, ids=[f"{case['header']}-{case['bytes'][:16]}" for case in CASES])
def test_a_header_is_these_bytes_in_both_directions(case: dict[str, Any]) -> None:
    header = getattr(headers, case["header"])
    data = bytes.fromhex(case["bytes"])
    assert bytes(header(**case["fields"])) == data
    read = header.from_buffer_copy(data)
    assert {field: getattr(read, field) for field in case["fields"]} == case["fields"]


def test_every_header_is_in_the_table() -> None:
    assert {case["header"] for case in CASES} == set(TYPES)
    assert set(TYPES) == {name for name in headers.__all__ if name.endswith("Header")}


def test_the_flags_are_two_bits() -> None:
    assert (headers.IS_FINAL, headers.HAS_MORE_CHUNKS) == (1, 2)
