"""What can be told of a file by reading it once, in bounded memory."""

import codecs
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ppdeep
import puremagic
from content_measures import EntropyMeter, StringCounter

__all__ = ["CONFIG_KEYS", "FileFacts", "FileType", "SampleUnreadable", "Settings", "analyse"]

PIECE_SIZE = 256 * 1024  # read and measured at once; a cancel waits for one piece, about 20 ms
HEAD_SIZE = 4096  # looked at to tell text from data
CONFIG_KEYS = frozenset({"max_size", "fuzzy_max_size", "min_string"})

_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?")
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")  # bytes that text does without


class SampleUnreadable(Exception):
    """The sample is not there any more, or is not a file that can be read."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much work a file is worth.

    Attributes:
        max_size: Entropy and strings cover this many bytes from the beginning; the hashes cover all of the file.
        fuzzy_max_size: No fuzzy hash of files with more bytes. ppdeep takes about 0.5 s for a MiB, and several
            times as long for one of zeros, as it starts again with every smaller block size; it cannot be interrupted.
        min_string: A printable string has at least this many characters.
    """

    max_size: int = 64 * 2**20
    fuzzy_max_size: int = 512 * 2**10
    min_string: int = 4

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> "Settings":
        """Return the settings that a plugin's or a task's configuration asks for; other keys in it do not matter.

        Raises:
            ValueError: A value makes no sense.
        """
        default = cls()
        return cls(
            max_size=_size("max_size", config, default.max_size),
            fuzzy_max_size=_size("fuzzy_max_size", config, default.fuzzy_max_size),
            min_string=_count("min_string", config, default.min_string),
        )


@dataclass(frozen=True, slots=True)
class FileType:
    """What the content looks like.

    Attributes:
        description: For people.
        mime: The media type, empty if there is none.
        extension: The extension that such files have, empty if there is none.
        confidence: How sure it is, from 0 to 1.
    """

    description: str
    mime: str = ""
    extension: str = ""
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What was found. `left_out` says in words what was not looked at, and why."""

    size: int
    md5: str
    sha1: str
    sha256: str
    fuzzy_hash: str | None
    type: FileType
    other_types: list[FileType]
    entropy: float
    entropy_block_size: int
    entropy_blocks: list[float]
    strings_ascii: int
    strings_utf16le: int
    min_string: int
    bytes_measured: int
    left_out: list[str]

    def as_json_object(self) -> dict[str, Any]:
        """Return it as JSON can hold it, entropy rounded to four digits."""
        found = asdict(self)
        found["entropy"] = round(self.entropy, 4)
        found["entropy_blocks"] = [round(value, 4) for value in self.entropy_blocks]
        return found


def analyse(path: Path, settings: Settings, watch: Callable[[float], None]) -> FileFacts:
    """Read the file at `path` once and return what there is to say.

    `watch` is called after every piece with the fraction that is done; what it raises ends the analysis.

    Raises:
        SampleUnreadable: The file is not there, is no plain file, or cannot be read.
    """
    try:
        if not path.is_file():  # opening a FIFO would wait for ever
            raise SampleUnreadable(f"the sample {str(path)!r} is not there any more or is not a plain file")
        with path.open("rb") as file:
            return _analyse(file, settings, watch)
    except OSError as error:
        raise SampleUnreadable(f"the sample {str(path)!r} cannot be read: {error.strerror or error}") from error


def _analyse(file: BinaryIO, settings: Settings, watch: Callable[[float], None]) -> FileFacts:
    size = os.fstat(file.fileno()).st_size
    types = _types(file, size)
    to_measure = min(size, settings.max_size)
    with_fuzzy = size <= settings.fuzzy_max_size

    hashes = (hashlib.md5(usedforsecurity=False), hashlib.sha1(usedforsecurity=False), hashlib.sha256())
    entropy = EntropyMeter(to_measure)
    ascii_strings = StringCounter(settings.min_string)
    wide_strings = StringCounter(settings.min_string, wide=True)
    content = bytearray()
    done = 0
    while done < size:  # up to the size it had: a file that somebody appends to has an end as well
        data = file.read(min(PIECE_SIZE, size - done))
        if not data:
            break
        for digest in hashes:
            digest.update(data)
        measured = data[: max(0, to_measure - done)]
        entropy.feed(measured)
        ascii_strings.feed(measured)
        wide_strings.feed(measured)
        if with_fuzzy:
            content += data
        done += len(data)
        watch(done / size)

    left_out = []
    if to_measure < size:
        left_out.append(f"entropy and strings cover the first {to_measure} of {size} bytes (max_size)")
    if not with_fuzzy:
        left_out.append(f"no fuzzy hash: the file has more than {settings.fuzzy_max_size} bytes (fuzzy_max_size)")
    if done < size:
        left_out.append(f"the file shrank while it was read: of {size} bytes {done} were there")
    total, blocks = entropy.finish()
    return FileFacts(
        size=done,
        md5=hashes[0].hexdigest(),
        sha1=hashes[1].hexdigest(),
        sha256=hashes[2].hexdigest(),
        fuzzy_hash=ppdeep.hash(bytes(content)) if with_fuzzy else None,
        type=types[0],
        other_types=types[1:],
        entropy=total,
        entropy_block_size=entropy.block_size,
        entropy_blocks=blocks,
        strings_ascii=ascii_strings.count,
        strings_utf16le=wide_strings.count,
        min_string=settings.min_string,
        bytes_measured=min(done, to_measure),
        left_out=left_out,
    )


def _types(file: BinaryIO, size: int) -> list[FileType]:
    """Return what the content may be, best guess first, never nothing; the file is at its beginning afterwards."""
    if size == 0:
        return [FileType("empty", "application/x-empty", "", 1.0)]
    head = file.read(HEAD_SIZE)
    file.seek(0)
    if not head.strip(b"\0"):  # signatures that are mostly zeros would match
        return [FileType("data, zeros at the beginning", "application/octet-stream")]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # to puremagic that is a Windows INI file
        return [FileType("text in UTF-16", "text/plain", ".txt", 0.5)]
    try:
        matches = puremagic.magic_stream(file)  # reads a few KiB at either end
    except (puremagic.PureError, ValueError):  # nothing known, or nothing there
        matches = []
    finally:
        file.seek(0)
    types = [FileType(match.name, match.mime_type, match.extension, match.confidence) for match in matches]
    return types or [_text_or_data(head, is_all=size <= HEAD_SIZE)]


def _text_or_data(head: bytes, *, is_all: bool) -> FileType:
    """Return what a file without a signature is, judged by its beginning, or by all of it."""
    if not _CONTROLS.search(head):
        try:
            # A character that is cut at the end of the head is no reason to call it data.
            text = codecs.getincrementaldecoder("utf-8")().decode(head, final=is_all)
        except UnicodeDecodeError:
            pass
        else:
            encoding = "ASCII" if text.isascii() else "UTF-8"
            return FileType(f"text in {encoding}", "text/plain", ".txt", 0.5)
    return FileType("data", "application/octet-stream")


def _size(key: str, config: Mapping[str, str], default: int) -> int:
    if key not in config:
        return default
    match = _SIZE.fullmatch(config[key].strip())
    if not match:
        raise ValueError(f"config {key}: a size such as '64MiB' or '512KiB' is expected, not {config[key]!r}")
    return int(match[1]) * _UNITS[match[2] or "B"]


def _count(key: str, config: Mapping[str, str], default: int) -> int:
    if key not in config:
        return default
    text = config[key].strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= 1024):
        raise ValueError(f"config {key}: a whole number from 1 to 1024 is expected, not {config[key]!r}")
    return int(text)
