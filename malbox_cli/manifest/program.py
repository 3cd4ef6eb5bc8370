"""Which program a plugin runs."""

import json
from pathlib import Path

from malbox_cli.manifest.files import Files, Kind
from malbox_cli.manifest.suggest import did_you_mean
from malbox_cli.manifest.table import shown, shown_path

__all__ = ["NoProgram", "from_command", "from_folder"]

_PYTHON = "{python}"
_PLUGIN_DIR = "{plugin_dir}"
_MAIN = "main.py"


class NoProgram(Exception):
    """There is nothing that could be run; its text says what was looked for and what to do."""


def from_command(
    command: tuple[str, ...], base: Path, plugin_dir: Path | None, files: Files, python: Path
) -> list[str]:
    """Return the argv of a manifest's `command`.

    Args:
        command: The program and its arguments, as written.
        base: The manifest's folder, to which a program with a slash is relative.
        plugin_dir: What `{plugin_dir}` stands for; None without a `path`.
        files: The disk.
        python: What `{python}` stands for.

    Raises:
        NoProgram: The program is not there or may not be executed, or `{plugin_dir}` stands for nothing.
    """
    if plugin_dir is None and any(_PLUGIN_DIR in part for part in command):
        raise NoProgram(f"uses {_PLUGIN_DIR}, which stands for the folder in path; add path or write the folder out")
    program, *arguments = (part.replace(_PYTHON, str(python)).replace(_PLUGIN_DIR, str(plugin_dir)) for part in command)
    if "/" in program:
        return [str(_checked(base / program, files)), *arguments]
    found = files.find_program(program)
    if found is None:
        meant = did_you_mean(program, (_PYTHON, _PLUGIN_DIR))
        raise NoProgram(
            f"the program {shown(program)} is not on PATH{meant}; install it,"
            " or write its path with a slash in it, relative to the manifest's folder"
        )
    return [str(_checked(found, files)), *arguments]


def from_folder(folder: Path, binary: str | None, files: Files, python: Path) -> list[str]:
    """Return the argv of a plugin that is a folder: its `binary`, else its main.py, else the program named as it is.

    A program that ends in ``.py`` is run by `python`, so that it finds the packages that malbox finds.

    Raises:
        NoProgram: None of it is there, or what is there may not be executed.
    """
    if binary is not None:
        try:
            return _run(folder / binary, files, python)
        except NoProgram as error:
            raise NoProgram(f"plugin.toml says binary = {shown(binary)}, but {error}") from None
    if files.look(folder / _MAIN).kind is Kind.FILE:
        return _run(folder / _MAIN, files, python)
    named = folder / folder.name
    if files.look(named).kind is Kind.FILE:
        return _run(named, files, python)
    raise NoProgram(
        f"there is nothing to run in {shown_path(folder)}: plugin.toml has no binary, and there is neither {_MAIN}"
        f" nor a program {shown(folder.name)}; add one of them, or write command = [...] in the manifest"
    )


def _run(program: Path, files: Files, python: Path) -> list[str]:
    if program.suffix == ".py":
        if (look := files.look(program)).kind is not Kind.FILE:
            raise NoProgram(_not_a_file(program, look.kind, look.reason))
        return [str(_checked(python, files)), str(program)]
    return [str(_checked(program, files))]


def _checked(program: Path, files: Files) -> Path:
    look = files.look(program)
    if look.kind is not Kind.FILE:
        raise NoProgram(_not_a_file(program, look.kind, look.reason))
    if not look.may_execute:
        hint = (
            f', or run it with command = ["{_PYTHON}", {json.dumps(str(program))}]' if program.suffix == ".py" else ""
        )
        raise NoProgram(f"the program {shown_path(program)} may not be executed; make it so with chmod +x{hint}")
    return program


def _not_a_file(program: Path, kind: Kind, reason: str) -> str:
    if kind is Kind.MISSING:
        return f"the program {shown_path(program)} does not exist; correct its path"
    if kind is Kind.UNREACHABLE:
        return f"the program {shown_path(program)} cannot be looked at: {reason}"
    return f"{shown_path(program)} is {kind.value}, not a program; correct its path"
