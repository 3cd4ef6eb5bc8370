"""What stays whole when a plugin does not: one misbehaviour each."""

import re
import signal
import time
from pathlib import Path

import psutil
import pytest
from e2e_harness import PLUGINS, Place, eventually, zombies_of


def assert_the_echo_beside_it_is_whole(place: Place, manifest: Path) -> None:
    done = place.send(manifest, "echo", place.sample(name="other"), "--set", "sizes=3")
    assert done.code == 0, done
    assert [record["size"] for record in done.of("result")] == [3]


def test_an_exception_is_the_tasks_error_and_the_plugin_lives_on(place: Place) -> None:
    manifest = place.manifest("raises")
    with place.up(manifest):
        pid = place.plugin_status(manifest, "raises")["pid"]

        failed = place.send(manifest, "raises", place.sample())
        well = place.send(manifest, "raises", place.sample(), "--set", "well=1")

        assert failed.code == 1
        assert failed.end["type"] == "failed"
        assert failed.end["partial"] is True
        assert failed.end["error"].startswith("Traceback")
        assert failed.end["error"].endswith("ValueError: the header has no magic")
        assert "plugin_runtime" not in failed.end["error"]
        assert well.code == 0
        assert place.plugin_status(manifest, "raises")["pid"] == pid


def test_sys_exit_in_a_handler_fails_the_task_and_not_the_plugin(place: Place) -> None:
    manifest = place.manifest("calls_sys_exit")
    with place.up(manifest):
        pid = place.plugin_status(manifest, "calls_sys_exit")["pid"]

        failed = place.send(manifest, "calls_sys_exit", place.sample())
        well = place.send(manifest, "calls_sys_exit", place.sample(), "--set", "well=1")

        assert failed.code == 1
        assert "called sys.exit(3)" in failed.end["error"]
        assert well.code == 0
        assert place.plugin_status(manifest, "calls_sys_exit")["pid"] == pid


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ("code=7", "exited with code 7"),
        ("code=0", "exited with code 0"),
        ("signal=SIGKILL", "was killed by SIGKILL (signal 9)"),
        ("signal=SIGSEGV", "was killed by SIGSEGV (signal 11)"),
    ],
)
def test_a_process_that_ends_in_a_task_fails_it_at_once_and_says_how(place: Place, settings: str, how: str) -> None:
    manifest = place.manifest("os_exits", "echo")
    with_echo = place.start_up(manifest)

    done = place.send(manifest, "os_exits", place.sample(), "--set", settings)

    assert done.code == 1
    assert done.end["type"] == "failed"
    assert how in done.end["error"]
    assert done.end["seconds"] < 1
    row = place.plugin_status(manifest, "os_exits")
    assert row["state"] == "FAILED"
    assert how in row["reason"]
    assert row["pid"] is None
    assert row["last_exit"] is not None
    assert zombies_of(with_echo.pid) == []
    assert_the_echo_beside_it_is_whole(place, manifest)
    refused = place.send(manifest, "os_exits", place.sample())
    assert refused.code == 1
    assert [record["type"] for record in refused.records] == ["refused"]
    assert how in refused.records[0]["error"]
    assert place.malbox("down", "-f", manifest).code == 0
    assert with_echo.wait(20).code == 1


def test_a_result_cut_by_sigkill_is_reported_as_partial_and_never_as_success(place: Place) -> None:
    manifest = place.manifest(dies_mid_chunk={"config": {"results": str(place.folder / ".malbox")}})

    done = place.run(manifest, place.sample())

    assert done.code == 1
    assert done.end["type"] == "failed"
    assert done.end["partial"] is True
    assert "was killed by SIGKILL (signal 9)" in done.end["error"]
    assert "1 result arrived before" in done.end["error"]
    assert re.search(r"result 'part' was cut off after \d+\.\d [KM]iB of 100\.0 MiB", done.end["error"])
    assert [record["name"] for record in done.of("result")] == ["whole"]
    assert list((place.folder / ".malbox").glob("objects/tmp/*")) == []


def test_a_plugin_that_ends_before_it_is_ready_shows_its_last_words(place: Place) -> None:
    manifest = place.manifest("exits_before_ready", "echo")

    done = place.run(manifest, place.sample())

    assert done.code == 1
    assert "rules/extra.yar: no such file" in done.err
    ends = {record["plugin"]: record for record in done.records if record["type"] in ("completed", "failed")}
    assert ends["echo"]["type"] == "completed"
    assert ends["exits_before_ready"]["type"] == "failed"
    assert "exited with code 4 before it was ready" in ends["exits_before_ready"]["error"]
    assert done.seconds < 30


def test_an_error_in_on_start_ends_the_plugin_with_its_traceback(place: Place) -> None:
    done = place.run(place.manifest("fails_on_start"), place.sample())

    assert done.code == 1
    assert "RuntimeError: the signature database is older than a year" in done.err
    assert "exited with code 1 before it was ready" in done.end["error"]


def test_a_plugin_that_never_gets_ready_is_given_up_after_its_start_timeout(place: Place) -> None:
    manifest = place.manifest("echo", never_ready={"start_timeout": "600ms"})

    done = place.run(manifest, place.sample())

    assert done.code == 1
    assert done.seconds < 30
    assert "did not get ready within 600ms" in done.err
    ends = {record["plugin"]: record for record in done.records if record["type"] in ("completed", "failed")}
    assert ends["echo"]["type"] == "completed"
    assert "did not get ready within 600ms" in ends["never_ready"]["error"]


