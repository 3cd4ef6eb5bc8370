"""pytest's fixtures of the test kit. pytest finds them by malbox's entry point; nothing else is loaded before use."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plugin_runtime.testing import MalboxPlugin, RunPlugin

__all__ = ["malbox_plugin", "run_plugin"]


@pytest.fixture
def run_plugin() -> "RunPlugin":
    """Return the function that runs a plugin object on one sample: ``run_plugin(Hello(), b"a sample")``."""
    from plugin_runtime import testing

    return testing.run_plugin


@pytest.fixture
def malbox_plugin() -> "Iterator[MalboxPlugin]":
    """Return what starts a plugin for the length of the test: ``malbox_plugin(Hello()).run(b"a sample")``."""
    from plugin_runtime.testing.tester import PluginTester

    with ExitStack() as stack:

        def start(plugin: object, **options: object) -> PluginTester:
            # Checked by the types of `MalboxPlugin`, and at run time by the tester itself.
            return stack.enter_context(PluginTester(plugin, **options))  # type: ignore[arg-type]

        yield start
