"""The services are what the protocol fixes, and what iceoryx2 says against it becomes a clear error."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from iceoryx_domains import fresh_domain
from port_rigs import ID, run_python

from plugin_runtime.errors import PeerGone, TransportError, VersionMismatch
from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx import translated
from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts
from plugin_runtime.ports.iceoryx_services import Services, room_for_plugin
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.wire.headers import TaskRequestHeader

Opened = Callable[[Callable[[Services], Any]], Any]
PREFIX = "malbox_plugin_transport::ipc::headers::"


@pytest.fixture
def opened(domain: Domain) -> Iterator[Opened]:
    """What opens a service that the supervisor's ports have made once more; let go of it before the test ends."""
    with IceoryxSupervisorPorts(domain) as supervisor:
        supervisor.add_plugin(ID)
        yield lambda open_service: open_service(Services(domain))


def described(detail: Any) -> tuple[str, str, int, int]:
    """Return a type's variant, name, size and alignment; iceoryx2's Python has them in its description alone."""
    found = re.search(r'variant: (\w+), .*data: "([^"]*)".*, size: (\d+), alignment: (\d+)', str(detail))
    assert found is not None
    return found[1], found[2], int(found[3]), int(found[4])


BYTES = ("Dynamic", "u8", 1, 1)


def test_the_tasks_service(opened: Opened) -> None:
    service = opened(lambda services: services.tasks(ID))
    config = service.static_config
    assert service.name.to_string() == f"malbox/plugin/{ID}/tasks"
    assert (config.max_servers, config.max_clients, config.max_response_buffer_size) == (1, 1, 4)
    assert config.has_safe_overflow_for_responses is False
    request, response = config.request_message_type_details, config.response_message_type_details
    assert described(request.user_header) == ("FixedSize", f"{PREFIX}TaskRequestHeader", 8, 4)
    assert described(response.user_header) == ("FixedSize", f"{PREFIX}TaskResponseHeader", 24, 8)
    assert described(request.payload) == described(response.payload) == BYTES


@pytest.mark.parametrize(
    ("name", "open_service", "header", "buffer", "overflow"),
    [
        pytest.param(
            f"malbox/plugin/{ID}/results",
            lambda services: services.results(ID),
            (f"{PREFIX}ResultHeader", 32, 8),
            16,
            False,
            id="results",
        ),
        pytest.param(
            f"malbox/events/plugin/{ID}",
            lambda services: services.plugin_events(ID),
            (f"{PREFIX}EventHeader", 20, 4),
            32,
            True,
            id="events of the plugin",
        ),
        pytest.param(
            "malbox/events/daemon",
            lambda services: services.daemon_events(),
            (f"{PREFIX}EventHeader", 20, 4),
            32,
            True,
            id="events of the supervisor",
        ),
    ],
)
def test_a_publishing_service(
    opened: Opened,
    name: str,
    open_service: Callable[[Services], Any],
    header: tuple[str, int, int],
    buffer: int,
    overflow: bool,
) -> None:
    service = opened(open_service)
    config = service.static_config
    assert service.name.to_string() == name
    assert (config.max_publishers, config.max_subscribers) == (1, 65)
    assert (config.subscriber_max_buffer_size, config.has_safe_overflow) == (buffer, overflow)
    assert described(config.message_type_details.user_header) == ("FixedSize", *header)
    assert described(config.message_type_details.payload) == BYTES


def test_the_services_that_wake(opened: Opened) -> None:
    plugin = opened(lambda services: services.plugin_notify(ID))
    daemon = opened(lambda services: services.daemon_notify())
    assert plugin.name.to_string() == f"malbox/plugin/{ID}/notify"
    assert daemon.name.to_string() == "malbox/daemon/notify"
    assert (daemon.static_config.max_notifiers, daemon.static_config.max_listeners) == (140, 2)


def test_more_processes_may_open_a_shared_service_than_there_can_be_plugins(opened: Opened) -> None:
    made = [opened(Services.daemon_events), opened(Services.daemon_notify), opened(lambda open_: open_.results(ID))]
    assert [service.static_config.max_nodes for service in made] == [140, 140, 140]


