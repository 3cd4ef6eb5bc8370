"""`malbox new`."""

import shlex
from pathlib import Path

import click

from malbox_cli.output.text import safe

__all__ = ["command"]

TEMPLATES = ("file", "async")  # those of manifest.new_plugin, which is imported when it is needed


@click.command(epilog="Example: malbox new my-plugin && malbox run --plugin ./my-plugin /bin/ls")
@click.option(
    "--template",
    type=click.Choice(TEMPLATES),
    default="file",
    show_default=True,
    help="file: looks at a file. async: waits for something else meanwhile, with several tasks at once.",
)
@click.argument("name")
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
def command(name: str, folder: Path | None, template: str) -> None:
    """Write a new plugin that runs and has passing tests, into the folder NAME, or into DIR.

    The folder may be there if it is empty; nothing is ever overwritten.
    """
    from malbox_cli.manifest.instances import MAX_ID_LENGTH
    from malbox_cli.manifest.new_plugin import new_plugin
    from malbox_cli.manifest.specs import OWN_NAME
    from plugin_runtime.wire.names import is_plugin_id

    if not is_plugin_id(name) or len(name) > MAX_ID_LENGTH or not any(map(str.isalnum, name)):
        raise click.UsageError(
            f"{name!r} cannot be a plugin's name, which has 1 to {MAX_ID_LENGTH} of the characters A-Z, a-z, 0-9, _"
            " and -; where the plugin goes is a second argument: malbox new my-plugin some/folder"
        )
    if name == OWN_NAME:
        raise click.UsageError(f"{name!r} is what malbox calls itself, so no plugin can be called so")
    target = folder if folder is not None else Path(name)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise click.UsageError(f"{safe(str(target))} is there and not an empty folder; name another one")
        target.mkdir(parents=True, exist_ok=True)
        for file, text in new_plugin(name, template).items():
            with (target / file).open("x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        raise click.UsageError(f"cannot write {safe(str(error.filename or target))}: {error.strerror}") from error
    shown = str(target) if "/" in str(target) else f"./{target}"
    run = shlex.join(["malbox", "run", "--plugin", shown, "/bin/ls"])
    click.echo(f"{safe(str(target))}: a plugin; try `{safe(run)}`, and `pytest` in it", err=True)
