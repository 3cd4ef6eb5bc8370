"""What a plugin hands in: named results, checked and encoded when they are made."""

import json as _json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias

from plugin_runtime.errors import ResultRefused
from plugin_runtime.wire.codec import check_result_name

__all__ = ["PluginResult", "check_json_bytes"]

_Bytes: TypeAlias = bytes  # inside PluginResult the name `bytes` is its static method


@dataclass(frozen=True, slots=True)
class PluginResult:
    """A result of a task, made by `json`, `bytes` or `file`. It never changes and can be pushed any number of times.

    Attributes:
        name: Its name, at most 255 bytes of UTF-8.
        kind: Which of the three it is.
        data: What travels, for JSON the encoded text; empty for a file.
        path: The file, for kind ``file`` only. It is opened when the result is pushed, not before.
    """

    name: str
    kind: Literal["json", "bytes", "file"]
    data: _Bytes = b""
    path: Path | None = None

    def __post_init__(self) -> None:
        check_result_name(self.name)

    @staticmethod
    def json(name: str, data: Any) -> "PluginResult":  # noqa: ANN401 - whatever the json module can encode
        """Return a JSON result; `data` is encoded at once, so that later changes to it do not matter.

        Raises:
            ResultRefused: The name cannot travel, or `data` holds what JSON has no form for, NaN and infinity included.
        """
        check_result_name(name)
        try:
            text = _json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            encoded = text.encode()
        except RecursionError as error:
            raise ResultRefused(f"result {name!r} cannot be written as JSON: it is nested too deep") from error
        except (TypeError, ValueError) as error:
            raise ResultRefused(f"result {name!r} cannot be written as JSON: {error}") from error
        return PluginResult(name, "json", encoded)

    @staticmethod
    def bytes(name: str, data: _Bytes | bytearray | memoryview) -> "PluginResult":
        """Return a result of plain bytes, of which a copy is kept.

        Raises:
            ResultRefused: The name cannot travel, or `data` is not bytes.
        """
        check_result_name(name)
        if not isinstance(data, _Bytes | bytearray | memoryview):
            raise ResultRefused(f"result {name!r} takes bytes, not {type(data).__name__}; encode it first")
        return PluginResult(name, "bytes", _Bytes(data))

    @staticmethod
    def file(name: str, path: str | os.PathLike[str]) -> "PluginResult":
        """Return a result whose data is the file at `path`, which has to be there when it is pushed.

        Raises:
            ResultRefused: The name cannot travel, or `path` is not one.
        """
        check_result_name(name)
        try:
            checked = Path(path)
        except TypeError as error:
            raise ResultRefused(f"result {name!r} takes a path, not {type(path).__name__}") from error
        if not os.fspath(path) or "\0" in os.fspath(path):
            raise ResultRefused(f"result {name!r} takes the path of a file, not {os.fspath(path)!r}")
        return PluginResult(name, "file", path=checked)


def check_json_bytes(name: str, data: bytes) -> None:
    """Check that `data` is one JSON value in UTF-8, as the reader of the result called `name` will take it to be.

    Raises:
        ResultRefused: It is not; the text says where it ends being JSON.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ResultRefused(f"result {name!r} takes JSON as bytes, not {type(data).__name__}")
    try:
        _json.loads(str(data, "utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ResultRefused(f"result {name!r} is not usable JSON: it is nested too deep") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise ResultRefused(f"result {name!r} is not JSON in UTF-8: {error}") from error


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")
