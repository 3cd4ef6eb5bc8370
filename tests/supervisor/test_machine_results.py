"""What becomes of a task's results."""

import hashlib
import json

import pytest
from histories import CLIENT, SHA256, History, kinds, of, records, said

from malbox_cli.control.records import Ended, Progress, Result, TaskWarning
from malbox_cli.supervisor import events
from malbox_cli.supervisor.actions import AbandonResults, Emit, Grant, StoreFile, StorePiece
from malbox_cli.supervisor.intake import INLINE_JSON_BYTES, MAX_HELD, MAX_MESSAGE_BYTES
from plugin_runtime.wire.codec import error_frame, file_ref_frame, final_frame, progress_frame, result_frames
from plugin_runtime.wire.messages import DataFormat, Piece, ResponseKind

MIB = 1 << 20
BIG = b"x" * 70_000


def running() -> tuple[History, int]:
    history = History().ready()
    return history, history.task()


def test_small_json_is_handed_on_in_its_record() -> None:
    history, task = running()
    data = b'{"a": [1, 2.50]}'
    digest = hashlib.sha256(data).hexdigest()
    assert history.result(task, "r", data) == [
        Emit(CLIENT, Result(task, "r", "json", len(data), digest, data='{"a": [1, 2.50]}', number=1)),
        Grant(task),
    ]
    history.completes(task)
    assert not history.ended[task].partial


def test_json_on_several_lines_is_put_on_one_without_being_changed() -> None:
    history, task = running()
    (result,) = records(Result, history.result(task, "r", b'{"a": 1e2,\r\n "a": 0.10}'))
    assert result.data == '{"a": 1e2,   "a": 0.10}'


