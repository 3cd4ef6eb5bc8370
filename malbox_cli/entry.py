"""What the installed program `malbox` runs: the command line, deaf to Ctrl-C for the moment that loading it takes."""

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end the process."""
    # While the command line is loaded there is nothing to tidy up and nobody to tell: the signal ends the process.
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from malbox_cli.cli import main as run

    signal.signal(signal.SIGINT, handler)
    run()
