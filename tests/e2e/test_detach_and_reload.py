"""`up --detach`, `up --dry-run`, `reload` and `status --watch`."""

import json
import signal
from pathlib import Path

import psutil
import pytest
from e2e_harness import PLUGINS, Place, eventually

from malbox_cli.control.client import ControlClient
from malbox_cli.supervisor.ownership import Owner, find_owner

ECHO = {"path": str(PLUGINS / "echo")}


def owner_of(manifest: Path) -> Owner:
    owner = find_owner(manifest.parent / ".malbox")
    assert owner is not None
    return owner


def supervisor_of(manifest: Path) -> psutil.Process:
    return psutil.Process(owner_of(manifest).pid)


def rewrite(manifest: Path, *changes: tuple[str, str]) -> None:
    text = manifest.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    manifest.write_text(text)


def test_detach_returns_once_all_are_ready_and_down_ends_it(place: Place) -> None:
    place.orphans_are_fine = True  # what goes on in the background has no other parent
    manifest = place.manifest("echo", two=ECHO)

    up = place.malbox("up", "-f", manifest, "--detach")

    assert up.code == 0, up
    assert up.err.startswith("every plugin is READY; the supervisor runs in the background")
    assert supervisor_of(manifest).pid != up.argv
    assert place.send(manifest, "two", place.sample()).code == 0
    again = place.malbox("up", "-f", manifest, "--detach")
    assert again.code == 1
    assert "is supervised already" in again.err
    assert place.malbox("down", "-f", manifest).code == 0
    assert "echo: READY" in place.malbox("logs", "-f", manifest).out


def test_detach_says_which_plugin_is_not_ready_and_leaves_the_others_running(place: Place) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest("echo", "exits_before_ready")

    up = place.malbox("up", "-f", manifest, "-d")

    assert up.code == 1
    assert "plugin exits_before_ready is FAILED: exited with code 4 before it was ready" in up.err
    assert "rules/extra.yar: no such file" in up.err
    assert place.plugin_status(manifest, "echo")["state"] == "READY"
    assert place.malbox("down", "-f", manifest).code == 0


@pytest.mark.parametrize("when", ["at once", "before it supervises"])
def test_detach_says_why_the_supervisor_has_ended(place: Place, when: str) -> None:
    place.orphans_are_fine = True
    if when == "at once":
        manifest = place.manifest("exits_before_ready")
        why = "exited with code 4 before it was ready"
    else:
        manifest = place.manifest("echo")
        place.environment["MALBOX_RUNTIME_DIR"] = str(place.folder / ("long" * 20))
        why = "set MALBOX_RUNTIME_DIR to a shorter one"

    up = place.malbox("up", "-f", manifest, "-d")

    assert up.code == 1
    assert why in up.err
    assert "the supervisor has ended" in up.err
    assert "in the background" not in up.err
    assert find_owner(manifest.parent / ".malbox") is None


def test_a_supervisor_in_the_background_leaves_word_of_who_was_to_blame(place: Place) -> None:
    up = place.malbox("up", "-f", place.manifest("exits_before_ready"), "--silent")
    assert up.code == 1
    assert up.err.startswith("malbox: plugin exits_before_ready FAILED: exited with code 4 before it was ready")
    assert up.err.count("\n") == 1


def test_a_detached_supervisor_outlives_the_terminal_of_its_command(place: Place) -> None:
    place.orphans_are_fine = True
    manifest = place.manifest("echo")
    assert place.malbox("up", "-f", manifest, "-d", start_new_session=True).code == 0

    supervisor = supervisor_of(manifest)
    assert supervisor.terminal() is None
    supervisor.send_signal(signal.SIGTERM)
    eventually(lambda: find_owner(manifest.parent / ".malbox") is None, "it has ended")


def test_dry_run_starts_nothing_and_shows_no_secret(place: Place) -> None:
    manifest = place.manifest(echo={**ECHO, "env": {"API_TOKEN": "hush"}}, two={**ECHO})

    text = place.malbox("up", "-f", manifest, "--dry-run")
    as_json = place.malbox("up", "-f", manifest, "--dry-run", "--json", "two", env={"DB_PASSWORD": "hush"})

    assert text.code == as_json.code == 0
    assert "1. echo\n" in text.out
    assert "API_TOKEN=***" in text.out
    [two] = json.loads(as_json.out)["plugins"]
    assert (two["id"], two["environment"]["DB_PASSWORD"]) == ("two", "***")
    assert "hush" not in text.out + as_json.out
    assert not (place.folder / ".malbox").exists()


