"""Whether what must hold of a smoke test's task does."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from malbox_cli.control.json_text import parse_json
from malbox_cli.control.records import Ended, Refused
from malbox_cli.manifest.json_path import NotThere, at, same
from malbox_cli.manifest.specs import SmokeTest

__all__ = ["Got", "Judgement", "judge", "needs_data_of"]

_REPORT = "report"
_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Got:
    """A result that came.

    Attributes:
        name: Its name.
        format: ``"json"``, ``"bytes"`` or ``"file"``.
        data: The text of a JSON result, where the test has something to say of it.
    """

    name: str
    format: str
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a test.

    Attributes:
        test: The test.
        failures: What does not hold, a line or more each; empty if it passed.
        outcome: How the task ended: a `control.records.Outcome`'s value, or ``"refused"`` or ``"not run"``.
        seconds: How long the task took.
    """

    test: SmokeTest
    failures: tuple[str, ...]
    outcome: str
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return not self.failures


def needs_data_of(test: SmokeTest, name: str) -> bool:
    """Return whether a test has something to say of what is in the result of this name."""
    return any(expected.result == name for expected in test.json) or (test.verdict is not None and name == _REPORT)


def judge(test: SmokeTest, got: Sequence[Got], end: Ended | Refused | None) -> Judgement:
    """Return what holds of a task and what does not.

    Args:
        test: What must hold.
        got: The results, in order; where several have one name the last one counts.
        end: How the task ended; None where it was not begun.
    """
    match end:
        case None:
            return Judgement(test, ("it was not run: malbox was stopped before",), "not run")
        case Refused():
            return Judgement(test, (f"the task was refused: {end.error}",), "refused")
    failures = [*_of_the_end(test, end), *_of_the_results(test, {result.name: result for result in got})]
    return Judgement(test, tuple(failures), end.outcome.value, end.seconds)


def _of_the_end(test: SmokeTest, end: Ended) -> Iterator[str]:
    if end.outcome.value != test.outcome:
        why = f": {end.error}" if end.error else ""
        yield f"the outcome is {end.outcome.value}, expected {test.outcome}{why}"
    elif test.error is not None and test.error not in (end.error or ""):
        yield f"the error does not have {test.error!r} in it: {end.error}"


def _of_the_results(test: SmokeTest, got: dict[str, Got]) -> Iterator[str]:
    there = ", ".join(map(repr, got)) or "none"
    for name in test.results:
        if name not in got:
            yield f"there is no result {name!r}; there is {there}"
    for expected in test.json:
        what = f"{expected.result}:{expected.key.partition(':')[2]}"
        try:
            value = at(_value(got, expected.result), expected.path)
        except (NotThere, ValueError) as error:
            yield f"{what}: {error}"
        else:
            if not same(value, expected.value):
                yield f"{what} is {_shown(value)}, expected {_shown(expected.value)}"
    if test.verdict is not None:
        try:
            verdict = at(_value(got, _REPORT), ("verdict", "classification"))
        except (NotThere, ValueError) as error:
            yield f"there is no verdict, expected {test.verdict}: {error}"
        else:
            if verdict != test.verdict:
                yield f"the verdict is {_shown(verdict)}, expected {_shown(test.verdict)}"


def _value(got: dict[str, Got], name: str) -> object:
    """Return what is in a JSON result.

    Raises:
        ValueError: There is no such result, or no JSON in it.
    """
    result = got.get(name)
    if result is None:
        raise ValueError(f"there is no result {name!r}; there is {', '.join(map(repr, got)) or 'none'}")
    if result.format != "json" or result.data is None:
        raise ValueError(f"the result {name!r} is {result.format}, not JSON")
    return parse_json(result.data.encode())


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
