"""What is in a result, wherever it is kept."""

import json
from pathlib import Path
from typing import Any

from malbox_cli.control.records import Result
from plugin_runtime.errors import MalboxError

__all__ = ["content_of", "json_of"]


def content_of(result: Result) -> bytes:
    """Return a result's bytes: from the record, where it is small and JSON, else from the file where it is kept.

        for result in malbox.results(task.number):
            print(result.name, len(content_of(result)))

    A large one need not be in memory: `result.path` is its file, which others may have too, so do not change it.

    Raises:
        MalboxError: Its file is not there any more, or cannot be read.
    """
    if result.data is not None:
        return result.data.encode("utf-8", "surrogatepass")
    if result.path is None:
        raise MalboxError(f"the result {result.name} of task {result.task} has neither data nor a path")
    try:
        return Path(result.path).read_bytes()
    except OSError as error:
        raise MalboxError(
            f"cannot read the result {result.name} of task {result.task} in {result.path}: {error.strerror}"
        ) from error


def json_of(result: Result) -> Any:  # noqa: ANN401 - whatever the plugin pushed
    """Return what a JSON result says.

        size = json_of(result)["size"]

    Raises:
        MalboxError: It cannot be read, or is no JSON.
    """
    try:
        return json.loads(content_of(result))
    except (ValueError, RecursionError) as error:
        raise MalboxError(f"the result {result.name} of task {result.task} is no JSON: {error}") from error
