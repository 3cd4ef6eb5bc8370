"""What happens once in a hundred thousand times between two processes, made to happen."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from port_rigs import ID, frame, received

from plugin_runtime.ports.domain import Domain
from plugin_runtime.ports.iceoryx_plugin import IceoryxPluginPorts
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts
from plugin_runtime.wire.headers import TaskRequestHeader
from plugin_runtime.wire.names import DaemonWake


class BetweenSendAndReceive:
    """Stands in for a client: as soon as a request is sent, and before anything else, `then` happens."""

    def __init__(self, client: Any, then: Callable[[], None]) -> None:
        self._client = client
        self._then = then
        self.delete = client.delete

    def loan_slice_uninit(self, size: int) -> Any:
        loan = self._client.loan_slice_uninit(size)

        def send() -> Any:
            pending = loan.assume_init().send()
            self._then()
            return pending

        return SimpleNamespace(
            user_header_ptr=loan.user_header_ptr,
            payload_ptr=loan.payload_ptr,
            assume_init=lambda: SimpleNamespace(send=send),
        )


def test_a_plugin_that_answers_before_its_bell_was_rung_is_heard(domain: Domain) -> None:
    with (
        IceoryxSupervisorPorts(domain) as supervisor,
        IceoryxPluginPorts(domain, ID, uses_credits=True) as plugin,
    ):
        supervisor.add_plugin(ID)

        def answer() -> None:
            request = plugin.receive_request()
            assert request is not None
            for index in range(3):
                assert request.send(frame(1, b"x" * index, index=index))

        end = supervisor._plugins[ID]
        end.client = BetweenSendAndReceive(end.client, answer)
        stream = supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        assert supervisor.take_wakes() == {DaemonWake.RESPONSE: 3}
        assert [received(stream) for _ in range(3)] == [(1, 0, b""), (1, 1, b"x"), (1, 2, b"xx")]
        assert stream.receive() is None


def test_an_answer_that_came_early_is_thrown_away_with_the_rest(domain: Domain) -> None:
    with (
        IceoryxSupervisorPorts(domain) as supervisor,
        IceoryxPluginPorts(domain, ID, uses_credits=True) as plugin,
    ):
        supervisor.add_plugin(ID)

        def answer() -> None:
            request = plugin.receive_request()
            assert request is not None
            assert request.send(frame(1))
            request.close()

        end = supervisor._plugins[ID]
        end.client = BetweenSendAndReceive(end.client, answer)
        for _ in range(20):
            supervisor.send_request(ID, TaskRequestHeader(1, 0), b"").close()
        stream = supervisor.send_request(ID, TaskRequestHeader(1, 0), b"")
        assert received(stream) == (1, 0, b"")


def test_the_bell_is_drained_until_nothing_is_found_in_it(domain: Domain) -> None:
    with IceoryxSupervisorPorts(domain) as supervisor:
        found = [{0: 1}, {0: 2, 17: 1}, {}, {1: 1}]

        def try_wait() -> list[Any]:
            return [SimpleNamespace(id=SimpleNamespace(as_value=n), count=count) for n, count in found.pop(0).items()]

        real, supervisor._listener = supervisor._listener, SimpleNamespace(try_wait=try_wait)
        wakes = supervisor.take_wakes()
        supervisor._listener = real
        assert wakes == {0: 3, 17: 1}
        assert found == [{1: 1}]
