"""Memory that is not there is noticed before it is written to, which would end the process."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from port_rigs import DEADLINE, ID, TOP, frame

from plugin_runtime.errors import SharedMemoryFull
from plugin_runtime.ports import iceoryx
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import FASTEST_FILL, MARGIN, free_shared_memory, require_shared_memory
from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.wire.headers import EventHeader, TaskRequestHeader


def leave_free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(iceoryx, "_last_look", iceoryx.Look())
    status = SimpleNamespace(f_bavail=size // 1024, f_frsize=1024)
    monkeypatch.setattr(iceoryx.os, "statvfs", lambda path: {"/dev/shm": status}[path])


def test_what_fits_may_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_free(monkeypatch, MARGIN + 4096)
    assert free_shared_memory() == MARGIN + 4096
    require_shared_memory(4096)
    with pytest.raises(
        SharedMemoryFull, match=r"no space in shared memory: /dev/shm has 260 KiB free, 261 KiB are needed"
    ):
        require_shared_memory(5120)


def test_how_much_is_free_is_looked_up_again_before_it_can_have_been_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(iceoryx.time, "monotonic", lambda: now)
    leave_free(monkeypatch, int(FASTEST_FILL) + MARGIN)
    require_shared_memory(0)
    monkeypatch.setattr(iceoryx, "free_shared_memory", lambda: 0)
    now += 0.5
    require_shared_memory(1 << 20)
    now += 0.499
    with pytest.raises(SharedMemoryFull):
        require_shared_memory(64 << 20)
    now += 10
    with pytest.raises(SharedMemoryFull):
        require_shared_memory(0)


def test_ports_are_not_made_without_room(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor, monkeypatch.context() as patched:
        leave_free(patched, MARGIN)
        with pytest.raises(SharedMemoryFull):
            supervisor.add_plugin(ID)
        with pytest.raises(SharedMemoryFull):
            IceoryxPluginPorts(domain, ID, uses_credits=True)
        with pytest.raises(SharedMemoryFull):
            IceoryxSupervisorPorts(domain)


@pytest.mark.parametrize("uses_credits", [True, False], ids=["credits", "blocking"])
def test_nothing_is_sent_without_room_and_all_is_well_when_there_is(
    domain: Domain, monkeypatch: pytest.MonkeyPatch, uses_credits: bool
) -> None:
    with (
        IceoryxSupervisorPorts(domain) as supervisor,
        IceoryxPluginPorts(domain, ID, uses_credits=uses_credits) as plugin,
    ):
        supervisor.add_plugin(ID)
        stream = supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        request = plugin.receive_request()
        assert request is not None
        with monkeypatch.context() as patched:
            leave_free(patched, MARGIN - 1024)
            for send in (
                lambda: supervisor.send_request(ID, TaskRequestHeader(2, 0), b""),
                lambda: supervisor.publish_event(EventHeader(30), b""),
                lambda: plugin.publish_event(EventHeader(11), b""),
                lambda: request.send(frame()),
            ):
                with pytest.raises(SharedMemoryFull):
                    send()
        assert plugin.receive_request() is None
        assert plugin.receive_event() is None
        assert supervisor.receive_event(ID) is None
        assert stream.receive() is None
        request.send(frame(1, b"now"))
        answer = stream.receive()
        assert answer is not None
        assert bytes(answer.payload) == b"now"


FILLS_IT = """
import sys
from plugin_runtime.errors import SharedMemoryFull
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import silence_log
from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.headers import TaskRequestHeader, TaskResponseHeader
silence_log(verbose=False)
domain = Domain("/dev/shm/r", "x_")
with IceoryxSupervisorPorts(domain) as supervisor:
    supervisor.add_plugin("a")
    with IceoryxPluginPorts(domain, "a", uses_credits=True) as plugin:
        stream = supervisor.send_request("a", TaskRequestHeader(1, 0), b"x")
        request = plugin.receive_request()
        sent = 0
        try:
            while True:
                request.send(Frame(TaskResponseHeader(1, 0, 0, 0, 0, sent), (b"x" * (1 << 20),)))
                sent += 1
        except SharedMemoryFull as error:
            print(sent, error)
"""


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root may mount a small /dev/shm")
def test_in_a_small_dev_shm_the_process_lives_on() -> None:
    mounted = 'mount -t tmpfs -o size=6m tmpfs /dev/shm && mkdir /dev/shm/r && exec "$0" -c "$1"'
    argv = ["unshare", "-m", "sh", "-c", mounted, sys.executable, FILLS_IT]
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this system lets not even root have mounts of its own")
    done = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, timeout=DEADLINE, check=False)
    sent, _, said = done.stdout.partition(" ")
    assert (done.returncode, done.stderr) == (0, "")
    assert 1 <= int(sent) <= 5
    assert said.startswith("no space in shared memory: /dev/shm has ")
