"""Plugins that say that they are not well, and plugins whose loop stands still."""

from e2e_harness import PLUGINS, Place, eventually


def test_what_a_plugin_says_of_its_health_is_its_state(place: Place) -> None:
    health = place.folder / "health"
    manifest = place.manifest(degrades={"config": {"health": str(health)}, "health_interval": "100ms"})
    with place.up(manifest):
        health.write_text("degraded the signatures are old")
        eventually(lambda: place.plugin_status(manifest, "degrades")["state"] == "DEGRADED", "it is DEGRADED")
        row = place.plugin_status(manifest, "degrades")
        assert row["reason"] == "it says that it is degraded: the signatures are old"
        assert place.malbox("status", "-f", manifest).code == 3
        assert place.send(manifest, "degrades", place.sample()).code == 0
        health.write_text("unhealthy no disk")
        eventually(lambda: "no disk" in place.plugin_status(manifest, "degrades")["reason"], "it says the next thing")
        health.unlink()
        eventually(lambda: place.plugin_status(manifest, "degrades")["state"] == "READY", "it is READY again")


def test_an_exception_in_health_check_is_told_as_the_reason(place: Place) -> None:
    manifest = place.manifest(raises_in_health_check={"health_interval": "100ms"})
    with place.up(manifest):
        name = "raises_in_health_check"
        eventually(lambda: place.plugin_status(manifest, name)["state"] == "DEGRADED", "it is DEGRADED")
        assert "ConnectionError: the signature server does not answer" in place.plugin_status(manifest, name)["reason"]


def test_a_loop_that_stands_still_is_degraded_aborted_with_a_traceback_and_started_again(place: Place) -> None:
    manifest = place.manifest("echo", stuck_loop={"heartbeat": "200ms", "restart": "on-failure", "retries": 0})
    up = place.start_up(manifest)
    events = place.start("events", "--manifest", manifest, "--follow", "--json")
    events.wait_for("READY")

    done = place.send(manifest, "stuck_loop", place.sample(), "--set", "stuck=1")

    assert done.code == 1
    assert "was aborted: its loop has missed 3 beats (heartbeat = 200ms)" in done.end["error"]
    assert place.malbox("wait", "-f", manifest, "--timeout", "20").code == 0
    assert place.plugin_status(manifest, "stuck_loop")["restarts"] == 1
    assert place.send(manifest, "stuck_loop", place.sample()).code == 0
    logs = place.malbox("logs", "-f", manifest, "stuck_loop", "-n", "all").out
    assert "Fatal Python error: Aborted" in logs
    assert str(PLUGINS / "stuck_loop" / "main.py") in logs
    assert place.malbox("down", "-f", manifest).code == 0
    assert up.wait(20).code == 1
    states = [line["state"] for line in events.wait().records if line.get("plugin") == "stuck_loop"]
    assert [state for state in states if state not in ("PENDING",)][:5] == [
        "READY",
        "DEGRADED",
        "BACKOFF",
        "STARTING",
        "READY",
    ]


def test_a_plugin_that_beats_is_left_alone_however_long_its_task(place: Place) -> None:
    flag = place.folder / "go"
    manifest = place.manifest(echo={"path": str(PLUGINS / "echo"), "heartbeat": "100ms"})
    with place.up(manifest):
        pid = place.plugin_status(manifest, "echo")["pid"]
        task = place.start("send-task", "-f", manifest, "--json", "echo", place.sample(), "--set", f"until={flag}")
        task.wait_for("waiting")
        before = place.plugin_status(manifest, "echo")["uptime"]
        eventually(lambda: place.plugin_status(manifest, "echo")["uptime"] > before + 1, "ten beats are over")
        row = place.plugin_status(manifest, "echo")
        assert (row["state"], row["pid"]) == ("READY", pid)
        flag.touch()
        assert task.wait().code == 0
