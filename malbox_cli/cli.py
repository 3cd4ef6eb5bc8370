"""The command line: finds the command, and turns every error into one message and an exit code."""

import io
import os
import sys
from importlib import import_module

import click

__all__ = ["cli", "main"]

# A command's module is imported when the command is used: `malbox --help` is to be quick.
COMMANDS = {
    "cancel": "Cancel tasks.",
    "check": "Read a manifest and print every problem in it.",
    "doctor": "Say what is wrong with this machine, and clean up.",
    "down": "Stop the supervisor of a manifest.",
    "events": "Show how plugins stand, and what changes.",
    "init": "Write a manifest from the plugin folders that are there.",
    "logs": "Show what the plugins printed, and what malbox said of them.",
    "new": "Write a new plugin that runs and has passing tests.",
    "prune": "Remove tasks that ended long ago, with their results.",
    "reload": "Have a running supervisor read its manifest again.",
    "restart": "Restart plugins of a running supervisor.",
    "retry": "Send tasks again, or run one under a debugger.",
    "run": "Run plugins on samples, once; nothing else has to be running.",
    "send-task": "Give one sample to a plugin of a running supervisor.",
    "show": "Show everything about a task.",
    "smoke": "Run the smoke tests of a manifest's plugins.",
    "start": "Start plugins of a running supervisor.",
    "status": "Show the plugins of a running supervisor.",
    "stop": "Stop plugins of a running supervisor.",
    "tasks": "List the tasks that were accepted.",
    "up": "Run the plugins of a manifest until stopped.",
    "wait": "Wait until plugins of a running supervisor are READY.",
}

EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are modules of `malbox_cli.commands`, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"malbox_cli.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name; where there is none, say which was probably meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from malbox_cli.manifest.suggest import did_you_mean

            ctx.fail(f"there is no command {args[0]!r}{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try: malbox run /bin/ls",
)
@click.version_option(package_name="malbox", prog_name="malbox")
def cli() -> None:
    """Run a set of malware-analysis plugins on this machine: one manifest, one command, no services."""


def main() -> None:
    """Run the command line and end the process with the exit code of the command."""
    _mend_standard_streams()
    try:
        code = cli.main(prog_name="malbox", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.exceptions.Exit as error:
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except OSError as error:
        # What the commands can do something about they have met; what is left is the machine's, such as a full disk.
        # A reader that has gone, as `head` does, is met by click: it ends the process with 1.
        _drop_output()
        click.echo(f"malbox: {error}", err=True)
        code = 1
    except Exception as error:  # noqa: BLE001 - what is not ours is raised again
        code = _explain(error)
    sys.exit(code if isinstance(code, int) else 0)


def _mend_standard_streams() -> None:
    """Make sure that the three standard streams are there, and take any text.

    Where one was closed its number would go to the next file that is opened, which would get what is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Let nobody have what could not be written: Python would try again at its end, and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: Exception) -> int:
    """Print an error of ours, and return its exit code; raise any other, which is a fault of malbox's."""
    from malbox_cli.control.problems import NoSupervisor, SupervisorSilent
    from malbox_cli.manifest.specs import ManifestError
    from malbox_cli.output.text import safe
    from plugin_runtime.errors import MalboxError

    if not isinstance(error, MalboxError):
        raise error
    lines = str(error).splitlines() or [type(error).__name__]
    for line in lines:
        click.echo(f"malbox: {safe(line)}", err=True)
    match error:
        case ManifestError():
            return 2
        case NoSupervisor():
            return 69
        case SupervisorSilent():
            return 124
        case _:
            return 1


if __name__ == "__main__":
    main()
