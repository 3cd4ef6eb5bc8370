"""Processes that import iceoryx2, open the ports of a plugin and say so: what starting many plugins is held against.

``python bare_start.py COUNT`` makes the services, starts so many processes, each of which is this file run with a root
folder and a number, and prints a line once all of them have said that they are ready. It ends with its standard input.
There is no supervision in it at all: no lock, no guardian, no log, and nobody would see one of them end.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import iceoryx2 as iox

from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx_services import Services
from plugin_runtime.wire.names import CHUNK_SIZE

READY = b"."


def open_supervisor_ports(services: Services, count: int) -> list[object]:
    """Return the ports that a supervisor has for so many plugins."""
    ports: list[object] = [services.daemon_events().publisher_builder().initial_max_slice_len(512).create()]
    ports.append(services.daemon_notify().listener_builder().create())
    for number in range(count):
        tasks, events = services.tasks(f"p{number}"), services.plugin_events(f"p{number}")
        notify = services.plugin_notify(f"p{number}")
        ports += [tasks, events, notify, services.results(f"p{number}"), events.subscriber_builder().create()]
        ports.append(tasks.client_builder().initial_max_slice_len(64 * 1024).create())
        ports.append(notify.notifier_builder().create())
    return ports


def open_plugin_ports(services: Services, number: int) -> list[object]:
    """Return the ports that a plugin has."""
    listener = services.plugin_notify(f"p{number}").listener_builder().create()
    waits = iox.WaitSetBuilder.new().signal_handling_mode(iox.SignalHandlingMode.Disabled).create(iox.ServiceType.Ipc)
    return [
        services.tasks(f"p{number}")
        .server_builder()
        .initial_max_slice_len(CHUNK_SIZE)
        .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
        .backpressure_strategy(iox.BackpressureStrategy.DiscardData)
        .create(),
        services.plugin_events(f"p{number}").publisher_builder().initial_max_slice_len(512).create(),
        services.daemon_events().subscriber_builder().create(),
        services.daemon_notify().notifier_builder().create(),
        listener,
        waits,
        waits.attach_notification(listener),
    ]


def _start(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="mb") as root:
        domain = _domain(root)
        services = Services(domain)
        ports = open_supervisor_ports(services, count)
        reader, writer = os.pipe()
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, root, str(number)],
                stdin=subprocess.PIPE,
                stdout=writer,
                start_new_session=True,
            )
            for number in range(count)
        ]
        os.close(writer)
        said = 0
        while said < count:
            said += len(os.read(reader, count))
        print("ready", flush=True)
        sys.stdin.read()
        for process in processes:
            process.communicate()
        del ports
        for file in Path("/dev/shm").glob(f"{domain.prefix}*"):
            file.unlink(missing_ok=True)


def _be_one(root: str, number: int) -> None:
    ports = open_plugin_ports(Services(_domain(root)), number)
    os.write(1, READY)
    sys.stdin.read()
    del ports


def _domain(root: str) -> Domain:
    return Domain(root, f"{Path(root).name}_")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _start(int(sys.argv[1]))
    else:
        _be_one(sys.argv[1], int(sys.argv[2]))
