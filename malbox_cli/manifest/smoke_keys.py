"""The tables ``[[plugins.ID.smoke]]``: a sample, and what must hold of the task that a plugin makes of it."""

import base64
import binascii
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time

from malbox_cli.manifest.json_path import parse_path
from malbox_cli.manifest.specs import JsonExpected
from malbox_cli.manifest.table import Table, describe, shown
from plugin_runtime.report.values import Classification
from plugin_runtime.wire.names import MAX_NAME_BYTES

__all__ = ["OUTCOMES", "SmokeKeys", "read_smoke_tests"]

OUTCOMES = ("completed", "failed", "canceled", "timeout")
"""How a task can end, as `control.records` names it."""

_CONTENTS = ("sample", "text", "hex", "base64")
_TEST = '[[plugins.ID.smoke]] with text = "..." and results = ["report"]'
_JSON = '{ "report:$.verdict.score" = 90 }'


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeKeys:
    """One test as it was read.

    Attributes:
        name: What it is called.
        sample: The sample's path, as written; None where its content is in the manifest.
        data: The sample's content.
        config: What is set on top of the plugin's configuration.
        results: Names of results.
        json: Values in JSON results.
        verdict: The report's classification.
        outcome: How the task ends.
        error: What has to be in the reason for it.
        timeout: Seconds that it may take.
    """

    name: str
    sample: str | None = None
    data: bytes | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    json: tuple[JsonExpected, ...] = ()
    verdict: str | None = None
    outcome: str = "completed"
    error: str | None = None
    timeout: float | None = None


def read_smoke_tests(table: Table, *, refuse_name: Callable[[str], str | None]) -> tuple[SmokeKeys, ...]:
    """Return the smoke tests of a plugin's table, with whatever is wrong added to its findings."""
    read: dict[str, SmokeKeys] = {}
    for number, one in enumerate(table.tables("smoke", example=_TEST), 1):
        keys = _test(one, number, refuse_name)
        if keys.name in read:
            one.error("name", f"is {shown(keys.name)}, as that of a test before it; give it another name")
        read[keys.name] = keys
    return tuple(read.values())


def _test(table: Table, number: int, refuse_name: Callable[[str], str | None]) -> SmokeKeys:
    name = table.string("name", expected='a name such as "packed file"')
    there = [key for key in _CONTENTS if table.has(key)]
    if not there:
        table.error(_CONTENTS[0], f'is missing: a test needs a sample; write one of {_list()}, such as text = "hello"')
    for key in there[1:]:
        table.error(key, f"stands beside {there[0]}, but a test has one sample; remove one of the two")
    sample = table.string("sample", expected='the path of a file, such as "samples/packed.exe"')
    text = table.string("text", expected="the sample's content as text", may_be_empty=True)
    data = None if text is None else text.encode()
    data = _bytes(table, "hex", bytes.fromhex, '"4d5a9000"') or data
    data = _bytes(table, "base64", _from_base64, '"TVqQAA=="') or data
    results = table.strings("results", expected='an array of results\' names such as ["report"]') or ()
    for index, result in enumerate(results):
        if not 0 < len(result.encode()) <= MAX_NAME_BYTES:
            table.error_in("results", index, f"is no name of a result, which has 1 to {MAX_NAME_BYTES} bytes")
    read = SmokeKeys(
        name=name or f"#{number}",
        sample=sample,
        data=(data if data is not None else b"") if sample is None else None,
        config=table.string_map("config", example='config = { depth = "2" }', refuse_name=refuse_name),
        results=results,
        json=tuple(_json(table)),
        verdict=table.choice("verdict", [one.value for one in Classification]),
        outcome=table.choice("outcome", OUTCOMES) or "completed",
        error=table.string("error", expected='a part of the reason, such as "no section"'),
        timeout=table.duration("timeout", example="30s"),
    )
    if read.error is not None and read.outcome == "completed":
        table.error("error", 'goes with another outcome than "completed"; write outcome = "failed", or remove it')
    table.finish()
    return read


def _list() -> str:
    return f"{', '.join(_CONTENTS[:-1])} and {_CONTENTS[-1]}"


def _bytes(table: Table, key: str, decode: Callable[[str], bytes], example: str) -> bytes | None:
    text = table.string(key, expected=f"the sample's content in {key}, such as {example}", may_be_empty=True)
    if text is None:
        return None
    try:
        return decode(text)
    except ValueError as error:
        table.error(key, f"is {shown(text)}, which is not {key}: {error}; write {example}, for example")
        return None


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error).lower()) from error


def _json(table: Table) -> Iterator[JsonExpected]:
    expected = table.table("json", example=_JSON)
    for key, value in expected.data.items() if expected is not None else ():
        result, colon, path = key.partition(":$")
        fault = _value_fault(value)
        if not result or not colon:
            expected_key = 'a result\'s name, a colon and a path, such as "report:$.verdict.score"'
            table.error_below("json", key, f"is no key of this table; write {expected_key}")
        elif fault is not None:
            table.error_below("json", key, fault)
        else:
            try:
                yield JsonExpected(key=key, result=result, path=parse_path(f"${path}"), value=value)
            except ValueError as error:
                table.error_below("json", key, str(error))


def _value_fault(value: object) -> str | None:
    """Return why JSON cannot have a value, None if it can."""
    match value:
        case dict():
            return next((fault for each in value.values() if (fault := _value_fault(each)) is not None), None)
        case list():
            return next((fault for each in value if (fault := _value_fault(each)) is not None), None)
        case date() | time():
            return f"is {describe(value)}, which JSON does not have; write the text that the plugin pushes, in quotes"
        case float() if not math.isfinite(value):
            return f"is {describe(value)}, which JSON does not have"
        case _:
            return None
