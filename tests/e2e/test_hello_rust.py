"""The plugin in Rust, built from its sources and run as any other: it speaks the plain protocol alone."""

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_harness import REPOSITORY, Place, eventually
from iceoryx_domains import fresh_domain

from plugin_runtime.releases import release_of

FOLDER = REPOSITORY / "examples" / "plugins" / "hello-rust"
BUILD_SECONDS = 600
PAUSE = "pause_ms=600000"
"""Longer than any test waits."""

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 120)


@pytest.fixture(scope="session")
def program() -> Path:
    """Build it, once for every run on this machine: the target folder is kept, outside of the sources."""
    if shutil.which("cargo") is None:
        pytest.skip("there is no cargo here to build the plugin with")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or cache / "malbox-tests" / "cargo")

    def cargo(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
        argv = ["cargo", *arguments, "--locked"]
        return subprocess.run(
            argv, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
        )

    fetched = cargo("fetch")
    if fetched.returncode:
        pytest.skip(f"cargo cannot get the crates that the plugin is built on: {fetched.stderr[-500:]}")
    built = cargo("build", "--offline")
    if "requires rustc" in built.stderr:
        pytest.skip(f"this compiler is too old: {built.stderr[-500:]}")
    assert built.returncode == 0, built.stderr
    return target / "debug" / "hello-rust"


@pytest.fixture
def folder(program: Path, tmp_path: Path) -> Path:
    """The plugin's folder as it is after `cargo build --release`."""
    folder = tmp_path / "hello-rust"
    (folder / "target" / "release").mkdir(parents=True)
    shutil.copy(FOLDER / "plugin.toml", folder)
    shutil.copy(program, folder / "target" / "release")
    return folder


def manifest_of(place: Place, folder: Path, **keys: Any) -> Path:
    return place.manifest(**{"hello-rust": {"path": str(folder), **keys}})


def results_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["name"]: each.get("data", each.get("path")) for each in records if each["type"] == "result"}


def test_it_is_under_300_lines_and_on_the_release_of_the_wheel() -> None:
    lines = [line for file in (FOLDER / "src").glob("*.rs") for line in file.read_text().splitlines()]
    assert len(lines) < 300
    release = release_of("iceoryx2")
    assert f'iceoryx2 = "={release}"' in (FOLDER / "Cargo.toml").read_text()
    assert f'const ICEORYX2: &str = "{release}";' in (FOLDER / "src" / "main.rs").read_text()


def test_it_does_a_task_in_a_domain_of_its_own(place: Place, folder: Path) -> None:
    sample = place.sample(b"\0\0hello\xff\xffab\0world!")
    done = place.run(manifest_of(place, folder), sample)

    assert done.code == 0, done
    results = results_of(done.records)
    assert results["bytes"] == {"size": 18, "zero": 3, "printable": 13, "high": 2}
    assert Path(results["text"]).read_bytes() == b"hello\nworld!"
    assert [(each["progress"], each["message"]) for each in done.of("progress")] == [
        (0.3, "counting"),
        (0.6, "looking for text"),
    ]


@pytest.fixture
def default_domain(place: Place, folder: Path) -> Iterator[None]:
    """Have iceoryx2's own configuration, as the supervisor and the plugin find it in their folders, say where to be."""
    with fresh_domain() as domain:
        for where in (place.folder, folder):
            (where / "config").mkdir()
            text = f'[global]\nroot-path = "{domain.root}"\nprefix = "{domain.prefix}"\n'
            (where / "config" / "iceoryx2.toml").write_text(text)
        yield


@pytest.mark.usefixtures("default_domain")
def test_it_does_a_task_in_the_default_domain(place: Place, folder: Path) -> None:
    manifest = place.write_manifest(f'[malbox]\ndomain = "default"\n[plugins.hello-rust]\npath = "{folder}"\n')
    with place.up(manifest):
        done = place.send(manifest, "hello-rust", place.sample(b"some text"))
        assert place.status(manifest)["supervisor"]["domain"] == "default"

    assert done.code == 0, done
    assert results_of(done.records)["bytes"]["size"] == 9


