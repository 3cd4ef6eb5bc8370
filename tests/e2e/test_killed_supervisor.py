"""`kill -9` of the supervisor, at several moments: within two seconds nothing is left, and the next start works."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_harness import PLUGINS, Place, Running, eventually

Moment = Callable[[Place, Path, Running], object]


def _files_in_runtime_folder(count: int) -> Moment:
    return lambda place, _, __: eventually(lambda: len(place.files()) >= count, f"has {count} files", 5)


def _children(count: int) -> Moment:
    return lambda place, _, up: eventually(lambda: len(place.children_of(up.pid)) >= count, f"has {count} children", 5)


def _ready(place: Place, manifest: Path, up: Running) -> None:
    del place, manifest
    up.wait_for("echo: READY")


def _working(plugin: str, setting: str, sign: str) -> Moment:
    def moment(place: Place, manifest: Path, up: Running) -> None:
        up.wait_for(f"{plugin}: READY")
        task = place.start("send-task", "-f", manifest, "--json", plugin, place.sample(), "--set", setting)
        task.wait_for(sign)

    return moment


def _receiving(place: Place, manifest: Path, up: Running) -> None:
    up.wait_for("echo: READY")
    place.start("send-task", "-f", manifest, "--json", "echo", place.sample(), "--set", f"sizes={200 << 20}")
    eventually(lambda: [*manifest.parent.rglob("objects/tmp/*")], "writes a result", 10)


def _stopping(place: Place, manifest: Path, up: Running) -> None:
    del place, manifest
    up.wait_for("ignores_term: READY")
    up.signal(signal.SIGTERM)
    up.wait_for("stopping")


# The moment, and the plugin that is there beside echo: one that has to be killed takes a second more.
MOMENTS: dict[str, tuple[Moment, str]] = {
    "its folder is there": (_files_in_runtime_folder(1), "raises"),
    "it makes its services": (_files_in_runtime_folder(8), "raises"),
    "its guardian is there": (_children(1), "raises"),
    "its plugins start": (_children(3), "raises"),
    "its plugins are ready": (_ready, "raises"),
    "a task runs": (_working("echo", "until=/no/such", '"waiting"'), "raises"),
    "a handler has the lock of its interpreter": (_working("ignores_cancel", "how=c", '"working"'), "ignores_cancel"),
    "a result arrives": (_receiving, "raises"),
    "it stops": (_stopping, "ignores_term"),
}
CASES = [pytest.param(None, name, id=name) for name in MOMENTS]
CASES += [pytest.param("lab", name, id=f"{name}, in a named domain") for name in ("its plugins start", "it stops")]


@pytest.mark.parametrize(("domain", "moment"), CASES)
def test_nothing_is_left_and_the_next_up_works_at_once(place: Place, domain: str | None, moment: str) -> None:
    wait_for, beside = MOMENTS[moment]
    place.orphans_are_fine = True
    manifest = place.manifest("echo", beside, stop_timeout="500ms")
    if domain is not None:
        manifest.write_text(manifest.read_text().replace("[malbox]", f'[malbox]\ndomain = "{domain}"'))
    up = place.start("up", "-f", manifest)
    wait_for(place, manifest, up)

    up.popen.kill()
    up.popen.wait()
    before = {process.pid for process in place.processes()}
    next_up = place.start_up(manifest)

    eventually(
        lambda: not before & {process.pid for process in place.processes()}, "the first one's processes have ended"
    )
    assert place.send(manifest, "echo", place.sample()).code == 0
    next_up.signal(signal.SIGTERM)
    assert next_up.wait(20).code == 143


@pytest.mark.parametrize("moment", ["its folder is there", "it makes its services", "its plugins start"])
def test_nothing_is_left_of_a_supervisor_that_was_killed_while_it_started(place: Place, moment: str) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest("echo", "raises")
    up = place.start("up", "-f", manifest)
    MOMENTS[moment][0](place, manifest, up)

    up.popen.kill()
    up.popen.wait()

    place.assert_nothing_left(patience=2)


@pytest.mark.parametrize("sign", ["accepted", "waiting"])
def test_nothing_is_left_of_a_run_that_was_killed(place: Place, sign: str) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest("echo", twin={"path": str(PLUGINS / "echo")})
    run = place.start("run", "-f", manifest, "--json", place.sample(), "--set", "until=/no/such")
    run.wait_for(f'"{sign}"')

    run.popen.kill()
    run.popen.wait()

    place.assert_nothing_left(patience=2)


def test_a_client_of_a_killed_supervisor_says_that_it_ended(place: Place) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest("echo")
    up = place.start_up(manifest)
    task = place.start("send-task", "-f", manifest, "--json", "echo", place.sample(), "--set", "until=/no/such")
    task.wait_for('"waiting"')

    up.popen.kill()
    up.popen.wait()

    done = task.wait(20)
    assert done.code == 1
    assert done.err == f"malbox: the supervisor (process {up.pid}) ended before it had answered\n"
    assert place.malbox("status", "-f", manifest).code == 69


def test_what_a_plugin_started_in_a_session_of_its_own_goes_too(place: Place) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest("leaves_child")
    up = place.start_up(manifest)
    [result] = place.send(manifest, "leaves_child", place.sample(), "--set", "escapes=1").of("result")
    assert result["data"] in {process.pid for process in place.processes()}

    up.popen.kill()
    up.popen.wait()

    place.assert_nothing_left(patience=2)
