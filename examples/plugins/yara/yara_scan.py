"""Scan a file with compiled rules, in bounded memory and time."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yara_x

__all__ = [
    "CONFIG_KEYS",
    "SHOWN_BYTES",
    "RuleMatch",
    "SampleUnreadable",
    "Scan",
    "ScanTimedOut",
    "Settings",
    "StringMatch",
    "scan",
]

SHOWN_BYTES = 64
STRINGS_A_PATTERN = 10
MATCHES_A_PATTERN = 1000  # what a rule's condition can count to

CONFIG_KEYS = frozenset({"max_size", "timeout", "rules"})
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SECONDS = re.compile(r"(\d{1,6})\s*(s|m)?")


class SampleUnreadable(Exception):
    """The sample is not there any more, or is not a file that can be read."""


class ScanTimedOut(Exception):
    """The scan took longer than it may."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much work a file is worth.

    Attributes:
        max_size: This many bytes from the beginning are scanned. They are read, not mapped: a mapped file that
            somebody truncates kills the process.
        timeout: Seconds that a scan may take. YARA-X looks at the clock about once a second, while patterns match.
    """

    max_size: int = 64 * 2**20
    timeout: int = 60

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> "Settings":
        """Return the settings that a plugin's or a task's configuration asks for; other keys in it do not matter.

        Raises:
            ValueError: A value makes no sense.
        """
        settings = cls()
        if "max_size" in config:
            size = _SIZE.fullmatch(config["max_size"].strip())
            if not size:
                raise ValueError(f"config max_size: a size such as '64MiB' is expected, not {config['max_size']!r}")
            settings = cls(int(size[1]) * _UNITS[size[2] or "B"], settings.timeout)
        if "timeout" in config:
            time = _SECONDS.fullmatch(config["timeout"].strip())
            if not time or not int(time[1]):
                raise ValueError(f"config timeout: a time such as '60s' is expected, not {config['timeout']!r}")
            settings = cls(settings.max_size, int(time[1]) * (60 if time[2] == "m" else 1))
        return settings


@dataclass(frozen=True, slots=True)
class StringMatch:
    r"""Where a string of a rule stands.

    Attributes:
        identifier: The string's name in the rule.
        offset: Where it begins in the file.
        length: How many bytes it has.
        data: The first 64 of them; what is not printable ASCII, and the backslash, as ``\xNN``.
        xor_key: What every byte of it was combined with, for a string that is looked for in that way.
    """

    identifier: str
    offset: int
    length: int
    data: str
    xor_key: int | None = None


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A rule that matched, with at most ten places for each of its strings."""

    rule: str
    namespace: str
    tags: list[str]
    meta: dict[str, Any]
    strings: list[StringMatch]


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found. `scanned` is less than `size` where the file is larger than what may be scanned."""

    size: int
    scanned: int
    matches: list[RuleMatch]

    def as_json_object(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def scan(rules: yara_x.Rules, path: Path, settings: Settings) -> Scan:
    """Scan the file at `path` and return what matched, in the order of the rules.

    It cannot be interrupted, and YARA-X keeps Python's other threads waiting for as long as it scans.

    Raises:
        SampleUnreadable: The file is not there, is no plain file, or cannot be read.
        ScanTimedOut: It took longer than the settings allow.
    """
    try:
        if not path.is_file():  # opening a FIFO would wait for ever
            raise SampleUnreadable(f"the sample {str(path)!r} is not there any more or is not a plain file")
        with path.open("rb") as file:
            data = file.read(settings.max_size)
            size = max(len(data), file.seek(0, 2))
    except OSError as error:
        raise SampleUnreadable(f"the sample {str(path)!r} cannot be read: {error.strerror or error}") from error

    scanner = yara_x.Scanner(rules)
    scanner.set_timeout(settings.timeout)
    scanner.max_matches_per_pattern(MATCHES_A_PATTERN)
    try:
        results = scanner.scan(data)
    except yara_x.TimeoutError as error:
        raise ScanTimedOut(f"the scan took longer than {settings.timeout} s (config timeout)") from error
    return Scan(size, len(data), [_rule_match(rule, data) for rule in results.matching_rules])


def _rule_match(rule: yara_x.Rule, data: bytes) -> RuleMatch:
    meta = {key: escaped(value) if isinstance(value, bytes) else value for key, value in rule.metadata}
    strings = [
        StringMatch(
            pattern.identifier,
            match.offset,
            match.length,
            escaped(data[match.offset : match.offset + min(match.length, SHOWN_BYTES)]),
            match.xor_key or None,
        )
        for pattern in rule.patterns
        for match in list(pattern.matches)[:STRINGS_A_PATTERN]
    ]
    return RuleMatch(rule.identifier, rule.namespace, list(rule.tags), meta, strings)


def escaped(data: bytes) -> str:
    r"""Return bytes as printable ASCII, with ``\xNN`` for what is not and for the backslash."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in data)
