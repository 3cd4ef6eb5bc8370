"""What several commands share: options, and how they find the manifest and its supervisor."""

import os
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from malbox_cli.output.text import safe

if TYPE_CHECKING:
    from malbox_cli.client.plain import Client
    from malbox_cli.manifest.specs import Location, Manifest, PluginSpec

__all__ = [
    "FollowCommand",
    "chosen",
    "client_of",
    "json_option",
    "load",
    "locate",
    "manifest_option",
    "require_plugins",
    "sample_path",
    "settings_option",
    "timeout_option",
    "to_start",
    "verbose_option",
]

ANSWER_SECONDS = 10.0
"""How long an answer of a supervisor may take, where a command is given no time: as `control.client` has it."""
MAX_SECONDS = 365 * 24 * 3600
F = TypeVar("F", bound=Callable[..., Any])


class FollowCommand(click.Command):
    """A command with ``--follow`` beside the manifest's option: each of them can be called ``-f``.

    A manifest's name has a dot or a slash, that of a plugin, and a pattern for some, never has; so it is clear which of
    the two is meant.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Call each ``-f`` by its long name."""
        end = args.index("--") if "--" in args else len(args)
        named: list[str] = []
        for arg, following in pairwise([*args[:end], ""]):
            joined = arg[2:]  # as in -fplugins.toml and -fn
            if not arg.startswith("-f"):
                named.append(arg)
            elif joined:
                named += ["--manifest", joined] if _is_file(joined) else ["--follow", f"-{joined}"]
            else:
                named.append("--manifest" if _is_file(following) else "--follow")
        return super().parse_args(ctx, named + args[end:])


def _is_file(argument: str) -> bool:
    return not argument.startswith("-") and ("." in argument or "/" in argument)


def manifest_option(function: F) -> F:
    """Add ``-f/--manifest``."""
    return click.option(
        "-f",
        "--manifest",
        "manifest_path",
        type=click.Path(path_type=Path),
        default=Path("plugins.toml"),
        envvar="MALBOX_MANIFEST",
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help="The manifest.",
    )(function)


def json_option(help_text: str) -> Callable[[F], F]:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def verbose_option(function: F) -> F:
    """Add ``--verbose``."""
    return click.option("-v", "--verbose", is_flag=True, help="Show more, and what iceoryx2 logs.")(function)


def timeout_option(help_text: str) -> Callable[[F], F]:
    """Add ``--timeout``."""

    def check(ctx: click.Context, parameter: click.Parameter, seconds: float | None) -> float | None:
        # Not a range of click's: nan is in every one of them.
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            raise click.BadParameter(f"{seconds:g} is not a number of seconds above 0, up to a year", ctx, parameter)
        return seconds

    return click.option("--timeout", type=float, callback=check, metavar="SECONDS", default=None, help=help_text)


def settings_option(function: F) -> F:
    """Add ``--set KEY=VALUE``, as a mapping."""

    def parse(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
        settings = {}
        for text in values:
            key, equals, value = text.partition("=")
            if not key or not equals:
                raise click.BadParameter(f"{text!r} is not KEY=VALUE", ctx, parameter)
            settings[key] = value
        return settings

    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        callback=parse,
        help="Set a key of the plugin's configuration for this task; may be repeated.",
    )(function)


def client_of(manifest: "Location", timeout: float | None = ANSWER_SECONDS) -> "Client":
    """Connect to the manifest's supervisor, an answer of which may take so many seconds.

    Raises:
        NoSupervisor: There is none.
        SupervisorLost: It cannot be reached.
    """
    from malbox_cli.client.finding import owner_of
    from malbox_cli.client.plain import Client

    return Client(manifest, owner_of(manifest), timeout)


def load(path: Path, read: "set[Path] | None" = None) -> "Manifest":
    """Read the manifest; every file that was read for it is added to `read`.

    Raises:
        ManifestError: It has problems.
    """
    from malbox_cli.manifest.load import load_manifest

    return load_manifest(path, read)


def locate(path: Path) -> "Location":
    """Return where the supervisor of a manifest is found; the manifest need not be right in all that it says.

    Raises:
        ManifestError: There is no such file, or no TOML in it.
    """
    from malbox_cli.manifest.load import locate as find

    return find(path)


def chosen(manifest: "Manifest", names: Iterable[str]) -> "tuple[PluginSpec, ...]":
    """Return the plugins of these names in the manifest's order; all of them for none.

    The name of a table means all its instances, the id of an instance that one.

    Raises:
        click.UsageError: The manifest has no such plugin.
    """
    wanted = list(names)
    ids = {spec.id for spec in manifest.plugins}
    require_plugins(manifest.path, [name for name in wanted if name not in ids], manifest.names)
    return tuple(spec for spec in manifest.plugins if not wanted or spec.id in wanted or spec.pool in wanted)


def require_plugins(manifest_path: Path, wanted: Iterable[str], known: Collection[str]) -> None:
    """Check that a manifest has plugins.

    Raises:
        click.UsageError: It does not have one of them.
    """
    from malbox_cli.manifest.suggest import did_you_mean

    for plugin_id in wanted:
        if plugin_id not in known:
            meant = did_you_mean(plugin_id, known) or f"; it has {', '.join(known)}"
            raise click.UsageError(f"{manifest_path} has no plugin {plugin_id!r}{meant}")


def to_start(manifest: "Manifest", names: Iterable[str]) -> "tuple[PluginSpec, ...]":
    """Return the chosen plugins and all that they come after, in the manifest's order; all of them for none.

    Raises:
        click.UsageError: The manifest has no such plugin, or these are more than can run at once.
    """
    from malbox_cli.manifest.instances import too_many
    from malbox_cli.manifest.order import with_dependencies

    plugins = with_dependencies(manifest, [spec.id for spec in chosen(manifest, names)])
    if (fault := too_many(plugins)) is not None:
        raise click.UsageError(f"{manifest.path}: {fault}; lower `instances`, or name fewer plugins")
    return plugins


def sample_path(text: str) -> str:
    """Return the absolute path of a sample.

    Raises:
        click.UsageError: It is missing, no regular file, or may not be read.
    """
    if not text:
        raise click.UsageError("the sample is '', the name of no file")
    shown = safe(text)
    try:
        path = os.path.abspath(text)
    except OSError as error:
        raise click.UsageError(f"cannot find the sample {shown}: the current folder is not there any more") from error
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise click.UsageError(f"cannot read the sample {shown}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise click.UsageError(f"the sample {shown} is a folder: name a file in it")
    if not stat.S_ISREG(mode):
        raise click.UsageError(f"the sample {shown} is not a regular file")
    if not os.access(path, os.R_OK):
        raise click.UsageError(f"cannot read the sample {shown}: Permission denied")
    return path