def test_a_large_result_comes_whole(place: Place, folder: Path) -> None:
    data = bytes(32 + index % 95 for index in range(95 * 40_000))  # 3.8 MB of text: four pieces
    done = place.run(manifest_of(place, folder), place.sample(data))

    assert done.code == 0, done
    text = next(each for each in done.of("result") if each["name"] == "text")
    assert (text["size"], text["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_an_error_is_the_task_s_and_the_next_one_goes_well(place: Place, folder: Path) -> None:
    manifest, sample = manifest_of(place, folder), place.sample()
    with place.up(manifest):
        failed = place.send(manifest, "hello-rust", sample, "--set", "min_string=many")
        done = place.send(manifest, "hello-rust", sample)
        (plugin,) = place.status(manifest)["plugins"]

    assert failed.code == 1
    assert failed.end["error"] == 'min_string is "many", which is not a number'
    assert done.code == 0
    assert (plugin["restarts"], plugin["tasks"]["completed"], plugin["tasks"]["failed"]) == (0, 1, 1)


def test_a_cancelled_task_ends_with_its_process_which_comes_back(place: Place, folder: Path) -> None:
    manifest = manifest_of(place, folder, cancel_grace="100ms")
    with place.up(manifest, code=1):  # one was killed
        sending = place.start("send-task", "-f", manifest, "--json", "hello-rust", place.sample(), "--set", PAUSE)
        sending.wait_for('"name": "bytes"')
        canceled = place.malbox("cancel", "-f", manifest, "1")
        ended = sending.wait()
        done = place.send(manifest, "hello-rust", place.sample())

    assert canceled.code == 0, canceled
    assert ended.end["type"] == "canceled"
    assert done.code == 0, done


def test_a_task_whose_process_is_killed_is_done_by_the_next(place: Place, folder: Path) -> None:
    manifest = manifest_of(place, folder, restart="on-failure")
    with place.up(manifest, code=1):  # one was killed
        pid = place.plugin_status(manifest, "hello-rust")["pid"]
        os.kill(pid, signal.SIGSTOP)
        sending = place.start("send-task", "-f", manifest, "--json", "hello-rust", place.sample(b"some text"))
        eventually(
            lambda: place.plugin_status(manifest, "hello-rust")["tasks"]["running"] == 1, "the task is with the plugin"
        )
        os.kill(pid, signal.SIGKILL)
        done = sending.wait()

    assert done.code == 0, done
    assert {each["attempt"] for each in done.of("result")} == {2}


def test_several_work_at_once(place: Place, folder: Path) -> None:
    manifest = place.manifest(
        **{"hello-rust": {"path": str(folder), "instances": 2}, "another": {"path": str(folder)}},
    )
    samples = [place.sample(bytes([65 + number]) * (number + 4), f"sample-{number}") for number in range(6)]
    done = place.run(manifest, *samples)

    assert done.code == 0, done
    assert len(done.of("completed")) == 12
    assert sorted(each["data"]["size"] for each in done.of("result") if each["name"] == "bytes") == sorted(
        [*range(4, 10)] * 2
    )


def test_it_stops_when_it_is_told_to(place: Place, folder: Path) -> None:
    with place.up(manifest_of(place, folder)) as running:
        pass
    assert "hello-rust: stopped" in running.err
    assert "SIGKILL" not in running.err


def test_sigterm_ends_it_in_order(place: Place, folder: Path) -> None:
    manifest = manifest_of(place, folder)
    with place.up(manifest, "--exit-on", "never"):
        os.kill(place.plugin_status(manifest, "hello-rust")["pid"], signal.SIGTERM)
        plugin = eventually(
            lambda: (found := place.plugin_status(manifest, "hello-rust"))["pid"] is None and found, "it has ended"
        )
    assert plugin["state"] == "EXITED"
    assert plugin["last_exit"] == {"code": 0, "signal": None}


def test_it_names_both_releases_where_they_differ(place: Place, program: Path) -> None:
    done = subprocess.run(
        [program],
        env={"MALBOX_PLUGIN_ID": "hello-rust", "MALBOX_ICEORYX2": "0.9.3"},
        cwd=place.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 78
    assert done.stderr.startswith(f"built on iceoryx2 {release_of('iceoryx2')}, malbox runs on 0.9.3: ")


def test_a_build_on_another_release_has_failed_at_once_and_names_both(place: Place, folder: Path) -> None:
    release = release_of("iceoryx2")
    binary = folder / "target" / "release" / "hello-rust"
    binary.write_bytes(binary.read_bytes().replace(f"/iceoryx2-{release}/src/".encode(), b"/iceoryx2-0.99.0/src/"))
    done = place.malbox("up", "-f", manifest_of(place, folder))

    assert done.code == 1
    assert f"hello-rust: built on iceoryx2 0.99.0, malbox runs on {release}, and both need the same release" in done.err
