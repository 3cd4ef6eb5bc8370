"""A supervisor for the time of a `with` block, where none runs already."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from malbox_cli.client.asynchronous import AsyncClient
from malbox_cli.client.background import LOOK_SECONDS, Background
from malbox_cli.client.finding import ManifestPath, location_of, owner_of
from malbox_cli.client.plain import Client
from malbox_cli.control.problems import NoSupervisor, SupervisorLost
from malbox_cli.manifest.load import load_manifest
from plugin_runtime.errors import MalboxError

if TYPE_CHECKING:
    from malbox_cli.control.news import PluginNews
    from malbox_cli.manifest.specs import Location
    from malbox_cli.supervisor.ownership import Owner

__all__ = ["NotReady", "running", "running_async"]


class NotReady(MalboxError):
    """Plugins of the supervisor did not become READY; the text says which, and why."""


@contextmanager
def running(manifest: ManifestPath | None = None, *plugins: str, timeout: float | None = None) -> Iterator[Client]:
    """Connect to the supervisor of a manifest; where none runs, have one for the block, with its plugins READY.

        with running("plugins.toml") as malbox:
            ended = malbox.submit("file-info", "/bin/ls").wait()

    One that was started here is stopped at the end of the block, and what it has not done is taken up by the next. It
    outlives this process where that is killed in the block; `malbox down` stops it then.

    Args:
        manifest: Its file; None for the one that `MALBOX_MANIFEST` names, else ``plugins.toml``.
        plugins: Which to start, with those that they come after; none for all.
        timeout: Seconds until they have to be READY; None: as long as each one's `start_timeout` allows.

    Raises:
        ManifestError: The manifest has problems.
        NotReady: A plugin did not get ready.
        MalboxError: The supervisor could not be started.
    """
    location = location_of(manifest)
    if (there := _owner(location)) is not None:
        with Client(location, there) as client:
            _require_ready(client.wait_ready(timeout=timeout))
            yield client
        return
    load_manifest(location.path)  # its problems are told better here than by a process in the background
    with Background(location, _arguments(location, plugins)) as process:
        try:
            found = process.wait_for_owner()
            if found is None:
                raise _ended(process)
            with Client(location, found) as client:
                try:
                    try:
                        missed = client.wait_ready(timeout=timeout)
                    except SupervisorLost:
                        process.has_ended(None)
                        raise _ended(process) from None
                    _require_ready(missed)
                    yield client
                finally:
                    with suppress(SupervisorLost):
                        client.shut_down()
        finally:
            _stop(process, location)


@asynccontextmanager
async def running_async(
    manifest: ManifestPath | None = None, *plugins: str, timeout: float | None = None
) -> AsyncIterator[AsyncClient]:
    """Connect to the supervisor of a manifest, or have one for the block; as `running`, for asyncio.

        async with running_async("plugins.toml") as malbox:
            task = await malbox.submit("file-info", "/bin/ls")
            ended = await task.wait()

    Args:
        manifest: As for `running`; so for the others.
        plugins: Which to start.
        timeout: Seconds until they have to be READY.

    Raises:
        MalboxError: As for `running`.
    """
    location = location_of(manifest)
    if (there := _owner(location)) is not None:
        async with AsyncClient(location, there) as client:
            _require_ready(await client.wait_ready(timeout=timeout))
            yield client
        return
    load_manifest(location.path)
    with Background(location, _arguments(location, plugins)) as process:
        try:
            while (found := process.owner()) is None:
                if process.has_ended():
                    raise _ended(process)
                await asyncio.sleep(LOOK_SECONDS)
            async with AsyncClient(location, found) as client:
                try:
                    try:
                        missed = await client.wait_ready(timeout=timeout)
                    except SupervisorLost:
                        process.has_ended(None)
                        raise _ended(process) from None
                    _require_ready(missed)
                    yield client
                finally:
                    with suppress(SupervisorLost):
                        await client.shut_down()
        finally:
            _stop(process, location)


def _owner(location: "Location") -> "Owner | None":
    try:
        return owner_of(location)
    except NoSupervisor:
        return None


def _arguments(location: "Location", plugins: Sequence[str]) -> list[str]:
    return ["--manifest", str(location.path), "--", *plugins]


def _stop(process: Background, location: "Location") -> None:
    """Wait for the end of a supervisor that was told to stop, or that nobody has talked to yet."""
    if process.has_ended():
        return
    owner = process.wait_for_owner()
    if owner is not None:
        with suppress(SupervisorLost), Client(location, owner) as client:
            client.shut_down()
    process.has_ended(None)


def _require_ready(missed: "Sequence[PluginNews]") -> None:
    if missed:
        each = "\n".join(f"plugin {news.plugin} is {news.state}: {news.reason}" for news in missed)
        raise NotReady(each)


def _ended(process: Background) -> MalboxError:
    said = process.said().strip()
    return MalboxError("the supervisor has ended before its plugins were READY" + (f": {said}" if said else ""))
