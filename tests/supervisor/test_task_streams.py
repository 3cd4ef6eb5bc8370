"""How responses are received: as fast as there is room, and no plugin at the cost of the others."""

from collections import deque
from pathlib import Path

import pytest

from malbox_cli.store.results import ResultWriter
from malbox_cli.supervisor.actions import SendTask, StoreFile, StorePiece
from malbox_cli.supervisor.events import Event, ResponsesBroken, TaskSaid
from malbox_cli.supervisor.streams import (
    MAX_FRAMES_A_DRAIN,
    MAX_FRAMES_A_TURN,
    MAX_UNSTORED,
    MAX_UNSTORED_BYTES,
    TaskStreams,
)
from plugin_runtime.errors import TransportError
from plugin_runtime.ports.base import ReceivedFrame, ResponseStream
from plugin_runtime.wire.codec import Frame, final_frame, progress_frame
from plugin_runtime.wire.headers import TaskRequestHeader
from plugin_runtime.wire.messages import DataFormat, ResponseKind, TaskRequest
from plugin_runtime.wire.names import RESPONSE_WINDOW


class Responses(ResponseStream):
    """Frames that have arrived, and the credits that were given for them."""

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.credits = 0
        self.is_open = True
        self.broken = ""

    def receive(self) -> ReceivedFrame | None:
        self._fail_where("receive")
        if not self.frames:
            return None
        frame = self.frames.popleft()
        return ReceivedFrame(frame.header, b"".join(frame.parts))

    def grant(self) -> None:
        self._fail_where("grant")
        self.credits += 1

    def close(self) -> None:
        self.is_open = False
        self._fail_where("close")

    def _fail_where(self, what: str) -> None:
        if self.broken == what:
            raise TransportError(f"cannot {what}")


class Ports:
    """The one thing that streams need of the supervisor's ports."""

    def __init__(self) -> None:
        self.sent: list[Responses] = []

    def send_request(self, plugin_id: str, header: TaskRequestHeader, payload: bytes) -> Responses:
        del plugin_id, header, payload
        self.sent.append(Responses())
        return self.sent[-1]


