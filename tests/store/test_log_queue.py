"""What waits for a thread that may stand still."""

import threading

from malbox_cli.store.log_format import LogEntry, LogLevel
from malbox_cli.store.log_queue import LogQueue


def entry(plugin: str | None, data: bytes, level: LogLevel = "output") -> LogEntry:
    return LogEntry(1, plugin, level, data)


def rows(queue: LogQueue) -> list[tuple[str | None, str, bytes]]:
    return [(each.plugin, each.level, each.data) for each in queue.take()]


def test_what_waits_is_taken_at_once_in_its_order() -> None:
    queue = LogQueue(100, 10, "slow")
    given = [entry("a", b"1\n"), entry("b", b"2\n"), entry(None, b"3\n", "info")]
    for each in given:
        queue.put(each)
    assert queue.take() == given
    assert queue.take(timeout=0) == []


def test_what_finds_no_room_is_counted_for_each_plugin_in_its_place() -> None:
    queue = LogQueue(1000, 4, "slow")
    queue.put(entry("a", b"1\n2\n3\n"))
    queue.put(entry("b", b"x\ny\nz"))  # three lines, the last without an end
    queue.put(entry("c", b"x\n"))
    queue.put(entry("a", b"4\n5\n"))
    queue.put(entry("a", b"6\n"))
    assert rows(queue) == [
        ("a", "output", b"1\n2\n3\n"),
        ("c", "output", b"x\n"),
        ("b", "warning", b"3 lines were dropped: slow\n"),
        ("a", "warning", b"3 lines were dropped: slow\n"),
    ]
    queue.put(entry("a", b"7\n"))
    assert rows(queue) == [("a", "output", b"7\n")]


def test_the_count_stands_before_what_the_plugin_printed_next() -> None:
    queue = LogQueue(1000, 3, "slow")
    queue.put(entry("a", b"1\n2\n"))
    queue.put(entry("a", b"3\n4\n"))
    queue.put(entry("a", b"5\n"))
    assert rows(queue) == [
        ("a", "output", b"1\n2\n"),
        ("a", "warning", b"2 lines were dropped: slow\n"),
        ("a", "output", b"5\n"),
    ]


def test_bytes_are_bounded_as_lines_are() -> None:
    queue = LogQueue(10, 1000, "slow")
    queue.put(entry("a", b"12345678\n"))
    queue.put(entry("a", b"1\n"))
    assert rows(queue)[-1] == ("a", "warning", b"1 line was dropped: slow\n")


def test_a_block_that_is_larger_than_all_the_room_passes_where_nothing_waits() -> None:
    queue = LogQueue(4, 1, "slow")
    queue.put(entry("a", b"1\n2\n3\n"))
    assert rows(queue) == [("a", "output", b"1\n2\n3\n")]


def test_what_malbox_says_passes_where_plugins_have_no_room_any_more_but_not_without_end() -> None:
    queue = LogQueue(1000, 3, "slow")
    queue.put(entry("a", b"1\n2\n3\n"))
    queue.put(entry("a", b"4\n"))
    for number in range(5):
        queue.put(entry("a", b"%d\n" % number, "info"))
    assert rows(queue) == [
        ("a", "output", b"1\n2\n3\n"),
        ("a", "warning", b"1 line was dropped: slow\n"),
        *(("a", "info", b"%d\n" % number) for number in range(3)),
        ("a", "warning", b"2 lines were dropped: slow\n"),
    ]


def test_taking_waits_for_an_entry_or_the_end() -> None:
    queue = LogQueue(100, 10, "slow")
    taken: list[list[LogEntry]] = []

    def take_all() -> None:
        while entries := queue.take():
            taken.append(entries)

    thread = threading.Thread(target=take_all, name="malbox-test")
    thread.start()
    queue.put(entry("a", b"1\n"))
    queue.put(entry("a", b"2\n"))
    queue.close()
    thread.join(20)
    assert not thread.is_alive()
    assert [each.data for entries in taken for each in entries] == [b"1\n", b"2\n"]
    queue.rest(1000)  # there is nothing to wait for any more