def test_rubbish_on_standard_output_reaches_the_terminal_escaped_and_cut(place: Place) -> None:
    manifest = place.manifest("floods_stdout")
    with place.up(manifest) as supervisor:
        done = place.send(manifest, "floods_stdout", place.sample())

        assert done.code == 0, done
        supervisor.wait_for("the last, without an end" if "the last" in supervisor.err else "bytes more]")
        memory = psutil.Process(supervisor.pid).memory_info().rss
    printed = supervisor.err_file.read_bytes()
    assert not set(printed) - {*b"\n\t", *range(32, 127)}
    assert b"\\x1b[2J\\x1b]0;owned\\x07" in printed
    assert max(map(len, printed.split(b"\n"))) < 70_000
    assert memory < 200 << 20


def test_a_handler_that_ignores_a_cancel_is_killed_and_the_plugin_comes_back(place: Place) -> None:
    stuck = {"path": str(PLUGINS / "ignores_cancel")}
    manifest = place.manifest("echo", python=stuck, c=stuck)
    with place.up(manifest, code=1) as supervisor:
        before = {row["id"]: row["pid"] for row in place.status(manifest)["plugins"]}
        limit = ("--timeout", "0.2", place.sample())
        tasks = {
            how: place.start("send-task", "-f", manifest, "--json", how, *limit, "--set", f"how={how}")
            for how in ("python", "c")
        }
        for how, task in tasks.items():
            done = task.wait()

            assert done.code == 124, done
            assert done.end["type"] == "timeout"
            assert done.seconds < 30
            eventually(lambda how=how: place.plugin_status(manifest, how)["state"] == "READY", f"{how} is READY")
            row = place.plugin_status(manifest, how)
            assert row["pid"] != before[how]
            assert row["restarts"] == 1
            assert place.send(manifest, how, place.sample()).code == 0
        assert_the_echo_beside_it_is_whole(place, manifest)
    assert "was killed because its task had to end, and did not within 5s (it was started again once)" in supervisor.err


def test_a_plugin_that_ignores_every_request_to_stop_is_killed_after_stop_timeout(place: Place) -> None:
    manifest = place.manifest("ignores_term", "echo", stop_timeout="600ms")
    supervisor = place.start_up(manifest)
    began = time.monotonic()

    down = place.malbox("down", "-f", manifest)

    assert down.code == 0
    assert 0.6 <= time.monotonic() - began < 20
    done = supervisor.wait(20)
    assert done.code == 1
    assert "killing it" in done.err
    assert done.err.splitlines()[-1].endswith(
        "plugin ignores_term was killed because it did not end within 600ms (stop_timeout)"
    )
    assert "echo: stopped" in supervisor.err


def test_a_stopped_process_is_ended_too(place: Place) -> None:
    manifest = place.manifest("echo", stop_timeout="1s")
    supervisor = place.start_up(manifest)
    psutil.Process(place.plugin_status(manifest, "echo")["pid"]).send_signal(signal.SIGSTOP)

    assert place.malbox("down", "-f", manifest).code == 0

    assert supervisor.wait(20).seconds < 30


@pytest.mark.parametrize(("name", "why"), [("empty", "empty"), ("256", "255")])
def test_a_result_name_that_cannot_travel_fails_the_task(place: Place, name: str, why: str) -> None:
    done = place.run(place.manifest("bad_names"), place.sample(), "--set", f"name={name}")

    assert done.code == 1
    assert done.end["type"] == "failed"
    assert "ResultRefused" in done.end["error"]
    assert why in done.end["error"]
    assert done.of("result") == []


@pytest.mark.parametrize("name", ["255", "escapes"])
def test_a_strange_result_name_arrives_as_it_is_and_is_stored_under_a_tame_one(place: Place, name: str) -> None:
    done = place.run(place.manifest("bad_names"), place.sample(), "--set", f"name={name}", "--output", "found")

    assert done.code == 0, done
    [result] = done.of("result")
    assert result["name"] == {"255": "ä" * 127 + "x", "escapes": "../../\x1b[2J/etc/passwd"}[name]
    stored = Path(result["path"])
    assert stored.is_relative_to(place.folder / "found")
    assert stored.name.isascii()
    assert stored.name.isprintable()
    assert stored.read_bytes() == b"data"


@pytest.mark.parametrize("escapes", [False, True], ids=["in its group", "in a session of its own"])
def test_what_a_plugin_started_goes_with_it(place: Place, *, escapes: bool) -> None:
    place.orphans_are_fine = True
    arguments = ["--set", "escapes=1"] if escapes else []

    done = place.run(place.manifest("leaves_child"), place.sample(), *arguments)

    assert done.code == 0, done
    assert len(done.of("result")) == 1
    place.assert_nothing_left()


def test_a_plugin_of_the_manifest_that_is_no_plugin_at_all_is_named(place: Place) -> None:
    manifest = place.manifest(sleeper={"command": ["/bin/true"]}, echo={"path": str(PLUGINS / "echo")})

    done = place.run(manifest, place.sample())

    assert done.code == 1
    assert "sleeper: exited with code 0 before it was ready" in done.err