class Writer:
    """Takes what is to be stored, and stores nothing."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.forgotten: list[int] = []
        self.refused: list[str] = []

    def write(
        self, task_id: int, name: str, format_: DataFormat, data: memoryview, *, is_first: bool, is_last: bool
    ) -> None:
        del task_id, name, format_, is_first, is_last
        self.given.append(bytes(data))

    def forget(self, task_id: int) -> None:
        self.forgotten.append(task_id)

    def refuse(self, task_id: int, name: str, error: str) -> None:
        del task_id, name
        self.refused.append(error)


class Desk:
    """Streams over the fakes, and who decides: every result is stored, all else is granted at once."""

    def __init__(self) -> None:
        self.ports, self.writer = Ports(), Writer()
        self.data = b"data"
        self.events: list[Event] = []
        self.said: list[str] = []
        self.streams = TaskStreams(self.ports, self.writer, self.take, self.say)  # type: ignore[arg-type] # fakes

    def open(self, task_id: int, plugin_id: str) -> Responses:
        self.streams.send_task(SendTask(task_id, plugin_id, TaskRequest("/sample")))
        return self.ports.sent[-1]

    def say(self, level: str, text: str, plugin_id: str | None = None) -> None:
        del level, plugin_id
        self.said.append(text)

    def take(self, event: Event) -> None:
        self.events.append(event)
        assert isinstance(event, TaskSaid | ResponsesBroken)
        if isinstance(event, ResponsesBroken):
            self.streams.close_task(event.task_id)
        elif event.piece.kind is ResponseKind.RESULT:
            piece = event.piece
            self.streams.store(StorePiece(piece.task_id, "r", piece.format, self.data, is_first=True, is_last=True))
        else:
            self.streams.grant(event.piece.task_id)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def results(task_id: int, count: int) -> list[Frame]:
    frames = [final_frame(task_id) for _ in range(count)]
    for frame in frames:
        frame.header.flags = 0
    return frames


def test_a_flood_of_progress_has_its_share_of_a_turn_and_goes_on_in_the_next(desk: Desk) -> None:
    flood, quiet = desk.open(1, "floods"), desk.open(2, "quiet")
    flood.frames.extend(progress_frame(1, 0.5, "on") for _ in range(MAX_FRAMES_A_TURN + 1))
    quiet.frames.append(progress_frame(2, 0.5, "on"))

    desk.streams.drain()

    assert len(flood.frames) == 1
    assert not quiet.frames
    assert desk.streams.has_more
    desk.streams.drain()
    assert not flood.frames
    assert not desk.streams.has_more


def test_many_that_stream_share_a_turn_and_the_next_begins_where_it_ended(desk: Desk) -> None:
    many = MAX_FRAMES_A_DRAIN // MAX_FRAMES_A_TURN
    floods = {number: desk.open(number, "parallel") for number in range(1, 2 * many + 1)}
    quiet = desk.open(99, "quiet")
    quiet.frames.append(progress_frame(99, 0.5, "on"))
    for number, stream in floods.items():
        stream.frames.extend(progress_frame(number, 0.5, "on") for _ in range(MAX_FRAMES_A_TURN * 3))

    desk.streams.drain()
    assert len(desk.events) == MAX_FRAMES_A_DRAIN
    assert desk.streams.has_more
    desk.streams.drain()
    assert [stream.credits for stream in floods.values()] == [MAX_FRAMES_A_TURN] * 2 * many
    desk.streams.drain()
    assert not quiet.frames
    while desk.streams.has_more:
        desk.streams.drain()
    assert not any(stream.frames for stream in floods.values())


def test_a_task_that_ends_in_the_turn_that_was_too_short_is_not_gone_on_with(desk: Desk) -> None:
    first = desk.open(1, "a")
    others = [desk.open(number, "a") for number in range(2, 10)]
    first.frames.append(final_frame(7))
    for number, stream in enumerate(others, 2):
        stream.frames.extend(progress_frame(number, 0.5, "on") for _ in range(MAX_FRAMES_A_TURN))

    desk.streams.drain()
    assert not first.is_open
    for number in range(2, 10):
        desk.streams.close_task(number)
    assert not desk.streams.has_more


def test_all_together_wait_for_the_disk_with_a_bounded_share_of_our_memory(desk: Desk) -> None:
    desk.data = b"x" * (MAX_UNSTORED_BYTES // 8)
    streams = [desk.open(number, "parallel") for number in range(1, 9)]
    for number, stream in enumerate(streams, 1):
        stream.frames.extend(results(number, 2))

    desk.streams.drain()
    # Four had two frames each until there was no room, and the others one, so that each goes on.
    assert [len(stream.frames) for stream in streams] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert not desk.streams.has_more
    small = desk.open(99, "small")
    small.frames.append(progress_frame(99, 0.5, "on"))
    desk.streams.drain()
    assert not small.frames

    for number in range(1, 5):
        desk.streams.written(number)
    desk.streams.close_task(2)
    assert desk.streams.has_more
    desk.streams.drain()
    assert [len(stream.frames) for stream in streams] == [0, 0, 0, 0, 0, 1, 1, 1]


def test_the_last_of_a_dead_plugin_with_many_tasks_is_taken_of_each(desk: Desk) -> None:
    streams = [desk.open(number, "dead") for number in range(1, 33)]
    for number, stream in enumerate(streams, 1):
        stream.frames.extend(results(number, RESPONSE_WINDOW))
    beside = desk.open(99, "living")
    beside.frames.extend(results(99, 1))

    desk.streams.drain_dead("dead")

    assert not any(stream.frames for stream in streams)
    assert len(beside.frames) == 1


def test_what_is_written_of_one_gives_room_to_that_one_of_several_of_a_plugin(desk: Desk) -> None:
    streams = [desk.open(number, "a") for number in (1, 2)]
    for number, stream in enumerate(streams, 1):
        stream.frames.extend(results(number, MAX_UNSTORED + 2))
    desk.streams.drain()

    desk.streams.written(2)

    assert [len(stream.frames) for stream in streams] == [2, 1]


def test_a_frame_that_was_copied_gives_its_credit_back_before_it_is_stored(desk: Desk) -> None:
    stream = desk.open(1, "a")
    stream.frames.extend(results(1, 1))

    desk.streams.drain()

    assert desk.writer.given == [b"data"]
    assert stream.credits == 1


def test_the_writer_forgets_a_task_that_is_over_and_hears_nothing_of_one_without_results(desk: Desk) -> None:
    desk.open(1, "a").frames.extend(results(1, 1))
    desk.open(2, "b").frames.append(progress_frame(2, 0.5, "on"))
    desk.streams.drain()

    desk.streams.close_task(1)
    desk.streams.close_task(2)

    assert desk.writer.forgotten == [1]


def test_no_more_is_received_than_may_wait_for_the_disk(desk: Desk) -> None:
    stream = desk.open(1, "a")
    stream.frames.extend(results(1, MAX_UNSTORED + 2))

    desk.streams.drain()
    assert len(desk.writer.given) == MAX_UNSTORED
    assert not desk.streams.has_more  # what is written next goes on by itself

    desk.streams.written(1)
    assert len(desk.writer.given) == MAX_UNSTORED + 1


def test_the_credit_of_a_file_comes_back_when_it_was_dealt_with(desk: Desk, tmp_path: Path) -> None:
    stream = desk.open(1, "a")

    desk.streams.store_file(StoreFile(1, "file", str(tmp_path / "missing")))
    assert desk.writer.refused
    assert stream.credits == 0

    desk.streams.written(1)
    assert stream.credits == 1


def test_the_last_of_a_dead_plugin_is_taken_whatever_waits_and_nothing_of_the_living(desk: Desk) -> None:
    dead, living = desk.open(1, "dead"), desk.open(2, "living")
    dead.frames.extend(results(1, MAX_UNSTORED))
    desk.streams.drain()
    dead.frames.extend(results(1, RESPONSE_WINDOW))
    living.frames.extend(results(2, 1))

    desk.streams.drain_dead("dead")

    assert not dead.frames
    assert len(living.frames) == 1


def test_a_task_that_was_closed_is_not_gone_on_with(desk: Desk) -> None:
    stream = desk.open(1, "a")
    stream.frames.extend(progress_frame(1, 0.5, "on") for _ in range(MAX_FRAMES_A_TURN + 1))
    desk.streams.drain()

    desk.streams.close_task(1)

    assert not desk.streams.has_more
    assert not stream.is_open


def test_responses_that_break_the_protocol_end_with_their_task(desk: Desk) -> None:
    stream = desk.open(1, "a")
    stream.frames.extend([final_frame(7), final_frame(1)])

    desk.streams.drain()

    assert [type(event) for event in desk.events] == [ResponsesBroken]
    assert not stream.is_open


def test_a_stream_that_iceoryx2_cannot_read_ends_its_task_and_no_other(desk: Desk) -> None:
    bad, good = desk.open(1, "a"), desk.open(2, "b")
    bad.broken = "receive"
    good.frames.append(progress_frame(2, 0.5, "on"))

    desk.streams.drain()

    assert [type(event) for event in desk.events] == [ResponsesBroken, TaskSaid]
    assert not bad.is_open
    assert good.credits == 1


@pytest.mark.parametrize("what", ["progress", "a result"])
def test_a_credit_that_cannot_be_given_back_is_said(desk: Desk, what: str) -> None:
    stream = desk.open(1, "a")
    stream.broken = "grant"
    stream.frames.extend([progress_frame(1, 0.5, "on")] if what == "progress" else results(1, 1))

    desk.streams.drain()

    assert desk.said == ["task 1: cannot grant"]


def test_a_stream_that_cannot_be_emptied_is_let_go_of(desk: Desk) -> None:
    stream = desk.open(1, "a")
    stream.broken = "close"

    desk.streams.close_task(1)
    desk.streams.drain()

    assert not stream.is_open


def test_what_is_written_of_an_attempt_that_is_over_counts_for_none_of_the_next(desk: Desk) -> None:
    first = desk.open(1, "a")
    first.frames.extend(results(1, 2))
    desk.streams.drain()
    desk.streams.close_task(1)  # its two frames are still on their way to disk

    second = desk.open(1, "b")
    desk.streams.written(1)
    second.frames.extend(results(1, MAX_UNSTORED + 1))
    desk.streams.drain()
    assert len(second.frames) == 1
    desk.streams.written(1)
    assert len(second.frames) == 1
    desk.streams.written(1)
    assert not second.frames
    assert not desk.streams._overdue


def test_the_fake_writer_has_the_methods_of_the_real_one() -> None:
    assert {"write", "refuse"} <= set(dir(ResultWriter))
