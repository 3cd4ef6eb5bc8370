"""What plugins print: on the terminal, on disk, and nobody waits for it."""

import json
import os
import re
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e_harness import Place, eventually

RUBBISH = (
    b"\x1b[2J\x1b]0;owned\x07\n10 %\r20 %\r\nnul \x00 in it\nno \xff\xfe UTF-8 \xc3\n"
    + "a\x0bb\x0cc\x85d\u2028e\u202ef\n\n".encode()
    + b"2025-11-24T22:01:03.123456Z ! error: all is lost\n"
    + b"no end"
)
HARMLESS = [
    r"\x1b[2J\x1b]0;owned\x07",
    r"10 %\r20 %",
    r"nul \x00 in it",
    r"no \xff\xfe UTF-8 \xc3",
    r"a\x0bb\x0cc\x85d\u2028e\u202ef",
    "",
    "2025-11-24T22:01:03.123456Z ! error: all is lost",
    "no end",
]


def print_by_task(place: Place, manifest: Path, data: bytes, plugin: str = "prints_rubbish", to: str = "out") -> None:
    done = place.send(manifest, plugin, place.sample(), "--set", f"{to}={data.hex()}")
    assert done.code == 0, done


def shown(text: str, plugin: str) -> list[str]:
    """Return what lines of the log say a plugin printed."""
    return re.findall(rf"^[\d: -]+ {plugin} \| (.*)$", text, re.MULTILINE)


def logs(place: Place, manifest: Path, *arguments: object) -> str:
    done = place.malbox("logs", "--manifest", manifest, *arguments)
    assert done.code == 0, done
    assert done.err == ""
    return done.out


def raw_logs(place: Place, manifest: Path, *arguments: object) -> bytes:
    running = place.start("logs", "--manifest", manifest, "--raw", *arguments)
    assert running.wait().code == 0
    return running.out_file.read_bytes()


def json_logs(place: Place, manifest: Path, *arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logs(place, manifest, "--json", *arguments).split("\n")[:-1]]


def test_what_a_plugin_printed_is_there_after_it_died_and_after_the_supervisor(place: Place) -> None:
    manifest = place.manifest("prints_rubbish", "echo")
    supervisor = place.start_up(manifest)
    print_by_task(place, manifest, b"about to fall\nfalli")
    os.kill(place.plugin_status(manifest, "prints_rubbish")["pid"], signal.SIGKILL)
    eventually(lambda: place.plugin_status(manifest, "prints_rubbish")["pid"] is None, "is seen to be dead")

    eventually(lambda: "was killed" in logs(place, manifest, "prints_rubbish"), "is in the log")
    assert place.malbox("down", "-f", manifest).code == 0
    supervisor.wait()

    text = logs(place, manifest, "prints_rubbish")
    assert shown(text, "prints_rubbish") == ["about to fall", "falli"]
    said = shown(text, "malbox")
    assert said[0].startswith("prints_rubbish: READY after ")
    assert said[1].startswith("prints_rubbish: was killed by SIGKILL (signal 9)")
    everything = logs(place, manifest)
    assert "echo: stopped" in everything
    assert "stopping: `malbox down`" in everything


def test_bytes_come_back_as_they_were_printed_and_are_harmless_before(place: Place) -> None:
    manifest = place.manifest("prints_rubbish")
    with place.up(manifest) as supervisor:
        print_by_task(place, manifest, RUBBISH)

    assert raw_logs(place, manifest, "prints_rubbish") == RUBBISH
    assert raw_logs(place, manifest, "prints_rubbish", "-n", "1") == b"no end"
    assert raw_logs(place, manifest, "prints_rubbish", "-n", "all") == RUBBISH
    text = logs(place, manifest, "prints_rubbish")
    assert shown(text, "prints_rubbish") == HARMLESS
    assert shown(supervisor.err, "prints_rubbish") == HARMLESS
    assert text.replace("\n", "").isprintable()
    assert supervisor.err.replace("\n", "").isprintable()
    rows = json_logs(place, manifest, "prints_rubbish")
    printed = [row["text"] for row in rows if row["level"] == "output"]
    assert printed == [line.decode("utf-8", "backslashreplace") for line in RUBBISH.split(b"\n")]
    assert [row["text"] for row in rows if row["level"] == "error"] == []
    path = place.folder / ".malbox" / "logs" / "prints_rubbish.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_standard_error_is_logged_as_standard_output_is(place: Place) -> None:
    manifest = place.manifest("prints_rubbish")
    with place.up(manifest):
        print_by_task(place, manifest, b"an error\n", to="err")
    assert raw_logs(place, manifest, "prints_rubbish") == b"an error\n"


