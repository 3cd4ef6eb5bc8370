import hashlib
import itertools
import json
import math
import os
import random
import re
import subprocess
import tomllib
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import example_plugins
import ppdeep
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_runtime import TaskCancelled

file_info = example_plugins.load("file-info", "file_info")
measures = example_plugins.load("file-info", "content_measures")
main = example_plugins.load("file-info", "main")
Settings = file_info.Settings

MIB = 2**20
NOISE = random.Random(1).randbytes(300_000)
PE_HEADER = b"MZ\x90\x00" + bytes(56) + b"\x80\x00\x00\x00" + bytes(64) + b"PE\0\0\x4c\x01"

# Few values, so that runs are likely, and both kinds of string in one input.
SOME_BYTES = st.lists(st.sampled_from([b"a", b"~", b"\t", b"\0", b"\n", b"\xff", b"a\0", b"abcd", b"a\0b\0c\0d\0"]))
CUTS = st.lists(st.integers(0, 60))


def analyse(path: Path, **settings: int) -> Any:
    return file_info.analyse(path, Settings(**settings), lambda _: None)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "sample"
    path.write_bytes(content)
    return path


def sparse(folder: Path, size: int) -> Path:
    path = folder / "sparse"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@pytest.mark.parametrize(
    "content",
    [b"", b"a", b"MZ", NOISE, bytes(1000), NOISE[: 256 * 1024], NOISE[: 256 * 1024 + 1]],
    ids=["empty", "one byte", "two bytes", "noise", "zeros", "one piece", "a piece and a byte"],
)
def test_hashes_and_size_are_those_of_the_file(tmp_path: Path, content: bytes) -> None:
    found = analyse(write(tmp_path, content))
    assert found.size == len(content)
    for name in ("md5", "sha1", "sha256"):
        assert getattr(found, name) == hashlib.new(name, content).hexdigest()


def test_the_fuzzy_hash_of_similar_files_is_similar(tmp_path: Path) -> None:
    first = analyse(write(tmp_path, NOISE[:50_000])).fuzzy_hash
    second = analyse(write(tmp_path, NOISE[:50_000] + b"more")).fuzzy_hash
    assert first != second
    assert ppdeep.compare(first, second) > 90


def test_above_its_limit_there_is_no_fuzzy_hash_and_the_result_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, b"x" * 101)
    assert analyse(path, fuzzy_max_size=101).fuzzy_hash is not None
    found = analyse(path, fuzzy_max_size=100)
    assert found.fuzzy_hash is None
    assert found.left_out == ["no fuzzy hash: the file has more than 100 bytes (fuzzy_max_size)"]


def test_above_its_limit_the_beginning_is_measured_and_everything_is_hashed(tmp_path: Path) -> None:
    content = b"A" * 2000 + bytes(500) + b"string" + NOISE
    found = analyse(write(tmp_path, content), max_size=2000)
    assert (found.entropy, found.strings_ascii, found.bytes_measured) == (0.0, 1, 2000)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.left_out == [f"entropy and strings cover the first 2000 of {len(content)} bytes (max_size)"]


@pytest.mark.parametrize(
    ("content", "description", "mime"),
    [
        (b"", "empty", "application/x-empty"),
        (bytes(5000), "data, zeros at the beginning", "application/octet-stream"),
        (b"\x01\x02\x03nothing known", "data", "application/octet-stream"),
        (b"just words\r\n", "text in ASCII", "text/plain"),
        ("Wörter".encode(), "text in UTF-8", "text/plain"),
        (("x" + "ö" * 4000).encode(), "text in UTF-8", "text/plain"),
        (b"ends in half a character \xc3", "data", "application/octet-stream"),
        ("words".encode("utf-16"), "text in UTF-16", "text/plain"),
    ],
    ids=["empty", "zeros", "unknown", "ascii", "utf-8", "utf-8 cut by the head", "broken utf-8", "utf-16"],
)
def test_a_file_without_a_signature_has_a_type_too(tmp_path: Path, content: bytes, description: str, mime: str) -> None:
    found = analyse(write(tmp_path, content))
    assert (found.type.description, found.type.mime) == (description, mime)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"MZ", "Windows"),
        (PE_HEADER, "Windows"),
        (PE_HEADER[:70], "Windows"),
        (b"\x7fELF\x02\x01\x01", "ELF"),
        (b"%PDF-1.7\n", "Portable Document"),
    ],
    ids=["mz", "pe", "pe cut off", "elf", "pdf"],
)
def test_a_signature_is_recognised_even_if_the_file_is_cut_off(tmp_path: Path, content: bytes, part: str) -> None:
    assert part in analyse(write(tmp_path, content)).type.description


