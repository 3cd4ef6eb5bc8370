"""The types of the fixtures, for tests that are checked by a type checker."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from plugin_runtime.plugin import Plugin
from plugin_runtime.testing.outcome import TaskRun
from plugin_runtime.testing.tester import PluginTester, Sample

__all__ = ["MalboxPlugin", "RunPlugin"]


class RunPlugin(Protocol):
    """The fixture `run_plugin`: the function `plugin_runtime.testing.run_plugin`."""

    def __call__(
        self,
        plugin: Plugin,
        sample: Sample,
        *,
        config: Mapping[str, str] | None = None,
        file_ref_threshold: int = ...,
        timeout: float = ...,
    ) -> TaskRun:
        """Start a plugin, run one task on a sample, stop it, and return what came of the task."""


class MalboxPlugin(Protocol):
    """The fixture `malbox_plugin`: starts a plugin, which is stopped when the test ends."""

    def __call__(
        self,
        plugin: Plugin,
        *,
        config: Mapping[str, str] | None = None,
        concurrency: int = ...,
        file_ref_threshold: int = ...,
        timeout: float = ...,
        subscribe: Sequence[str] = ...,
    ) -> PluginTester:
        """Start a plugin, and return what tasks and events are sent with; see `PluginTester`."""