def test_a_supervisor_has_as_many_plugins_as_can_listen_to_it(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        for number in range(65):
            supervisor.add_plugin(f"plugin-{number}")
        with pytest.raises(TransportError, match="plugin-65: the protocol allows 65 plugins at once"):
            supervisor.add_plugin("plugin-65")


@pytest.mark.parametrize(("concurrency", "requests"), [(1, 4), (2, 6), (32, 66)])
def test_a_plugin_with_many_tasks_has_room_for_their_requests(domain: Domain, concurrency: int, requests: int) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        supervisor.add_plugin(ID, concurrency)
        assert Services(domain).tasks(ID).static_config.max_active_requests_per_client == requests


def test_a_plugin_that_knows_nothing_of_many_tasks_opens_their_services(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        supervisor.add_plugin(ID, 32)
        with IceoryxPluginPorts(domain, ID, uses_credits=False) as plugin:
            streams = [supervisor.send_request(ID, TaskRequestHeader(number, 0), b"") for number in range(32)]
            received = [plugin.receive_request() for _ in streams]
            assert [request.header.task_id for request in received if request] == list(range(32))


def test_what_a_plugin_with_many_tasks_takes_of_shared_memory_was_asked_for_before(domain: Domain) -> None:
    def touched() -> int:
        return sum(path.stat().st_blocks * 512 for path in Path("/dev/shm").glob(f"{domain.prefix}*"))

    with IceoryxSupervisorPorts(domain) as supervisor:
        before = touched()
        supervisor.add_plugin(ID, 32)
        with IceoryxPluginPorts(domain, ID, uses_credits=True, concurrency=32):
            assert touched() - before <= room_for_plugin(32) < 12 << 20


def test_a_plugin_that_comes_first_makes_the_same_services(domain: Domain) -> None:
    with IceoryxPluginPorts(domain, ID, uses_credits=True):
        config = Services(domain).tasks(ID).static_config
        assert (config.max_servers, config.max_response_buffer_size) == (1, 4)
        with IceoryxSupervisorPorts(domain) as supervisor:
            supervisor.add_plugin(ID)
            assert supervisor.receive_event(ID) is None


def test_a_second_living_process_with_the_same_id_is_refused_and_the_first_not_disturbed(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor, IceoryxPluginPorts(domain, ID, uses_credits=True):
        supervisor.add_plugin(ID)
        done = run_python(
            "from plugin_runtime.ports.domain import Domain\n"
            "from plugin_runtime.ports.iceoryx import silence_log\n"
            "from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts\n"
            "from plugin_runtime.errors import TransportError\n"
            "silence_log(verbose=False)\n"
            f"try: IceoryxPluginPorts({domain!r}, {ID!r}, uses_credits=True)\n"
            "except TransportError as error: print(error)\n"
        )
        assert done.stdout == (
            f"cannot serve the tasks of plugin {ID}: another process holds that place already "
            "(ExceedsMaxSupportedServers)\n"
        )
        assert done.stderr == ""


def test_a_second_supervisor_of_the_domain_is_refused(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain), pytest.raises(TransportError, match="another process holds that place"):
        IceoryxSupervisorPorts(domain)


def test_domains_do_not_see_each_other(domain: Domain) -> None:
    with (
        fresh_domain() as other,
        IceoryxSupervisorPorts(domain) as supervisor,
        IceoryxPluginPorts(other, ID, uses_credits=True),
    ):
        supervisor.add_plugin(ID)
        with pytest.raises(PeerGone):
            supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        ("ServiceInCorruptedState", VersionMismatch, "another release of iceoryx2 than ours, or its maker died"),
        ("SystemInFlux", VersionMismatch, "another release of iceoryx2 than ours, or its maker died"),
        ("VersionMismatch", VersionMismatch, "another release of iceoryx2 than ours, or its maker died"),
        ("ExceedsMaxSupportedServers", TransportError, "another process holds that place already"),
        ("ExceedsMaxNumberOfNodes", TransportError, "another process holds that place already"),
        ("InternalFailure", TransportError, "cannot do it: InternalFailure"),
        ("", TransportError, "cannot do it: RuntimeError"),
    ],
)
def test_an_error_of_iceoryx2_says_what_could_not_be_done(raised: str, kind: type[Exception], text: str) -> None:
    foreign = RuntimeError(raised)
    with pytest.raises(kind, match=text) as caught, translated("do it"):
        raise foreign
    assert type(caught.value) is kind
    assert str(caught.value).startswith("cannot do it: ")
    assert caught.value.__cause__ is foreign


def test_an_error_that_was_translated_is_not_translated_again() -> None:
    error = PeerGone("gone")
    with pytest.raises(PeerGone) as caught, translated("do it"):
        raise error
    assert caught.value is error


def test_iceoryx2_prints_nothing_unless_it_is_asked_to() -> None:
    code = (
        "import os, pathlib, sys\n"
        "import iceoryx2 as iox\n"
        "from plugin_runtime.ports.iceoryx import silence_log\n"
        "silence_log(verbose=sys.argv[1] == 'verbose')\n"
        "config = iox.config.default()\n"
        "prefix = f'mbsilent{os.getpid()}_'\n"
        "config.global_cfg.prefix = iox.FileName.new(prefix)\n"
        "config.global_cfg.root_path = iox.Path.new('/proc/nowhere')\n"
        "try: iox.NodeBuilder.new().config(config).create(iox.ServiceType.Ipc)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "for file in pathlib.Path('/dev/shm').glob(prefix + '*'): file.unlink()\n"
    )
    silent, verbose = run_python(code, "silent"), run_python(code, "verbose")
    assert silent.stdout == verbose.stdout == "NodeCreationFailure\n"
    assert silent.stderr == ""
    assert "NodeBuilder" in verbose.stderr
