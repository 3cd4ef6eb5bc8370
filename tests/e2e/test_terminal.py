"""On a terminal: a bar while it works, nothing of it afterwards, and Ctrl-C."""

import random
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from e2e_harness import Place
from terminals import Terminal

COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@contextmanager
def up(place: Place) -> Iterator[str]:
    manifest = place.manifest("echo")
    with place.up(manifest):
        yield str(manifest)


def last_screen(shown: str) -> list[str]:
    """Return the lines that a terminal shows in the end, for the few escapes that progress bars use."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n", shown, re.DOTALL):
        match token:
            case "\r":
                column = 0
            case "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            case _ if token.startswith("\x1b"):
                number = int(re.sub(r"\D", "", token) or 1)
                if token.endswith("A"):
                    row = max(0, row - number)
                elif token.endswith("K"):
                    lines[row] = "" if token == "\x1b[2K" else lines[row][:column]
            case _:
                lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
                column += 1
    return [line.rstrip() for line in lines if line.strip()]


def test_a_bar_is_shown_while_a_task_runs_and_is_gone_afterwards(place: Place) -> None:
    until = place.folder / "go"
    with (
        up(place) as manifest,
        Terminal(
            place, "send-task", "-f", manifest, "echo", place.sample(), "--set", f"until={until}", "--set", "config=1"
        ) as terminal,
    ):
        terminal.wait_for("50%")
        terminal.wait_for("waiting")

        until.touch()

        assert terminal.wait() == 0
    assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.rindex(HIDE_CURSOR)
    screen = last_screen(terminal.shown)
    assert "%" not in "".join(screen)
    assert screen[0] == f"echo {place.folder}/sample → config"
    assert re.fullmatch(r"echo .*/sample: completed after \d.*s", screen[-1])
    assert COLOUR.search(terminal.shown)


def test_ctrl_c_on_a_terminal_cancels_the_task_and_leaves_the_terminal_clean(place: Place) -> None:
    with up(place) as manifest:
        with Terminal(
            place, "send-task", "-f", manifest, "echo", place.sample(), "--set", "until=/no/such"
        ) as terminal:
            terminal.wait_for("waiting")

            terminal.type("\x03")

            assert terminal.wait() == 130
        assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.rindex(HIDE_CURSOR)
        assert "canceled" in last_screen(terminal.shown)[-1]
        assert "Traceback" not in terminal.shown
        assert place.send(place.folder / "plugins.toml", "echo", place.sample()).code == 0


def test_ctrl_c_during_a_run_stops_everything(place: Place) -> None:
    manifest = place.manifest("echo")
    with Terminal(place, "run", "-f", manifest, place.sample(), "--set", "until=/no/such") as terminal:
        terminal.wait_for("waiting")

        terminal.type("\x03")

        assert terminal.wait() == 130
    assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.rindex(HIDE_CURSOR)
    assert "Traceback" not in terminal.shown
    assert "canceled" in "".join(last_screen(terminal.shown))


def test_ctrl_c_stops_up_in_order(place: Place) -> None:
    with Terminal(place, "up", "-f", place.manifest("echo")) as terminal:
        terminal.wait_for("READY")

        terminal.type("\x03")

        assert terminal.wait() == 130
    assert "stopped" in terminal.shown


def test_a_terminal_that_is_closed_stops_up(place: Place) -> None:
    with Terminal(place, "up", "-f", place.manifest("echo")) as terminal:
        terminal.wait_for("READY")
    assert terminal.running.popen.wait(5) == 128 + signal.SIGHUP


@pytest.mark.parametrize("command", ["run", "up", "status", "check"])
def test_no_color_means_no_colour(place: Place, command: str) -> None:
    manifest = place.manifest("echo")
    environment = {"NO_COLOR": "1"}
    arguments = [place.sample(), "--set", "config=1"] if command == "run" else []
    if command == "status":
        with place.up(manifest), Terminal(place, "status", "-f", manifest, env=environment) as terminal:
            assert terminal.wait() == 0
    else:
        with Terminal(place, command, "-f", manifest, *arguments, env=environment) as terminal:
            if command == "up":
                terminal.wait_for("READY")
                terminal.type("\x03")
            assert terminal.wait() == (130 if command == "up" else 0)
    assert not COLOUR.search(terminal.shown)


def test_a_narrow_terminal_does_not_break_the_words_of_a_status(place: Place) -> None:
    manifest = place.manifest("echo")
    with (
        place.up(manifest),
        Terminal(place, "status", "-f", manifest, env={"COLUMNS": "20", "NO_COLOR": "1"}) as terminal,
    ):
        assert terminal.wait() == 0
    assert re.search(r"echo +READY +\d+", terminal.shown)


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback(place: Place) -> None:
    manifest = place.manifest("echo")
    run = place.start("run", "-f", manifest, "--json", place.sample(), "--set", "progress=2000", stdout=subprocess.PIPE)
    assert run.popen.stdout is not None
    run.popen.stdout.readline()

    run.popen.stdout.close()

    done = run.wait(5)
    assert done.code == 1
    assert done.err == ""


def test_a_full_disk_under_standard_output_is_one_message(place: Place) -> None:
    with open("/dev/full", "wb") as full:
        done = place.malbox("run", "--json", "-f", place.manifest("echo"), place.sample(), stdout=full)

    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "No space left on device" in done.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_standard_stream_that_is_closed_keeps_nothing_from_working(place: Place, closed: str) -> None:
    command = shlex.join([*place.argv, "run", "-f", str(place.manifest("echo")), str(place.sample()), "--json"])

    done = place.malbox("-c", f"{command} --output found --set sizes=3 {closed}", argv=["sh"])

    assert done.code == 0, done
    assert done.err == ""
    assert [path.read_bytes() for path in place.folder.glob("found/*/echo/*")] == [random.Random(3).randbytes(3)]


def test_a_terminal_that_knows_ascii_only_gets_escapes(place: Place) -> None:
    manifest = place.manifest("echo")

    done = place.malbox("run", "-f", manifest, place.sample(), "--set", "config=ä", env={"PYTHONIOENCODING": "ascii"})

    assert done.code == 0, done
    assert (r"\u2192 config") in done.out


def test_a_warning_of_malbox_does_not_mix_with_the_bars(place: Place) -> None:
    manifest = place.manifest("echo", "exits_before_ready")
    until = place.folder / "go"
    with Terminal(place, "run", "-f", manifest, place.sample(), "--set", f"until={until}") as terminal:
        terminal.wait_for("waiting")
        terminal.wait_for("it last printed")

        until.touch()

        assert terminal.wait() == 1
    screen = last_screen(terminal.shown)
    assert len([line for line in screen if line.endswith("exits_before_ready | rules/extra.yar: no such file")]) == 1
    assert not [line for line in screen if "%" in line]


def test_a_narrow_terminal_shows_reasons_below_the_table_and_a_pipe_beside_it(place: Place) -> None:
    manifest = place.manifest("echo", "exits_before_ready")
    reason = "exited with code 4 before it was ready, within a second of its start"
    up = place.start_up(manifest, ready=["echo"])
    up.wait_for(reason)

    with Terminal(place, "status", "-f", manifest, env={"NO_COLOR": "1"}) as terminal:
        assert terminal.wait() == 3
    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.shown).splitlines()

    assert [line.split()[:2] for line in lines[1:4]] == [
        ["PLUGIN", "STATE"],
        ["echo", "READY"],
        ["exits_before_ready", "FAILED"],
    ]
    assert lines[1].split()[-1] == "TASKS"
    assert lines[4].startswith(f"exits_before_ready: {reason}")
    assert len([line for line in lines if line.startswith("echo")]) == 1
    piped = place.malbox("status", "-f", manifest)
    assert reason in piped.out.splitlines()[3]
    assert place.malbox("down", "-f", manifest).code == 0
    up.wait(20)