@pytest.mark.parametrize(
    "data",
    [
        b"{oops",
        b"",
        b"\xff\xfe",
        '{"a": 1}'.encode("utf-16"),
        b'\xef\xbb\xbf{"a": 1}',
        b"NaN",
        b'{"a": -Infinity}',
        b"1e999",
        b"[" * 30_000 + b"]" * 30_000,
        b"[" * 300 + b"]" * 300,
        b"[" * 60_000,
        b"9" * 5000,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_only_says_it_is_json_is_kept_as_bytes_with_a_warning(data: bytes) -> None:
    history, task = running()
    actions = history.result(task, "r", data)
    assert records(TaskWarning, actions) == [
        TaskWarning(task, "result 'r' says it is JSON and is not; it is kept as bytes")
    ]
    assert of(StorePiece, actions) == [StorePiece(task, "r", DataFormat.BYTES, data, is_first=True, is_last=True)]
    assert of(Grant, actions) == []  # its credit waits for the disk
    history.stored(task, "r")
    history.completes(task)
    assert history.ended[task].outcome.value == "completed"


def test_nested_json_that_a_reader_can_read_is_json() -> None:
    history, task = running()
    data = b"[" * 200 + b"]" * 200
    (result,) = records(Result, history.result(task, "r", data))
    assert result.format == "json"


@pytest.mark.parametrize(
    ("size", "format_"),
    [(INLINE_JSON_BYTES + 1, DataFormat.JSON), (0, DataFormat.BYTES), (1, DataFormat.BYTES), (5, DataFormat.POSTCARD)],
    ids=str,
)
def test_larger_json_and_everything_else_is_stored(size: int, format_: DataFormat) -> None:
    history, task = running()
    data = b"1" * size
    actions = history.result(task, "r", data, format_)
    assert actions == [StorePiece(task, "r", format_, data, is_first=True, is_last=True)]
    assert history.stored(task, "r") == [
        Emit(CLIENT, Result(task, "r", "bytes", 3, SHA256, path=f"/results/{task}/r", number=1))
    ]


def test_a_result_in_pieces_is_stored_piece_by_piece_and_announced_once() -> None:
    history, task = running()
    actions = history.result(task, "r", b"x" * (2 * MIB), DataFormat.BYTES)
    pieces = of(StorePiece, actions)
    assert [(len(piece.data), piece.is_first, piece.is_last) for piece in pieces] == [
        (MIB - 1, True, False),
        (MIB, False, False),
        (1, False, True),
    ]
    assert len(actions) == 3
    assert kinds(history.stored(task, "r")) == ["Result"]


def test_stored_json_that_is_none_becomes_bytes_with_a_warning() -> None:
    history, task = running()
    history.result(task, "r", BIG)
    actions = history.do(events.ResultStored(task, "r", "json", "/p", 3, SHA256, json_is_valid=False))
    assert kinds(actions) == ["TaskWarning", "Result"]
    assert records(Result, actions)[0].format == "bytes"


def test_results_and_warnings_are_announced_in_the_order_they_came_behind_one_that_is_being_stored() -> None:
    history, task = running()
    history.result(task, "big-1", BIG)
    assert kinds(history.result(task, "small", b"1")) == ["Grant"]
    assert kinds(history.frames(task, progress_frame(task, 0, "careful", warning=True))) == ["Grant"]
    history.result(task, "big-2", BIG)
    history.result(task, "last", b"2")
    assert kinds(history.frames(task, progress_frame(task, 0.5, "on"))) == ["Progress", "Grant"]  # does not wait
    assert kinds(history.completes(task)) == ["CloseTask"]
    first = records(Result | TaskWarning, history.stored(task, "big-1"))  # type: ignore[arg-type] # isinstance takes it
    assert [getattr(record, "name", "warning") for record in first] == ["big-1", "small", "warning"]
    second = history.stored(task, "big-2")
    assert [result.name for result in records(Result, second)] == ["big-2", "last"]
    assert isinstance(records(Ended, second)[0], Ended)
    assert kinds(second)[-1] == "Ended"


def test_what_waits_for_the_disk_stays_bounded_because_its_plugin_waits_too() -> None:
    history, task = running()
    history.result(task, "big", BIG)
    small = [history.result(task, "small", b"1") for _ in range(MAX_HELD + 3)]
    assert [len(of(Grant, actions)) for actions in small] == [1] * (MAX_HELD - 1) + [0] * 4

    actions = history.stored(task, "big")

    assert len(records(Result, actions)) == 1 + len(small)
    assert of(Grant, actions) == [Grant(task)] * 4


def test_the_next_task_does_not_wait_for_the_disk() -> None:
    history, task = running()
    history.task()
    history.result(task, "big", BIG)
    assert kinds(history.completes(task)) == ["CloseTask", "SendTask"]
    assert task not in history.ended


def test_a_task_whose_result_could_not_be_stored_cannot_end_well() -> None:
    history, task = running()
    history.result(task, "a", BIG)
    history.result(task, "b", BIG)
    history.completes(task)
    assert kinds(history.not_stored(task, "a")) == ["TaskWarning"]
    history.stored(task, "b")
    ended = history.ended[task]
    assert (ended.outcome.value, ended.error) == (
        "failed",
        "result 'a' could not be stored: No space left on device",
    )
    assert ended.partial


def test_a_file_is_copied_and_its_credit_waits_for_the_copy() -> None:
    history, task = running()
    assert history.frames(task, file_ref_frame(task, "dump", "/tmp/dump")) == [StoreFile(task, "dump", "/tmp/dump")]
    actions = history.do(events.ResultStored(task, "dump", "file", "/r/dump", 9, SHA256))
    assert actions == [Emit(CLIENT, Result(task, "dump", "file", 9, SHA256, path="/r/dump", number=1))]


def test_a_file_with_an_impossible_path_breaks_the_protocol() -> None:
    history, task = running()
    piece = Piece(task, ResponseKind.FILE_REF, DataFormat.BYTES, "f", 0, 0, b"", True, True, False)
    assert kinds(history.do(events.TaskSaid(piece))) == ["SendCancel", "CloseTask", "Ended"]
    assert "broke the protocol" in (history.ended[task].error or "")


def test_a_final_frame_may_carry_data() -> None:
    history, task = running()
    piece = Piece(task, ResponseKind.RESULT, DataFormat.JSON, "r", 1, 0, b"1", True, True, True)
    assert kinds(history.do(events.TaskSaid(piece))) == ["Result", "CloseTask", "Ended"]
    history, task = running()
    piece = Piece(task, ResponseKind.RESULT, DataFormat.BYTES, "", 1, 0, b"1", True, True, True)
    assert kinds(history.do(events.TaskSaid(piece))) == ["StorePiece", "CloseTask"]
    assert kinds(history.stored(task, "")) == ["Result", "Ended"]


@pytest.mark.parametrize("kind", [ResponseKind.PROGRESS, ResponseKind.FILE_REF, ResponseKind.READY])
def test_any_final_frame_but_an_error_is_a_success(kind: ResponseKind) -> None:
    history, task = running()
    data = {ResponseKind.PROGRESS: b'{"progress": 1}', ResponseKind.FILE_REF: b"/f"}.get(kind, b"")
    history.do(events.TaskSaid(Piece(task, kind, DataFormat.BYTES, "n", len(data), 0, data, True, True, True)))
    if kind is ResponseKind.FILE_REF:
        history.stored(task, "n")
    assert history.ended[task].outcome.value == "completed"


def test_an_error_in_the_middle_of_a_result_abandons_it() -> None:
    history, task = running()
    first, *_ = result_frames(task, "r", b"x" * (2 * MIB), DataFormat.BYTES)
    history.frames(task, first)
    actions = history.frames(task, error_frame(task, "no"))
    assert kinds(actions) == ["CloseTask", "AbandonResults", "Ended"]
    assert history.ended[task].error == "no"


def test_an_error_in_the_middle_of_a_progress_has_none_of_it() -> None:
    history, task = running()
    half = Piece(task, ResponseKind.PROGRESS, DataFormat.JSON, "", 40, 0, b'{"progress": ', True, False, False)
    assert history.do(events.TaskSaid(half)) == [Grant(task)]
    history.frames(task, error_frame(task, "no"))
    assert history.ended[task].error == "no"


def test_ready_between_the_pieces_of_a_progress_changes_nothing() -> None:
    history, task = running()
    for data, first, last in [(b'{"progress"', True, False), (b": 0.5}", False, True)]:
        ready = Piece(task, ResponseKind.READY, DataFormat.BYTES, "", 3, 0, b"yes", True, True, False)
        assert history.do(events.TaskSaid(ready)) == [Grant(task)]
        actions = history.do(
            events.TaskSaid(Piece(task, ResponseKind.PROGRESS, DataFormat.JSON, "", 18, 0, data, first, last, False))
        )
    assert records(Progress, actions) == [Progress(task, 0.5, "")]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"progress": "much"}', b"[" * 100_000], ids=lambda data: data[:20]
)
def test_progress_that_is_none_breaks_the_protocol(data: bytes) -> None:
    history, task = running()
    history.do(events.TaskSaid(Piece(task, ResponseKind.PROGRESS, DataFormat.JSON, "", 0, 0, data, True, True, False)))
    assert (history.ended[task].error or "").startswith("plugin p broke the protocol: ")


