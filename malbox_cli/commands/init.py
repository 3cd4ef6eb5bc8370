"""`malbox init`."""

import shlex
from pathlib import Path

import click

from malbox_cli.commands.common import manifest_option
from malbox_cli.output.text import safe

__all__ = ["command"]


@click.command(epilog="Example: malbox init examples/plugins -f plugins.toml")
@manifest_option
@click.option("--force", is_flag=True, help="Overwrite a manifest that is there.")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="[DIR]...")
def command(manifest_path: Path, folders: tuple[Path, ...], *, force: bool) -> None:
    """Write a commented manifest from the plugin folders in and below each DIR, or the current folder.

    A plugin's folder is one with a plugin.toml.
    """
    from malbox_cli.manifest.scaffold import examine_plugin_folder, find_plugin_folders, render_manifest

    if manifest_path.exists() and not force:
        raise click.UsageError(f"{manifest_path} exists: name another file with -f, or overwrite it with --force")
    roots = folders or (Path(),)
    found = [examine_plugin_folder(folder) for folder in find_plugin_folders(roots)]
    if not found:
        where = ", ".join(map(str, roots))
        raise click.UsageError(f"there is no plugin folder (one with a plugin.toml) in or below {where}")
    for plugin in found:
        if plugin.fault:
            click.echo(f"malbox: left out {safe(str(plugin.folder))}: {safe(plugin.fault)}", err=True)
    try:
        text = render_manifest(found, manifest_path.resolve().parent)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        manifest_path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {manifest_path}: {error.strerror}") from error
    usable = sum(not plugin.fault for plugin in found)
    run = shlex.join(["malbox", "run", "-f", str(manifest_path), "/bin/ls"])
    click.echo(f"{manifest_path}: {usable} plugin{'s' if usable > 1 else ''}; try `{run}`", err=True)
