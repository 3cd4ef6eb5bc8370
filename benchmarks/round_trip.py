"""The round trip of an empty task: the supervisor against the same exchange written straight on iceoryx2.

What is timed in the supervisor begins when the reactor is told that the task's sample was read, which makes it send the
task, and ends when the task's end is announced to whoever submitted it. In between are the decision, the record that
says the task was accepted, encoding and sending the request, the plugin's process with `plugin_runtime` and an empty
`on_task` on a thread of its own, the wait, receiving, checking and decoding the response, and the decision about it:
the real reactor, machine, store, ports and processes, as `malbox up` puts them together. Submitting the task comes
before it and is not timed; nor is reading the sample for its digest, which this benchmark leaves out. It is the
supervisor's own cost that is measured, so nothing is kept on disk (`ledger = false`): with the ledger a task's end is
announced once it is there, and how long that takes `ledger.py` measures.

The exchange it is held against (`bare.py`) has two processes, too, with the same services, headers, WaitSets and rings:
request and ring, final response and ring, and then the TaskCompleted event and ring that the protocol asks for. It does
nothing else. Both are timed to the final response, and to the event after it; the ratio that counts is the first,
because that is when whoever waits for the task has its answer. The exchange without the event is there for comparison.

The three run in turn, for many rounds, in one process, so that what else the machine does meets all alike.
"""

import argparse
from time import perf_counter
from unittest.mock import patch

from bare import Bare, Kind, open_bare
from cores import PLACES, place
from figures import median, row_of_times
from supervised import Supervised, open_supervised

from malbox_cli.control.records import Ended, Record
from malbox_cli.store.samples import SampleReader
from malbox_cli.supervisor.events import SampleRead
from plugin_runtime.ports.base import ReceivedEvent
from plugin_runtime.ports.iceoryx_supervisor import IceoryxSupervisorPorts

TARGET = 1.5
WARM_UP = 200
DIGEST = "0" * 64


class StopWatch:
    """Notes when a task's end is announced and when the event after it is received; keeps samples from being read."""

    def __init__(self, supervised: Supervised) -> None:
        self.ended = self.announced = 0.0
        self.unread: list[int] = []
        receive = IceoryxSupervisorPorts.receive_event

        def receive_event(ports: IceoryxSupervisorPorts, plugin_id: str) -> ReceivedEvent | None:
            event = receive(ports, plugin_id)
            if event is not None:
                self.announced = perf_counter()
            return event

        def read(reader: SampleReader, task_id: int, path: str) -> None:
            del reader, path
            self.unread.append(task_id)

        supervised.on_record = self._take
        self._patches = (
            patch.object(SampleReader, "read", read),
            patch.object(IceoryxSupervisorPorts, "receive_event", receive_event),
        )

    def _take(self, record: Record) -> None:
        if isinstance(record, Ended):
            self.ended = perf_counter()

    def __enter__(self) -> "StopWatch":
        for each in self._patches:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()


def supervised_round(supervised: Supervised, watch: StopWatch, count: int) -> tuple[list[float], list[float]]:
    """Run `count` empty tasks; return the seconds to the end of each, and to the event after it."""
    reactor = supervised.session.reactor
    to_end, to_event = [], []
    for _ in range(count):
        supervised.submit()
        watch.ended = watch.announced = 0.0
        sample_read = SampleRead(watch.unread.pop(), DIGEST)
        began = perf_counter()
        reactor.handle(sample_read)
        reactor.run_until(lambda: watch.ended > 0)
        reactor.run_until(lambda: watch.announced > 0)
        to_end.append(watch.ended - began)
        to_event.append(watch.announced - began)
    return to_end, to_event


def bare_round(bare: Bare, kind: Kind, count: int) -> tuple[list[float], list[float]]:
    """Run `count` exchanges; return the seconds to the response of each, and to the event after it."""
    times = [bare.exchange(kind) for _ in range(count)]
    return [each.to_response for each in times], [each.to_event for each in times]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="how often each runs in turn (default: 20)")
    parser.add_argument("--tasks", type=int, default=200, help="tasks in each round (default: 200)")
    parser.add_argument("--cores", choices=PLACES, default="apart", help="where the two processes run (default: apart)")
    options = parser.parse_args()
    ours: tuple[list[float], list[float]] = ([], [])
    full: tuple[list[float], list[float]] = ([], [])
    short: list[float] = []
    with open_bare() as bare, open_supervised("empty", ledger=False) as supervised, StopWatch(supervised) as watch:
        place(options.cores, (bare.server_pid, supervised.plugin_pid))
        bare_round(bare, Kind.RESPONSE_AND_EVENT, WARM_UP)
        supervised_round(supervised, watch, WARM_UP)
        for _ in range(options.rounds):
            for all_times, times in zip(full, bare_round(bare, Kind.RESPONSE_AND_EVENT, options.tasks), strict=True):
                all_times += times
            for all_times, times in zip(ours, supervised_round(supervised, watch, options.tasks), strict=True):
                all_times += times
            short += bare_round(bare, Kind.RESPONSE, options.tasks)[0]
    print(f"{'microseconds':<58} {'median':>8} {'p99':>8}")
    print(row_of_times("bare exchange, to the response (no event)", short))
    print(row_of_times("bare exchange with the event, to the response", full[0]))
    print(row_of_times("supervisor, to the end of the task", ours[0]))
    print(row_of_times("bare exchange with the event, to the event", full[1]))
    print(row_of_times("supervisor, to the event", ours[1]))
    print()
    ratio = median(ours[0]) / median(full[0])
    print(f"ratio to the response: {ratio:.2f} (target: at most {TARGET})")
    print(f"ratio to the event: {median(ours[1]) / median(full[1]):.2f}")
    print(f"ratio to the response of the exchange without the event: {median(ours[0]) / median(short):.2f}")


if __name__ == "__main__":
    main()
