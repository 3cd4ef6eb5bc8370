"""`malbox up`."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from malbox_cli.commands.common import load, manifest_option, require_plugins, to_start, verbose_option

if TYPE_CHECKING:
    from malbox_cli.manifest.debugged import Debugging
    from malbox_cli.manifest.specs import Manifest, PluginSpec
    from malbox_cli.supervisor.console import LogFormat
    from malbox_cli.supervisor.verdict import ExitOn

__all__ = ["command"]

DEBUG_PORT = 5678
"""The port that debuggers of Python take if nobody says another."""

MOST_PORTS = 65535


def _parse_debug(ctx: click.Context, parameter: click.Parameter, text: str | None) -> "Debugging | None":
    if text is None:
        return None
    from malbox_cli.manifest.debugged import Debugging

    plugin, colon, port = text.partition(":")
    if not colon:
        port = str(DEBUG_PORT)
    if not plugin or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > MOST_PORTS:
        what = f"PLUGIN or PLUGIN:PORT, with a port up to {MOST_PORTS}, or 0 for one that is free"
        raise click.BadParameter(f"{text!r} is not {what}", ctx, parameter)
    return Debugging(plugin, f"127.0.0.1:{int(port)}")


@click.command(epilog="Example: malbox up -f plugins.toml --detach")
@manifest_option
@click.option("-d", "--detach", is_flag=True, help="Go on in the background; return once all plugins are READY.")
@click.option("--dry-run", is_flag=True, help="Start nothing; print what would be started, secrets hidden.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON object.")
@click.option(
    "--exit-on",
    type=click.Choice(["failure", "any", "never"]),
    help="Stop all once a plugin has failed, or any has ended, or not even when none runs any more.",
)
@click.option(
    "--debug",
    "debugging",
    callback=_parse_debug,
    metavar="PLUGIN[:PORT]",
    help=f"Have this one wait for a debugger on 127.0.0.1, port {DEBUG_PORT} by default, without time limits.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="JSON is one object a line.")
@click.option("--raw", is_flag=True, help="Show what the plugins print as it is, terminal escapes included.")
@click.option("--silent", is_flag=True, hidden=True, help="Show nothing of what goes to the logs on disk anyway.")
@verbose_option
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
@click.pass_context
def command(
    ctx: click.Context,
    manifest_path: Path,
    plugins: tuple[str, ...],
    exit_on: "ExitOn | None",
    debugging: "Debugging | None",
    log_format: "LogFormat",
    *,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    raw: bool,
    silent: bool,
    verbose: bool,
) -> None:
    """Run the plugins of a manifest, or only those named and what they come after, in the foreground until stopped.

    The first Ctrl-C (or SIGTERM, SIGHUP) stops them in order, the second kills them, the third ends malbox alone.
    Ends with 1 if a plugin failed or was killed, and says which; with 128 + n if it ends because of one that died of
    signal n.

    With --debug one plugin waits, each time that it is started, until a debugger has attached by debugpy; how is
    printed. It is one process, it is not started again by itself, and no time limit but stop_timeout binds it.
    """
    if raw and log_format == "json":
        raise click.UsageError("--raw and --log-format json exclude each other: JSON has its own escapes")
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run; what plugins print is JSON with --log-format json")
    if detach and dry_run:
        raise click.UsageError("--detach and --dry-run exclude each other")
    if detach and debugging is not None:
        raise click.UsageError(
            "--detach and --debug exclude each other: a plugin that is debugged is not READY by itself"
        )
    manifest = load(manifest_path)
    specs = to_start(manifest, plugins)
    if debugging is not None:
        specs = _debugged(manifest, specs, debugging)
    if dry_run:
        from malbox_cli.output.plan import plan_as_json, plan_as_text

        click.echo(json.dumps(plan_as_json(specs, os.environ)) if as_json else plan_as_text(specs, os.environ))
        return
    if detach:
        from malbox_cli.commands.detaching import detach as start_detached

        arguments = ["--manifest", str(manifest.path)]
        arguments += ["--exit-on", exit_on] if exit_on else []
        arguments += ["--verbose"] if verbose else []
        ctx.exit(start_detached(manifest, [*arguments, "--", *plugins]))

    from malbox_cli.supervisor.console import Console
    from malbox_cli.supervisor.serve import serve

    ids = [plugin.id for plugin in manifest.plugins]
    with ExitStack() as stack:
        stream = stack.enter_context(open(os.devnull, "w", encoding="utf-8")) if silent else None
        console = Console(quiet=False, stream=stream, log_format=log_format, raw=raw, plugins=ids)
        stack.callback(console.close)
        end = serve(manifest, specs, console, chosen=plugins, exit_on=exit_on, debugging=debugging, verbose=verbose)
    if silent and end.culprit:  # for who waits for it in the foreground, and may have come too late to see it
        click.echo(f"malbox: {end.culprit}", err=True)
    ctx.exit(end.code)


def _debugged(
    manifest: "Manifest", specs: "tuple[PluginSpec, ...]", debugging: "Debugging"
) -> "tuple[PluginSpec, ...]":
    """Return the plugins as they are run where one of them is debugged.

    Raises:
        click.UsageError: It is none of them, or no Python program.
    """
    from malbox_cli.commands.debugging import is_python
    from malbox_cli.manifest.debugged import debugged

    name = debugging.plugin
    require_plugins(manifest.path, [name], manifest.names)
    spec = next((spec for spec in specs if spec.pool == name), None)
    if spec is None:
        raise click.UsageError(f"--debug {name}: it is not started; name it too, as in `malbox up {name}`")
    if not is_python(spec):
        raise click.UsageError(f"--debug {name}: it runs {spec.argv[0]}, which is no Python program")
    return debugged(specs, debugging)
