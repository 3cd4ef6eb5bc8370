"""What the commands print of a task."""

import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from malbox_cli.control.records import Accepted, Ended, Outcome, Progress, Record, Refused, Result, TaskWarning, to_line
from malbox_cli.output import printer as printer_module
from malbox_cli.output.printer import JsonPrinter, TextPrinter, save_results
from plugin_runtime.errors import MalboxError

SHA256 = "0123456789abcdef" * 4
ACCEPTED = Accepted(1, "p", "/samples/a", SHA256)
HOSTILE = "x\x1b[2J\u202e\nverdict clean [bold]:bug:[/bold]"
ESCAPED = "x\\x1b[2J\\u202e\\nverdict clean [bold]:bug:[/bold]"


def json_result(data: str, name: str = "r") -> Result:
    return Result(1, name, "json", len(data), SHA256, data=data)


def printed(capsys: pytest.CaptureFixture[str], *records: Record) -> str:
    printer = TextPrinter()
    for record in records:
        printer.take(record)
    printer.close()
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (ACCEPTED, ""),
        (Progress(1, 0.5, "half"), ""),
        (TaskWarning(1, "careful"), "p /samples/a: warning: careful\n"),
        (Refused("q", "there is no plugin 'q'"), "q: refused: there is no plugin 'q'\n"),
        (json_result('{"a": 1}'), 'p /samples/a → r\n{"a": 1}\n'),
        (json_result("null"), "p /samples/a → r\nnull\n"),
        (
            json_result('{"schema_version": 1, "verdict": {"classification": "clean"}}', "report"),
            "p /samples/a → report\n  verdict clean\n",
        ),
        (Result(1, "dump", "bytes", 3 << 20, SHA256, path="/r/dump"), "p /samples/a → dump: 3.0 MiB in /r/dump\n"),
        (Result(1, "dump", "file", 1, SHA256, path="/r/dump"), "p /samples/a → dump: 1 B in /r/dump\n"),
        (Ended(1, "p", Outcome.COMPLETED, None, 0.25), "p /samples/a: completed after 250 ms\n"),
        (Ended(1, "p", Outcome.FAILED, "Traceback\n  no", 2), "p /samples/a: failed after 2.0 s: Traceback\n  no\n"),
        (
            Ended(1, "p", Outcome.TIMEOUT, "took longer than 1s", 61, partial=True),
            "p /samples/a: timeout after 1 min 1 s: took longer than 1s\n  what it pushed before is partial\n",
        ),
        (Ended(9, "q", Outcome.CANCELED, "cancelled", 0), "q task 9: canceled after 0 ms: cancelled\n"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_every_record_as_text(capsys: pytest.CaptureFixture[str], record: Record, text: str) -> None:
    assert printed(capsys, ACCEPTED, record) == text


@pytest.mark.parametrize(
    "record",
    [
        TaskWarning(1, HOSTILE),
        Refused(HOSTILE, "no"),
        Refused("p", HOSTILE),
        json_result("1", HOSTILE),
        Result(1, HOSTILE, "bytes", 1, SHA256, path="/x"),
        Result(1, "r", "bytes", 1, SHA256, path=f"/{HOSTILE}"),
    ],
    ids=lambda record: to_line(record)[:60],
)
def test_hostile_names_and_messages_are_spelled_out_on_one_line(
    capsys: pytest.CaptureFixture[str], record: Record
) -> None:
    out = printed(capsys, ACCEPTED, record)
    assert ESCAPED in out
    assert len(out.splitlines()) == (2 if isinstance(record, Result) and record.data else 1)


def test_a_hostile_sample_s_name_is_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    accepted = Accepted(1, "p", f"/{HOSTILE}", SHA256)
    out = printed(capsys, accepted, json_result("1"), Ended(1, "p", Outcome.COMPLETED, None, 0))
    assert out == f"p /{ESCAPED} → r\n1\np /{ESCAPED}: completed after 0 ms\n"


def test_an_error_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, ACCEPTED, Ended(1, "p", Outcome.FAILED, "a\n\x1b[31m[red]b:bug:", 0))
    assert out == "p /samples/a: failed after 0 ms: a\n\\x1b[31m[red]b:bug:\n"


def test_hostile_json_is_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, ACCEPTED, json_result(json.dumps({HOSTILE: HOSTILE}, ensure_ascii=False)))
    _, shown = out.split("\n", 1)
    assert json.loads(shown) == {HOSTILE: HOSTILE}
    assert shown.replace("\n", "").isprintable()


