"""What a killed process left goes, also where iceoryx2 alone would leave it or wait for it for ever."""

import os
import resource
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import iceoryx2 as iox
import pytest
from port_rigs import DEADLINE, ID, NODE_ALONE, PORTS, process_with, received

from plugin_runtime.errors import PeerGone, TransportError
from plugin_runtime.ports.domain import DEFAULT_DOMAIN, Domain
from plugin_runtime.ports.iceoryx_cleaning import clean_up_after, remove_files_of, remove_half_made
from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.wire.headers import TaskRequestHeader

SHARED = Path("/dev/shm")
ANSWER = (
    "from plugin_runtime.wire.codec import error_frame\n"
    "while (request := ports.receive_request()) is None: ports.wait(1)\n"
    "request.send(error_frame(1, 'last words'))\n"
)


def left_by(pid: int, domain: Domain) -> list[str]:
    paths = [*SHARED.glob(f"{domain.prefix}*"), *Path(domain.root, "nodes").glob("*")]
    numbers = {
        path.name: [int(part) for part in path.name.replace(".", "_").split("_") if part.isdigit()] for path in paths
    }
    return sorted(name for name, found in numbers.items() if any(number >> 64 & 0xFFFFFFFF == pid for number in found))


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(DEADLINE)


def test_a_killed_plugin_is_cleaned_up_and_its_id_served_again_at_once(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        supervisor.add_plugin(ID)
        for _ in range(2):
            with process_with(domain, PORTS, then=ANSWER) as process:
                stream = supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
                while not supervisor.take_wakes():
                    supervisor.wait(DEADLINE)
                kill(process)
                assert left_by(process.pid, domain) != []
                assert received(stream)[2] == b"last words"
                stream.close()
                supervisor.clean_up_after(process.pid)
                assert left_by(process.pid, domain) == []
            with pytest.raises(PeerGone):
                supervisor.send_request(ID, TaskRequestHeader(2, 0), b"")
        with IceoryxPluginPorts(domain, ID, uses_credits=True) as plugin:
            again = supervisor.send_request(ID, TaskRequestHeader(3, 0), b"")
            request = plugin.receive_request()
            assert request is not None
            assert request.is_open
            again.close()


def test_of_a_process_that_left_nothing_no_node_is_listed(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain), subprocess.Popen(["/bin/true"]) as process:
        process.wait(DEADLINE)
        clean_up_after(process.pid, domain, None)  # there is no configuration to list nodes with


def test_a_process_that_cannot_be_cleaned_up_after_for_want_of_descriptors_is_an_error_of_the_ports(
    domain: Domain,
) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(TransportError, match=r"clean up after process 1: .*Too many open files"):
                supervisor.clean_up_after(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_living_process_is_not_cleaned_up(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor, process_with(domain, PORTS) as process:
        supervisor.add_plugin(ID)
        before = left_by(process.pid, domain)
        supervisor.clean_up_after(process.pid)
        assert left_by(process.pid, domain) == before != []
        supervisor.send_request(ID, TaskRequestHeader(1, 0), b"").close()


def test_a_connection_that_was_half_made_does_not_hold_the_cleaning_up(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        supervisor.add_plugin(ID)
        with process_with(domain, PORTS) as process:
            supervisor.send_request(ID, TaskRequestHeader(1, 0), b"").close()
            kill(process)
        connections = list(SHARED.glob(f"{domain.prefix}*.connection"))
        assert connections
        for path in connections:  # as it is between its creation and its becoming whole
            path.unlink()
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o200))
        supervisor.clean_up_after(process.pid)
        assert left_by(process.pid, domain) == []
        with IceoryxPluginPorts(domain, ID, uses_credits=True):
            supervisor.send_request(ID, TaskRequestHeader(2, 0), b"").close()


class UnremovableNode:
    """A dead node that iceoryx2 fails to remove."""

    def __init__(self, real: Any) -> None:
        self.id = real.id

    def blocking_remove_stale_resources(self, timeout: Any) -> None:
        raise RuntimeError(f"InternalError within {timeout}")


class UnremovableDead:
    """Stands in for `NodeState.Dead`."""

    def __init__(self, state: Any) -> None:
        self._node = UnremovableNode(state[0])

    def __getitem__(self, index: int) -> UnremovableNode:
        return (self._node,)[index]


@pytest.fixture
def unremovable(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let iceoryx2 fail to remove dead nodes; undo it to let it succeed."""
    real_list, dead = iox.Node.list, iox.NodeState.Dead

    def listed(service_type: Any, config: Any) -> list[Any]:
        states = real_list(service_type, config)
        return [UnremovableDead(state) if isinstance(state, dead) else state for state in states]

    monkeypatch.setattr(iox, "Node", SimpleNamespace(list=listed))
    monkeypatch.setattr(iox, "NodeState", SimpleNamespace(Dead=UnremovableDead, Alive=iox.NodeState.Alive))
    return monkeypatch


def test_of_a_half_made_node_that_cannot_be_removed_the_files_are(
    domain: Domain, unremovable: pytest.MonkeyPatch
) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        supervisor.add_plugin(ID)
        with process_with(domain, NODE_ALONE) as process:
            kill(process)
        assert left_by(process.pid, domain) != []
        supervisor.clean_up_after(process.pid)
        assert left_by(process.pid, domain) == []
        unremovable.undo()
        with process_with(domain, PORTS) as process:
            supervisor.send_request(ID, TaskRequestHeader(1, 0), b"").close()
            kill(process)
        supervisor.clean_up_after(process.pid)


@pytest.mark.parametrize("how", ["never started", "closed", "killed"])
def test_a_plugin_that_was_removed_leaves_no_descriptor_and_no_file(domain: Domain, how: str) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        supervisor.add_plugin("other")
        before = taken_by(domain)
        for _ in range(3):
            supervisor.add_plugin(ID)
            if how == "closed":
                IceoryxPluginPorts(domain, ID, uses_credits=True).close()
            elif how == "killed":
                with process_with(domain, PORTS) as process:
                    kill(process)
                supervisor.clean_up_after(process.pid)
            supervisor.remove_plugin(ID)
            assert taken_by(domain) == before


def taken_by(domain: Domain) -> tuple[int, set[str]]:
    """Return how many descriptors this process has, and the files of a domain."""
    own = {str(path) for path in Path(domain.root).rglob("*")}
    shared = {str(path) for path in Path("/dev/shm").glob(f"{domain.prefix}*")}
    return len(os.listdir("/proc/self/fd")), own | shared


def test_in_a_domain_of_others_a_node_that_cannot_be_removed_is_an_error(
    domain: Domain, unremovable: pytest.MonkeyPatch
) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        with process_with(domain, NODE_ALONE) as process:
            kill(process)
        assert supervisor._services is not None
        with pytest.raises(TransportError, match=r"cannot remove the dead node .*InternalError"):
            clean_up_after(process.pid, DEFAULT_DOMAIN, supervisor._services.config)
        unremovable.undo()
        supervisor.clean_up_after(process.pid)


PID = 4711
NODE = (7 << 96) + (PID << 64) + 12345
OTHER = (7 << 96) + (4712 << 64) + 12345


def test_only_what_has_the_processs_number_is_removed(tmp_path: Path) -> None:
    ours = [
        f"p_{NODE}.node_monitor",
        f"p_{NODE}.node_monitor_context",
        f"p_{NODE}.node_monitor_owner_lock",
        f"p_0354a209_{NODE}__0.data",
        f"p_b9fc73e5_{OTHER}_{NODE}.connection",
        f"p_b9fc73e5_{NODE}_{OTHER}.connection",
    ]
    others = [f"p_{OTHER}.node_monitor", f"p_{PID}.data", f"p_{'9' * 19}.data", "p_x.global_mgmt", f"p_a{NODE}.data"]
    for name in ours + others:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / str(NODE)).mkdir()
    (tmp_path / str(NODE) / "p_node.details").write_bytes(b"x")
    (tmp_path / str(OTHER)).mkdir()
    remove_files_of(PID, list(tmp_path.iterdir()))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, str(OTHER)])


def test_what_is_half_made_is_told_by_its_mode(tmp_path: Path) -> None:
    names = {f"p_1_{NODE}.connection": 0o200, f"p_2_{NODE}.connection": 0o600, f"p_3_{OTHER}.connection": 0o200}
    for name, mode in names.items():
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    remove_half_made(tmp_path, "p_", PID)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"p_2_{NODE}.connection", f"p_3_{OTHER}.connection"]
