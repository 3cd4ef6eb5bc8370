"""When the analysis of each sample of a run begins and ends, as the plugins are told."""

from collections.abc import Iterator

from plugin_runtime.wire.messages import EventKind, EventMessage

__all__ = ["SampleEvents"]


class SampleEvents:
    """Counts the tasks of each sample; samples are numbered from 1, and the numbers are the ids in the events.

    Args:
        samples: How many samples there are.
        tasks: How many tasks each of them has.
    """

    def __init__(self, samples: int, tasks: int) -> None:
        self._open = dict.fromkeys(range(1, samples + 1), tasks)
        self._begun: dict[int, None] = {}
        self._ended: list[int] = []

    def task_begun(self, sample: int) -> None:
        """Say that a task of a sample was handed in."""
        if sample in self._open:
            self._begun.setdefault(sample)

    def task_ended(self, sample: int) -> None:
        """Say that a task of a sample has ended, or was refused."""
        self._open[sample] -= 1
        if not self._open[sample]:
            del self._open[sample]
            self._ended.append(sample)

    def due(self, *, all_are_up: bool) -> Iterator[EventMessage]:
        """Yield the events to publish now.

        Args:
            all_are_up: Whether no plugin is starting: one that is might not hear of a beginning. An end does not wait.
        """
        if not self._begun and not self._ended:
            return
        for sample in list(self._begun):
            if all_are_up or sample in self._ended:
                del self._begun[sample]
                yield EventMessage(EventKind.SAMPLE_STARTED, associated_id=sample)
        ended, self._ended = self._ended, []
        for sample in ended:
            yield EventMessage(EventKind.SAMPLE_STOPPED, associated_id=sample)