def test_a_message_without_an_end_is_not_collected_for_ever() -> None:
    history, task = running()
    first, data = True, b"x" * (MAX_MESSAGE_BYTES // 2)
    for _ in range(3):
        history.do(
            events.TaskSaid(Piece(task, ResponseKind.ERROR, DataFormat.BYTES, "", 0, 0, data, first, False, False))
        )
        first = False
    assert history.ended[task].error == (
        f"plugin p broke the protocol: the text of a response of kind ERROR has more than {MAX_MESSAGE_BYTES} bytes"
    )


def test_a_death_in_the_middle_of_a_result_is_told_with_what_arrived() -> None:
    history, task = running()
    history.result(task, "one", b"1")
    history.result(task, "two", BIG)
    first, *_ = result_frames(task, "three", b"x" * (3 * MIB - 5), DataFormat.BYTES)
    history.frames(task, first)
    actions = history.exited(signal=9)
    assert of(AbandonResults, actions) == [AbandonResults(task)]
    assert task not in history.ended  # the second result is still on its way to disk
    history.stored(task, "two")
    ended = history.ended[task]
    assert ended.error == (
        "plugin p was killed by SIGKILL (signal 9) during the task; 2 results arrived before; "
        "result 'three' was cut off after 1.0 MiB of 3.0 MiB"
    )
    assert ended.partial


def test_one_result_before_a_failure_is_partial() -> None:
    history, task = running()
    history.result(task, "one", b"1")
    history.frames(task, error_frame(task, "no"))
    assert history.ended[task].partial
    history, task = running()
    history.result(task, "one", b"1")
    history.exited(code=1)
    assert "during the task; 1 result arrived before" in (history.ended[task].error or "")


def test_the_record_of_a_result_is_json_however_its_data_was_written() -> None:
    history, task = running()
    data = b'{\n\t"text": "a\\nb\xe2\x80\xa8",\r\n "n": 1\n}'
    (result,) = records(Result, history.result(task, "r", data))
    assert json.loads(result.data or "") == json.loads(data)
    assert "\n" not in (result.data or "")
    assert said(history.actions).count("warning") == 0


def test_an_answer_of_the_disk_for_a_task_that_is_over_is_nothing() -> None:
    history, task = running()
    history.frames(task, final_frame(task))
    assert history.stored(task, "r") == []
    assert history.not_stored(task, "r") == []