def test_run_keeps_logs_too(place: Place) -> None:
    manifest = place.manifest("prints_rubbish")

    done = place.run(manifest, place.sample(), "--set", f"out={RUBBISH.hex()}")

    assert done.code == 0, done
    assert raw_logs(place, manifest, "prints_rubbish") == RUBBISH
    assert "stopping: every sample is done" in logs(place, manifest, "malbox")


def test_following_shows_what_comes_also_of_the_next_supervisor_and_ends_with_130(place: Place) -> None:
    manifest = place.manifest("prints_rubbish")
    follow = place.start("logs", "-f", manifest, "-f")
    follow.wait_for("waiting for one")
    for text in ("first", "second"):
        with place.up(manifest):
            print_by_task(place, manifest, text.encode() + b"\n")
            follow.wait_for(f"prints_rubbish | {text}\n")
    raw = place.start("logs", "--raw", "prints_rubbish", "-f", "-n", "0")
    with place.up(manifest):
        print_by_task(place, manifest, b"\x1b[0mthird\n")
        raw.wait_for("third\n")
        follow.wait_for("third\n")

    follow.signal(signal.SIGINT)
    raw.signal(signal.SIGINT)

    done = follow.wait()
    assert done.code == 130
    assert shown(done.out, "prints_rubbish") == ["first", "second", r"\x1b[0mthird"]
    assert done.out.count("prints_rubbish: READY") == 3
    assert raw.wait().out == "\x1b[0mthird\n"


def test_patterns_counts_and_ages_choose_what_is_shown(place: Place) -> None:
    rubbish = {"path": str(Path(__file__).with_name("plugins") / "prints_rubbish")}
    manifest = place.manifest("echo", one=rubbish, two=rubbish)
    with place.up(manifest):
        for number in range(1, 4):
            for plugin in ("one", "two"):
                print_by_task(place, manifest, b"%d\n" % number, plugin)
    rows = json_logs(place, manifest, "one", "t*")
    assert [(row["plugin"], row["text"]) for row in rows if row["level"] == "output"] == [
        ("one", "1"), ("two", "1"), ("one", "2"), ("two", "2"), ("one", "3"), ("two", "3"),
    ]  # fmt: skip
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    everything = json_logs(place, manifest, "-n", "all")
    assert {row["plugin"] for row in everything} == {"one", "two", "echo", None}
    assert json_logs(place, manifest, "-n", "2") == everything[-2:]
    assert json_logs(place, manifest, "--since", "1h") == everything
    assert json_logs(place, manifest, "-n", "0") == []
    assert raw_logs(place, manifest, "-n", "3") == b"2\n3\n3\n"
    place.manifest("echo")
    assert raw_logs(place, manifest, "one") == b"1\n2\n3\n"  # the manifest has it no more


def test_without_a_log_and_with_a_name_that_is_none_one_message_says_so(place: Place) -> None:
    manifest = place.manifest("echo", "raises")

    nothing = place.malbox("logs", "-f", manifest)

    assert nothing.code == 1
    assert nothing.out == ""
    assert len(nothing.err.splitlines()) == 1
    assert "there is no log in" in nothing.err
    unknown = place.malbox("logs", "ecko")
    assert unknown.code == 2
    assert "has no plugin 'ecko' (did you mean 'echo'?)" in unknown.err
    assert place.run(manifest, place.sample(), "--plugin", "echo").code == 0
    other = place.malbox("logs", "raises")
    assert other.code == 1
    assert "there is no log of raises in" in other.err
    assert place.malbox("logs", "x*").code == 2


