"""The cases of `vectors.json`, with what it describes written out."""

import json
from functools import cache
from pathlib import Path
from typing import Any

_PATTERN = b"".join(number.to_bytes(4, "big") for number in range(0, 65536, 7))


@cache
def vectors() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
    return read


def text_of(described: Any) -> str:
    return described if isinstance(described, str) else described["repeat"] * described["times"]


def bytes_of(described: Any) -> bytes:
    parts = described if isinstance(described, list) else [described]
    return b"".join(bytes.fromhex(text_of(part)) for part in parts)


def config_of(described: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(described, dict):
        return tuple((f"k{number}", str(number)) for number in range(described["numbered"]))
    return tuple((text_of(key), text_of(value)) for key, value in described)


def block(size: int) -> memoryview:
    """Return bytes in which a piece that is missing, doubled or moved shows."""
    return memoryview((_PATTERN * (size // len(_PATTERN) + 1))[:size])
