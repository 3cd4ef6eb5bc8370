"""What `up --debug` makes of the plugins of a manifest."""

from pathlib import Path

from malbox_cli.manifest.debugged import Debugging, debugged
from malbox_cli.manifest.specs import Limits, PluginSpec

ASKED = Debugging("a", "127.0.0.1:5678")


def spec(name: str, **more: object) -> PluginSpec:
    return PluginSpec(id=name, name=name, argv=("/bin/true",), cwd=Path("/"), **more)  # type: ignore[arg-type]


def test_no_limit_binds_the_one_and_the_others_are_as_they_were() -> None:
    limits = Limits(memory=1 << 30, cpu_time=5)
    a, b = debugged([spec("a", heartbeat=1.0, limits=limits, restart="always", spare=True), spec("b")], ASKED)
    assert b == spec("b")
    assert a.debugger == ASKED.address
    assert (a.task_timeout, a.health_interval, a.heartbeat) == (None, None, None)
    assert min(a.start_timeout, a.cancel_grace) > 24 * 3600
    assert a.limits == Limits(memory=1 << 30)
    assert (a.restart, a.spare) == ("no", False)


def test_of_its_instances_one_is_left_and_nobody_waits_for_the_others() -> None:
    specs = [spec("a-1", group="a"), spec("a-2", group="a"), spec("b", after=("a-1", "a-2", "c")), spec("c")]
    kept = debugged(specs, ASKED)
    assert [each.id for each in kept] == ["a-1", "b", "c"]
    assert kept[1].after == ("a-1", "c")