def test_no_plugin_can_be_called_as_malbox_calls_itself(place: Place) -> None:
    echo = Path(__file__).with_name("plugins") / "echo"
    manifest = place.manifest(malbox={"path": str(echo)})

    done = place.malbox("check", "-f", manifest)

    assert done.code == 2
    assert "plugins.malbox" in done.out
    assert "rename the table" in done.out
    shutil.copytree(echo, place.folder / "mine" / "malbox")
    assert place.malbox("init", "mine", "-f", "other.toml").code == 0
    assert place.malbox("check", "-f", "other.toml").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logs", "-n", "few"], "'few' is not a number of lines"),
        (["logs", "-n", "-1"], "'-1' is not a number of lines"),
        (["logs", "--since", "yesterday"], "yesterday"),
        (["logs", "--raw", "--json"], "--raw and --json exclude each other"),
        (["up", "--raw", "--log-format", "json"], "--raw and --log-format json exclude each other"),
        (["up", "--log-format", "xml"], "xml"),
    ],
)
def test_options_that_make_no_sense_end_with_2(place: Place, arguments: list[str], message: str) -> None:
    place.manifest("echo")

    done = place.malbox(*arguments)

    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_up_can_show_json(place: Place) -> None:
    manifest = place.manifest("prints_rubbish")
    with place.up(manifest, "--log-format", "json", ready=[]) as supervisor:
        supervisor.wait_for("READY after")
        print_by_task(place, manifest, RUBBISH)

    rows = [json.loads(line) for line in supervisor.err.split("\n")[:-1]]
    assert all(row.keys() == {"time", "level", "plugin", "source", "task", "fields", "text"} for row in rows)
    printed = [row["text"] for row in rows if row["plugin"] == "prints_rubbish" and row["level"] == "output"]
    assert printed == [line.decode("utf-8", "backslashreplace") for line in RUBBISH.split(b"\n")]
    assert {row["plugin"] for row in rows if row["level"] != "output"} == {None, "prints_rubbish"}


def test_up_can_show_what_is_printed_as_it_is(place: Place) -> None:
    manifest = place.manifest("prints_rubbish")
    with place.up(manifest, "--raw") as supervisor:
        print_by_task(place, manifest, RUBBISH)

    err = supervisor.err_file.read_bytes()
    for line in RUBBISH.split(b"\n"):
        assert b" prints_rubbish | " + line + b"\n" in err


@contextmanager
def nobody_reads() -> Iterator[int]:
    """Have a pipe that nobody reads, full but for a little."""
    reader, writer = os.pipe()
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


def test_a_terminal_that_nobody_reads_holds_up_neither_plugin_nor_task_nor_the_end(place: Place) -> None:
    manifest = place.manifest("prints_for_ever", "echo")
    with nobody_reads() as writer:
        supervisor = place.start("up", "-f", manifest, stderr=writer)
        eventually(lambda: place.malbox("status", "-f", manifest).code == 0, "everybody is READY")
        log = place.folder / ".malbox" / "logs" / "prints_for_ever.log"
        eventually(lambda: log.with_name(f"{log.name}.1").exists(), "the first file of the log is full")

        for plugin in ("echo", "prints_for_ever"):
            assert place.send(manifest, plugin, place.sample()).code == 0

        assert place.malbox("down", "-f", manifest).code == 0
        assert supervisor.wait(20).code == 0
    sizes = [path.stat().st_size for path in log.parent.glob("prints_for_ever.log*")]
    assert len(sizes) <= 5
    assert max(sizes) <= 10 << 20


def test_every_line_of_a_flood_is_in_the_log_or_counted_as_dropped(place: Place) -> None:
    lines = 100_000
    manifest = place.manifest(prints_for_ever={"config": {"lines": str(lines)}})
    log = place.folder / ".malbox" / "logs" / "prints_for_ever.log"
    last = b"line %d\n" % (lines - 1)
    with place.up(manifest) as supervisor:
        eventually(lambda: log.exists() and log.read_bytes().endswith(last), "the last line is on disk")

    for text in (supervisor.err, logs(place, manifest, "prints_for_ever", "-n", "all")):
        following = 0
        for printed, dropped in re.findall(r"prints_for_ever(?: \| line (\d+)|: (\d+) lines? w\w+ dropped)", text):
            if printed:
                assert int(printed) == following
            following += 1 if printed else int(dropped)
        assert following == lines


def test_a_log_that_cannot_be_written_costs_one_warning_and_nothing_else(place: Place) -> None:
    manifest = place.manifest("prints_rubbish")
    broken = place.folder / ".malbox" / "logs" / "prints_rubbish.log"
    broken.mkdir(parents=True)
    (place.folder / ".malbox").chmod(0o700)
    with place.up(manifest) as supervisor:
        for _ in range(3):
            print_by_task(place, manifest, b"hello\n")
        supervisor.wait_for("cannot write")
        broken.rmdir()
        supervisor.wait_for("are written again")
        print_by_task(place, manifest, b"last\n")

    assert supervisor.err.count("cannot write") == 1
    assert supervisor.err.count("are written again") == 1
    assert supervisor.err.count("prints_rubbish | hello") == 3
    assert raw_logs(place, manifest, "prints_rubbish").endswith(b"last\n")
    assert re.search(r"\d+ lines were lost: Is a directory", logs(place, manifest, "prints_rubbish"))