@pytest.mark.parametrize(
    ("content", "bits"),
    [(b"", 0.0), (b"a" * 4096, 0.0), (b"ab" * 2048, 1.0), (bytes(range(256)) * 16, 8.0)],
    ids=["nothing", "one value", "two values", "all values"],
)
def test_entropy_is_in_bits_per_byte(content: bytes, bits: float) -> None:
    assert measures.entropy(Counter(content)) == pytest.approx(bits)


@pytest.mark.parametrize(
    ("size", "block_size", "blocks"),
    [
        (0, 1024, 0),
        (1, 1024, 1),
        (1024, 1024, 1),
        (1025, 1024, 2),
        (256 * 1024, 1024, 256),
        (256 * 1024 + 1, 1025, 256),
        (300_000, 1172, 256),
    ],
)
def test_there_are_at_most_256_blocks_of_at_least_1024_bytes(
    tmp_path: Path, size: int, block_size: int, blocks: int
) -> None:
    found = analyse(write(tmp_path, NOISE[:size]))
    assert (found.entropy_block_size, len(found.entropy_blocks)) == (block_size, blocks)


def test_the_entropy_of_a_block_is_that_of_its_bytes(tmp_path: Path) -> None:
    found = analyse(write(tmp_path, bytes(1024) + bytes(range(256)) * 4 + b"ab" * 100))
    assert found.entropy_blocks == pytest.approx([0.0, 8.0, 1.0])
    assert 0 < found.entropy < 8


@given(st.binary(max_size=5000), CUTS)
def test_entropy_does_not_depend_on_how_the_data_is_cut(data: bytes, cuts: list[int]) -> None:
    meter = measures.EntropyMeter(len(data))
    for piece in pieces(data, cuts):
        meter.feed(piece)
    total, blocks = meter.finish()
    shares = [count / len(data) for count in Counter(data).values()]
    assert total == pytest.approx(-sum(share * math.log2(share) for share in shares), abs=1e-9)
    assert len(blocks) == -(-len(data) // 1024)


@given(SOME_BYTES, CUTS, st.integers(1, 6))
def test_strings_do_not_depend_on_how_the_data_is_cut(parts: list[bytes], cuts: list[int], min_length: int) -> None:
    data = b"".join(parts)
    for wide, pattern in ((False, rb"[\t -~]{%d,}"), (True, rb"(?:[\t -~]\0){%d,}")):
        counter = measures.StringCounter(min_length, wide=wide)
        for piece in pieces(data, cuts):
            counter.feed(piece)
        assert counter.count == len(re.findall(pattern % min_length, data))


@pytest.mark.parametrize(
    ("content", "min_string", "ascii_count", "wide_count"),
    [
        (b"", 4, 0, 0),
        (b"abc\0abcd\0abcdef", 4, 2, 0),
        (b"abc\0abcd\0abcdef", 3, 3, 0),
        (b"\x01" + "wide string".encode("utf-16-le") + b"\xff\xff" + "odd".encode("utf-16-le"), 4, 0, 1),
        (b"plain text" + "wide text".encode("utf-16-le"), 4, 1, 1),
        (b"a" * 600_000, 4, 1, 0),
        (("b" * 300_000).encode("utf-16-le"), 4, 0, 1),
    ],
    ids=["empty", "four", "three", "wide at an odd offset", "both", "longer than a piece", "wide, longer than a piece"],
)
def test_printable_strings_are_counted(
    tmp_path: Path, content: bytes, min_string: int, ascii_count: int, wide_count: int
) -> None:
    found = analyse(write(tmp_path, content), min_string=min_string)
    assert (found.strings_ascii, found.strings_utf16le) == (ascii_count, wide_count)


def test_a_large_sparse_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    size = 200 * MIB
    path = sparse(tmp_path, size)
    tracemalloc.start()
    try:
        found = analyse(path, max_size=4 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.size == size
    assert len(found.left_out) == 2
    assert peak < 4 * MIB


def test_progress_goes_up_to_one_and_what_the_watcher_raises_ends_it(tmp_path: Path) -> None:
    path = write(tmp_path, NOISE * 4)
    fractions: list[float] = []
    file_info.analyse(path, Settings(), fractions.append)
    assert len(fractions) > 2
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0

    class Cancelled(BaseException):
        pass

    def cancel(_: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        file_info.analyse(path, Settings(), cancel)


def test_a_file_that_shrinks_while_it_is_read_is_reported_as_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path, NOISE * 4)

    def shrink(_: float) -> None:
        os.truncate(path, 256 * 1024)

    found = file_info.analyse(path, Settings(), shrink)
    assert found.size == 256 * 1024
    assert any("shrank" in text for text in found.left_out)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(file_info.SampleUnreadable, match=f"{kind}' is not there any more or is not a plain file"):
        analyse(path)


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({}, {}),
        ({"unknown": "x"}, {}),
        ({"max_size": "0"}, {"max_size": 0}),
        ({"max_size": "1GiB", "fuzzy_max_size": " 64 KiB "}, {"max_size": 2**30, "fuzzy_max_size": 65536}),
        ({"min_string": "8"}, {"min_string": 8}),
    ],
    ids=["default", "unknown key", "zero", "units", "count"],
)
def test_settings_come_from_the_configuration(config: dict[str, str], settings: dict[str, int]) -> None:
    assert Settings.from_config(config) == Settings(**settings)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_size", "64MB"),
        ("max_size", "-1"),
        ("max_size", ""),
        ("fuzzy_max_size", "lots"),
        ("min_string", "0"),
        ("min_string", "1025"),
        ("min_string", "4.5"),
        ("min_string", "9" * 5000),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_key_and_value(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"config {key}: .* is expected, not '{re.escape(value)}'"):
        Settings.from_config({key: value})


