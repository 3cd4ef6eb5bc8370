"""Real processes: how they are, their heartbeats, the word to stop, and what they leave when a signal ends them."""

import re
import signal
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from harness import ID
from process_rig import MISBEHAVING, Place, PluginProcess

from plugin_runtime.wire.codec import decode_hello
from plugin_runtime.wire.messages import EventKind, HealthAnswer

HEARTBEAT = 0.05
SLOT = 119
OURS = metadata.version("iceoryx2")


def misbehaving(place: Place, name: str, **environment: Any) -> AbstractContextManager[PluginProcess]:
    return place.plugin(place.environment(**environment), program=(str(MISBEHAVING / name / "main.py"),))


def test_it_says_that_it_knows_how_to_stop_and_beat_and_answer(place: Place) -> None:
    with place.plugin():
        place.ready()
        hello = decode_hello(place.events[0].payload)
        assert hello is not None
        assert hello.extensions >= {"stop", "health", "heartbeat"}
        assert place.health() == HealthAnswer("healthy")


def test_one_that_degrades_says_so_and_one_that_is_well_again_says_that(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "health"
    with misbehaving(place, "degrades", config={"health": str(file)}) as process:
        place.ready()
        assert place.health() == HealthAnswer("healthy")
        file.write_text("degraded two of three rule files are missing")
        assert place.health() == HealthAnswer("degraded", "two of three rule files are missing")
        file.write_text("unhealthy no rules at all")
        assert place.health() == HealthAnswer("unhealthy", "no rules at all")
        file.unlink()
        assert place.health() == HealthAnswer("healthy")
        assert place.do(1).error is None
        assert process.errors == ""
    file.unlink(missing_ok=True)


def test_one_that_raises_in_its_check_is_unhealthy_and_works_on(place: Place) -> None:
    with misbehaving(place, "raises_in_health_check") as process:
        place.ready()
        reason = "health_check failed: ConnectionError: the signature server does not answer"
        assert place.health() == HealthAnswer("unhealthy", reason)
        assert place.do(1).error is None
        assert place.health() == HealthAnswer("unhealthy", reason)
        assert process.errors.count("health_check failed: Traceback") == 1


def test_the_word_to_stop_ends_it_in_order(place: Place) -> None:
    with place.plugin() as process:
        place.ready()
        place.ports.ask_stop(ID)
        assert process.ended() == 0
        assert place.kinds()[-1] is EventKind.PLUGIN_STOPPED
        assert process.log[-1] == "on_stop"
        assert process.errors == ""


def test_a_stuck_loop_beats_no_more_and_sigabrt_has_it_show_where_it_stands(place: Place) -> None:
    with misbehaving(place, "stuck_loop", heartbeat=HEARTBEAT, heartbeat_slot=SLOT) as process:
        place.ready()
        place.until(lambda: len(place.beats) >= 3)
        assert set(place.beats) == {SLOT}
        assert place.do(1).error is None
        task = place.send(2, stuck="for ever")
        place.until(lambda: task.receive() and bool(task.progress))

        def missed_three() -> bool:
            """Whether none came within the time of three."""
            before = len(place.beats)
            for _ in range(4):
                place.ports.wait(HEARTBEAT)
                place.until(lambda: True)
            return len(place.beats) == before

        place.until(missed_three)
        process.popen.send_signal(signal.SIGABRT)
        assert process.ended() == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in process.errors
        assert "in on_task" in process.errors  # the handlers' thread, which has Python's lock
        assert 'loop.py", line' in process.errors  # the loop's, which waits for it
        task.stream.close()


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE])
def test_a_fatal_signal_leaves_a_traceback_of_every_thread(place: Place, number: signal.Signals) -> None:
    with place.plugin() as process:
        place.ready()
        place.send(1, do="sleep_on")
        place.until(lambda: "on_task" in process.log)
        process.popen.send_signal(number)
        assert process.ended() == -number
        assert "Fatal Python error: " in process.errors
        assert "in sleep_on" in process.errors
        assert 'loop.py", line' in process.errors


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param("faulthandler.enable(open('own', 'w'))", "Current thread", id="faulthandler elsewhere"),
        pytest.param("signal.signal(signal.SIGABRT, lambda *_: note('aborting'))", "aborting", id="a handler"),
        pytest.param("sys.stderr = io.StringIO()", None, id="stderr in memory"),
    ],
)
def test_what_an_author_set_up_for_fatal_signals_stays(place: Place, settings: str, said: str | None) -> None:
    code = (
        "import faulthandler, io, os, signal, sys\n"
        "import plugin_runtime as malbox\n"
        "def note(text):\n"
        "    with open('own', 'w') as file: file.write(text)\n"
        f"{settings}\n"
        "malbox.run(malbox.Plugin())\n"
    )
    with place.plugin(program=("-c", code)) as process:
        place.ready()
        own = process.folder / "own"
        process.popen.send_signal(signal.SIGABRT)
        if said is None:
            assert process.ended() == -signal.SIGABRT
            assert "Fatal Python error: Aborted" in process.errors
        else:
            place.until(lambda: own.exists() and said in own.read_text())
            assert process.errors == ""


def edit_services(place: Place) -> None:
    """Have the services look as if another release had made them."""
    for path in Path(place.domain.root, "services").iterdir():
        text, changes = re.subn(r"\bpatch = [0-9]+\n", "patch = 999\n", path.read_text())
        assert changes == 1
        mode = path.stat().st_mode  # by which iceoryx2 tells what is still being made
        path.chmod(0o600)
        path.write_text(text)
        path.chmod(mode)


def test_another_release_of_iceoryx2_is_refused_before_anything_is_opened(place: Place) -> None:
    before = sorted(Path(place.domain.root).rglob("*"))
    with place.plugin(place.environment(iceoryx2="0.9.3")) as process:
        assert process.ended() == 78
        assert process.errors == (
            f"scripted.py: the supervisor uses iceoryx2 0.9.3 and this plugin {OURS}, and both need the same release: "
            "install iceoryx2==0.9.3 where this plugin runs\n"
        )
        assert process.log == []
    assert place.kinds() == []
    assert sorted(Path(place.domain.root).rglob("*")) == before


@pytest.mark.parametrize("foreign", [False, True], ids=["ours", "foreign"])
def test_services_of_another_release_end_it_with_78_and_its_own_is_named(place: Place, foreign: bool) -> None:
    edit_services(place)
    with place.plugin(place.environment(foreign=foreign)) as process:
        assert process.ended() == 78
        assert process.errors.count("\n") == 1
        assert "the service was made by another release of iceoryx2 than ours" in process.errors
        assert process.errors.endswith(f"; this plugin uses {OURS}\n")
        assert process.log == []


def test_services_that_are_broken_are_no_other_release_where_both_are_known(place: Place) -> None:
    edit_services(place)
    with place.plugin(place.environment(iceoryx2=OURS)) as process:
        assert process.ended() == 1
        assert process.errors.endswith(f"; it is no other release: both use {OURS}\n")
