import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from iceoryx_domains import fresh_domain

from plugin_runtime.ports.base import IncomingRequest, PluginPorts, ReceivedFrame, ResponseStream, SupervisorPorts
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.ports.memory import MemoryExchange
from plugin_runtime.wire.codec import Frame
from plugin_runtime.wire.headers import TaskRequestHeader, TaskResponseHeader

TOP = Path(__file__).parents[2]
ID = "some-plugin"
DEADLINE = 10.0


def frame(task_id: int = 1, *parts: bytes, index: int = 0) -> Frame:
    return Frame(TaskResponseHeader(task_id, 0, 0, 0, 0, index), parts)


def header_bytes(header: ctypes.Structure) -> bytes:
    return bytes(memoryview(header).cast("B"))


@dataclass(slots=True)
class Rig:
    """Both ends of one implementation, in this process."""

    kind: str
    supervisor: SupervisorPorts
    open_plugin: Callable[[], PluginPorts]

    def request(
        self, plugin: PluginPorts, task_id: int = 1, payload: bytes = b""
    ) -> tuple[ResponseStream, IncomingRequest]:
        """Send a request and receive it."""
        stream = self.supervisor.send_request(ID, TaskRequestHeader(task_id, 0), payload)
        request = plugin.receive_request()
        assert request is not None
        return stream, request


def received(stream: ResponseStream) -> tuple[int, int, bytes]:
    """Receive one response: its task, its index, and a copy of its payload."""
    answer: ReceivedFrame | None = stream.receive()
    assert answer is not None
    return answer.header.task_id, answer.header.chunk_index, bytes(answer.payload)


def memory_rig(stack: ExitStack, *, uses_credits: bool, concurrency: int = 1) -> Rig:
    exchange = MemoryExchange(uses_credits=uses_credits)
    supervisor = stack.enter_context(exchange.supervisor())
    supervisor.add_plugin(ID, concurrency)
    return Rig("memory", supervisor, lambda: stack.enter_context(exchange.plugin(ID)))


def iceoryx_rig(stack: ExitStack, *, uses_credits: bool, concurrency: int = 1) -> Rig:
    domain = stack.enter_context(fresh_domain())
    supervisor = stack.enter_context(IceoryxSupervisorPorts(domain))
    supervisor.add_plugin(ID, concurrency)

    def open_plugin() -> PluginPorts:
        ports = IceoryxPluginPorts(domain, ID, uses_credits=uses_credits, concurrency=concurrency)
        return stack.enter_context(ports)

    return Rig("iceoryx", supervisor, open_plugin)


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that finds our packages."""
    argv = [sys.executable, "-c", code, *arguments]
    return subprocess.run(argv, cwd=TOP, capture_output=True, text=True, timeout=DEADLINE, check=False)


PORTS = f"IceoryxPluginPorts(domain, {ID!r}, uses_credits=True)"
NODE_ALONE = "Services(domain)"


@contextmanager
def process_with(domain: Domain, held: str, *, then: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds `held` as ``ports``, does `then` and waits; it is killed in the end."""
    code = (
        "import time\n"
        "from plugin_runtime.ports.domain import Domain\n"
        "from plugin_runtime.ports.iceoryx import silence_log\n"
        "from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts\n"
        "from plugin_runtime.ports.iceoryx_services import Services\n"
        "silence_log(verbose=False)\n"
        f"domain = {domain!r}\n"
        f"ports = {held}\n"
        "print('open', flush=True)\n"
        f"{then}\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=TOP, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            yield process
        finally:
            process.kill()
