"""A plugin's process that works on several tasks at once, on the real ports."""

from process_rig import MANY, Place

from plugin_runtime.wire.hello import decode_hello
from plugin_runtime.wire.messages import EventKind


def test_it_says_that_it_can_and_does(place_for_many: Place) -> None:
    place = place_for_many
    with place.plugin(place.environment(concurrency=MANY)) as process:
        place.ready()
        hello = decode_hello(place.events[0].payload)
        assert hello is not None
        assert "parallel" in hello.extensions
        waiting = [place.send(number, do="wait_for_cancel") for number in range(1, MANY)]
        for task in waiting:
            place.until(lambda task=task: task.receive() and bool(task.progress))  # type: ignore[misc]
        for number in range(100, 120):
            task = place.do(number, do="echo", size="3000000")
            assert (task.error, [len(data) for _, _, data in task.results]) == (None, [3_000_000])
            task.stream.close()
        for task in waiting:
            place.cancel(task.task_id)
        assert [place.finish(task).error for task in waiting] == ["the task was cancelled"] * (MANY - 1)
        place.tell(EventKind.DAEMON_SHUTDOWN)
        assert process.ended() == 0
        assert process.errors == ""


def test_all_of_them_stream_at_once(place_for_many: Place) -> None:
    place, size = place_for_many, 20_000_000
    with place.plugin(place.environment(concurrency=MANY)):
        place.ready()
        tasks = [place.send(number, do="echo", size=str(size)) for number in range(1, MANY + 1)]

        def finished() -> bool:
            for task in tasks:
                task.receive()
            return all(task.reassembler.finished for task in tasks)

        place.until(finished)
    assert [(task.error, len(task.results[0][2])) for task in tasks] == [(None, size)] * MANY


def test_a_crash_with_all_of_them_under_way_loses_nothing_that_was_sent_and_leaves_room_for_as_many(
    place_for_many: Place,
) -> None:
    place = place_for_many
    for _ in range(2):
        place.events.clear()
        with place.plugin(place.environment(concurrency=MANY)) as process:
            place.ready()
            tasks = [place.send(number, do="wait_for_cancel") for number in range(1, MANY)]
            place.until(lambda: process.log.count("on_task") == MANY - 1)
            last = place.send(MANY, do="crash")
            assert process.ended() == 3
            for task in tasks:
                while task.receive(grant=False):
                    pass
            assert not last.receive(grant=False)
            for task in (*tasks, last):
                task.stream.close()
        assert [task.progress for task in tasks] == [[(0.5, "waiting")]] * (MANY - 1)