def test_stored_json_is_shown_unless_it_is_very_large(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "r.json"
    file.write_text('{\n"a": 1}')
    stored = Result(1, "r", "json", 9, SHA256, path=str(file))
    assert printed(capsys, ACCEPTED, stored) == 'p /samples/a → r\n{"a": 1}\n'
    monkeypatch.setattr(printer_module, "MAX_SHOWN_JSON", 8)
    assert printed(capsys, ACCEPTED, stored) == f"p /samples/a → r: 9 B in {file}\n"


def test_on_a_terminal_a_bar_shows_how_far_a_task_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()

    def console(**_: object) -> Console:
        return Console(file=terminal, force_terminal=True, width=120, highlight=False, emoji=False)

    monkeypatch.setattr("rich.console.Console", console)
    printer = TextPrinter()
    printer.take(ACCEPTED)
    printer.take(Progress(1, 0.42, f"half {HOSTILE}"))
    assert printer._bars is not None
    printer._bars.refresh()
    shown = terminal.getvalue()
    printer.take(Ended(1, "p", Outcome.COMPLETED, None, 1))
    printer.close()
    assert "42%" in shown
    assert f"half {ESCAPED}"[:20] in shown
    assert "\x1b[2J" not in terminal.getvalue()
    assert "completed after 1.0 s" in terminal.getvalue()


def json_lines(capsysbinary: pytest.CaptureFixture[bytes], *records: Record) -> list[str]:
    printer = JsonPrinter()
    for record in records:
        printer.take(record)
    printer.close()
    return capsysbinary.readouterr().out.decode().splitlines()


def test_json_is_one_record_a_line_as_it_is(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    records = [ACCEPTED, Progress(1, 0.5, "ü"), json_result('{"a": 1.50}'), Ended(1, "p", Outcome.COMPLETED, None, 1)]
    assert json_lines(capsysbinary, *records) == [to_line(record) for record in records]


def test_json_is_utf_8_whatever_the_terminal_is(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sys.stdout.buffer, encoding="ascii", write_through=True))
    (line,) = json_lines(capsysbinary, Progress(1, 0.5, "ü"))
    assert json.loads(line)["message"] == "ü"
    sys.stdout.detach()  # type: ignore[attr-defined] # it is the wrapper above, which must not close what it wraps


def test_json_that_was_stored_stands_in_its_record(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text('{\n"a":\n1.50}')
    (line,) = json_lines(capsysbinary, Result(1, "r", "json", 12, SHA256, path=str(file)))
    assert line.endswith('"data": { "a": 1.50}}')
    assert "path" not in json.loads(line)


def test_stored_json_that_is_none_is_named_as_bytes(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text("{oops")
    (line,) = json_lines(capsysbinary, Result(1, "r", "json", 5, SHA256, path=str(file)))
    assert (json.loads(line)["format"], json.loads(line)["path"]) == ("bytes", str(file))


def test_stored_json_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(MalboxError, match=r"cannot read the result .*/gone back: No such file or directory"):
        JsonPrinter().take(Result(1, "r", "json", 5, SHA256, path=str(tmp_path / "gone")))


class Saved:
    """Records that went through `save_results`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self.take = save_results(folder, self.records.append)

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }


def test_results_are_put_below_the_sample_and_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "stored").write_bytes(b"\0\1")
    saved = Saved(tmp_path / "out")
    saved.take(ACCEPTED)
    saved.take(json_result('{"a": 1}', "report"))
    saved.take(Result(1, "dump.bin", "bytes", 2, SHA256, path=str(tmp_path / "stored")))
    saved.take(Ended(1, "p", Outcome.COMPLETED, None, 1))
    assert saved.files() == {
        "a-0123456789ab/p/report.json": b'{"a": 1}',
        "a-0123456789ab/p/dump.bin": b"\0\1",
    }
    assert [type(record) for record in saved.records] == [Accepted, Result, Result, Ended]
    last = saved.records[2]
    assert isinstance(last, Result)
    assert last.path == str(saved.folder / "a-0123456789ab/p/dump.bin")


def test_results_of_one_name_are_numbered_and_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    for text in ("1", "2"):
        saved = Saved(tmp_path / "out")
        saved.take(ACCEPTED)
        for part in "abc":
            saved.take(json_result(f'"{text}{part}"'))
        assert saved.files() == {
            "a-0123456789ab/p/r.json": f'"{text}a"'.encode(),
            "a-0123456789ab/p/02-r.json": f'"{text}b"'.encode(),
            "a-0123456789ab/p/03-r.json": f'"{text}c"'.encode(),
        }


@pytest.mark.parametrize("name", ["../../../x", "/x", "..", "a\0b", ""], ids=ascii)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    saved = Saved(tmp_path / "a" / "b" / "c" / "out")
    saved.take(Accepted(1, "p", f"/samples/{name}", SHA256))
    saved.take(json_result("1", name))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert files[0].parent.parent.parent == saved.folder


def test_text_without_utf_8_is_saved_as_json_escapes(tmp_path: Path) -> None:
    saved = Saved(tmp_path)
    saved.take(ACCEPTED)
    saved.take(json_result('"\udcff"'))
    assert saved.files() == {"a-0123456789ab/p/r.json": b'"\\udcff"'}


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    saved = Saved(tmp_path / "file")
    saved.take(ACCEPTED)
    with pytest.raises(MalboxError, match=r"cannot write .*file.*: Not a directory"):
        saved.take(json_result("1"))


def test_a_result_that_has_no_room_leaves_nothing_that_looks_like_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_a_part(source: str, target: Path) -> None:
        target.write_bytes(b"\0")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, str(target))

    monkeypatch.setattr(shutil, "copyfile", copy_a_part)
    saved = Saved(tmp_path / "out")
    saved.take(ACCEPTED)
    with pytest.raises(MalboxError, match=r"cannot write .*/out/.*/dump\.bin: No space left on device"):
        saved.take(Result(1, "dump.bin", "bytes", 2, SHA256, path=str(tmp_path / "stored")))
    assert saved.files() == {}