@pytest.mark.parametrize("content", [b"", NOISE, b"text"], ids=["empty", "noise", "text"])
def test_the_report_claims_nothing_and_names_the_hashes(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)
    found = analyse(path)
    report = json.loads(main.report(path, found).data)
    assert report["verdict"] == {"classification": "unknown"}
    assert {(one["kind"], one["value"]) for one in report["indicators"]} == {
        ("md5", found.md5),
        ("sha1", found.sha1),
        ("sha256", found.sha256),
        ("ssdeep", found.fuzzy_hash),
    }
    assert [section["id"] for section in report["sections"]] == ["overview", "entropy"]


def test_the_report_says_what_was_left_out(tmp_path: Path) -> None:
    found = analyse(write(tmp_path, NOISE), max_size=0, fuzzy_max_size=0)
    report = json.loads(main.report(tmp_path / "sample", found).data)
    shown = [block["text"] for block in report["sections"][0]["blocks"] if block["type"] == "callout"]
    assert shown == found.left_out
    assert len(shown) == 2


def test_a_name_that_is_not_utf8_can_be_reported(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.exe"))
    path.write_bytes(b"MZ")
    report = json.loads(main.report(path, analyse(path)).data)
    assert report["sections"][0]["blocks"][0]["pairs"][0] == {"key": "Name", "value": "\\xff.exe"}


def test_the_result_is_json_of_what_was_found(tmp_path: Path) -> None:
    found = analyse(write(tmp_path, NOISE))
    read = json.loads(json.dumps(found.as_json_object(), allow_nan=False))
    assert (read["sha256"], read["size"], len(read["entropy_blocks"])) == (found.sha256, 300_000, 256)


def test_a_task_pushes_what_the_plugin_declares_and_goes_up_to_one(tmp_path: Path) -> None:
    plugin = main.FileInfo()
    plugin.on_start({"min_string": "9", "max_size": "2000"})
    context = example_plugins.RecordingContext(write(tmp_path, NOISE * 4), {"max_size": "1000"})
    plugin.on_task(context)
    assert context.pushed.keys() == {"file-info", "report"}
    assert context.pushed["file-info"]["sha256"] == hashlib.sha256(NOISE * 4).hexdigest()
    assert (context.pushed["file-info"]["min_string"], context.pushed["file-info"]["bytes_measured"]) == (9, 1000)
    assert context.fractions == sorted(set(context.fractions))
    assert context.fractions[-1] == 1.0


def test_a_cancelled_task_ends_after_one_piece_with_nothing_pushed(tmp_path: Path) -> None:
    context = example_plugins.RecordingContext(sparse(tmp_path, 4096 * MIB), cancelled=True)
    with pytest.raises(TaskCancelled):
        main.FileInfo().on_task(context)
    assert (context.pushed, context.fractions) == ({}, [])


def test_a_bad_configuration_fails_the_start() -> None:
    with pytest.raises(ValueError, match="config max_size: "):
        main.FileInfo().on_start({"max_size": "much"})


def test_the_program_and_its_plugin_toml_agree() -> None:
    declared = tomllib.loads((example_plugins.PLUGINS / "file-info" / "plugin.toml").read_text())
    assert (declared["plugin"]["name"], declared["plugin"]["version"]) == (main.NAME, main.VERSION)
    assert declared["results"].keys() == {"file-info", "report"}


@pytest.mark.parametrize("library", ["ppdeep", "puremagic"])
def test_a_missing_library_is_one_line_that_says_what_to_install(library: str) -> None:
    ended = subprocess.run(
        example_plugins.run_without("file-info", library), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == f"file-info needs the library {library}: pip install 'malbox[analysis]'\n"
