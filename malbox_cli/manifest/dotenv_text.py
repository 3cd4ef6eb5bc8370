"""The lines of an environment file, by python-dotenv."""

from io import StringIO

from malbox_cli.manifest.env_file import EnvLine

__all__ = ["read_dotenv"]


def read_dotenv(text: str) -> tuple[EnvLine, ...]:
    """Return what the text says, line by line, without comments; nothing in a value stands for another variable."""
    from dotenv.parser import parse_stream  # only who has such a file waits for it

    lines = []
    # With both characters at the ends of lines python-dotenv would count those after an error twice.
    for binding in parse_stream(StringIO(text.replace("\r\n", "\n"))):
        written = binding.original.string
        blank = written[: len(written) - len(written.lstrip())]
        line = binding.original.line + blank.count("\n")
        if binding.error:
            lines.append(EnvLine(line))
        elif binding.key is not None:
            lines.append(EnvLine(line, binding.key, binding.value))
    return tuple(lines)