def test_a_reload_touches_only_what_changed(place: Place) -> None:
    manifest = place.manifest("echo", changed=ECHO, gone=ECHO)
    with place.up(manifest):
        before = {row["id"]: row["pid"] for row in place.status(manifest)["plugins"]}
        rewrite(
            manifest,
            ("[plugins.changed]", "[plugins.changed]\nstart_timeout = '20s'"),
            ("[plugins.gone]", "[plugins.new]"),
        )

        reload = place.malbox("reload", "-f", manifest)

        assert reload.code == 0, reload
        assert reload.err == "new is added\ngone is removed\nchanged is changed\n"
        after = {row["id"]: row["pid"] for row in place.status(manifest)["plugins"]}
        assert list(after) == ["echo", "changed", "new"]
        assert after["echo"] == before["echo"]
        assert after["changed"] != before["changed"]
        for plugin in after:
            assert place.send(manifest, plugin, place.sample()).code == 0
        assert place.malbox("reload", "-f", manifest).err == "nothing has changed\n"


def test_plugins_that_come_and_go_leave_no_descriptor(place: Place) -> None:
    manifest = place.manifest("echo", new=ECHO)
    counts = []
    with place.up(manifest):
        for old, new in (("new", "x"), ("x", "new")) * 3:
            rewrite(manifest, (f"[plugins.{old}]", f"[plugins.{new}]"))
            assert place.malbox("reload", "-f", manifest).code == 0
            with ControlClient(owner_of(manifest)) as client:
                client.status()  # those of the command before are closed by now
                counts.append(supervisor_of(manifest).num_fds())
    assert max(counts[2:]) <= max(counts[:2])


def test_a_manifest_with_problems_changes_nothing(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        pid = place.plugin_status(manifest, "echo")["pid"]
        good = manifest.read_text()
        rewrite(manifest, ("[plugins.echo]", "[plugins.echo]\nrestart = 'sometimes'"))

        reload = place.malbox("reload", "-f", manifest)

        assert reload.code != 0
        assert f"{manifest}:" in reload.err
        assert "sometimes" in reload.err
        assert place.plugin_status(manifest, "echo")["pid"] == pid
        manifest.write_text(good.replace("[malbox]", '[malbox]\ndomain = "other"'))
        other = place.malbox("reload", "-f", manifest)
        assert other.code == 1
        assert "malbox.domain has changed, which only a new supervisor can follow" in other.err
        # The supervisor is found all the same, and can be stopped.
        rewrite(manifest, ("[plugins.echo]", "[plugins.echo]\nrestart = 'sometimes'"))


def test_a_plugin_that_failed_is_mended_by_a_reload(place: Place) -> None:
    manifest = place.manifest("echo", slow_start={"config": {}})
    up = place.start_up(manifest, ready=["echo"])
    up.wait_for("KeyError")
    eventually(lambda: place.plugin_status(manifest, "slow_start")["state"] == "FAILED", "it has failed")
    rewrite(manifest, ("[plugins.slow_start]", f"[plugins.slow_start]\nconfig = {{ until = '{manifest}' }}"))

    # `config = {}` was written as a table of its own.
    text = manifest.read_text().replace("\n[plugins.slow_start.config]\n", "\n")
    manifest.write_text(text)
    reload = place.malbox("reload", "-f", manifest)

    assert reload.code == 0, reload
    assert place.plugin_status(manifest, "slow_start")["state"] == "READY"
    assert place.malbox("down", "-f", manifest).code == 0
    assert up.wait(20).code == 0


def test_watch_shows_the_status_again_and_again(place: Place) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        watch = place.start("status", "-f", manifest, "--watch", "--json")
        eventually(lambda: len(watch.out.splitlines()) >= 2, "it is shown twice")
        watch.signal(signal.SIGINT)
        done = watch.wait()
    assert done.code == 130
    assert [row["plugins"][0]["state"] for row in done.records] == ["READY"] * len(done.records)


@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "text"])
def test_watch_ends_with_the_supervisor_and_says_so(place: Place, options: list[str]) -> None:
    manifest = place.manifest("echo")
    with place.up(manifest):
        watch = place.start("status", "-f", manifest, "--watch", *options)
        eventually(lambda: "READY" in watch.out, "it is shown")

    done = watch.wait()
    assert done.code == 69
    assert done.err == f"malbox: the supervisor of {manifest} has ended\n"


def test_a_manifest_never_gets_the_supervisor_of_another_with_its_state_folder(place: Place) -> None:
    manifest = place.manifest("echo")
    other = place.write_manifest(manifest.read_text(), "other.toml")
    same = place.folder / "same.toml"
    same.symlink_to(manifest)
    with place.up(manifest) as up:
        asked = [place.malbox(command, "-f", other) for command in ("status", "down", "reload", "events", "wait")]
        started = [place.malbox("up", "-f", other, *options) for options in ([], ["--detach"])]
        linked = place.malbox("status", "-f", same)

    in_use = f"is in use, by the supervisor of {manifest} (process {up.pid}): name another as state_dir in {other}"
    assert [done.code for done in asked] == [69] * 5
    assert all(f"no supervisor is running for {other}, and" in done.err and in_use in done.err for done in asked), asked
    assert [done.code for done in started] == [1, 1]
    assert all(in_use in done.err for done in started), started
    assert linked.code == 0
