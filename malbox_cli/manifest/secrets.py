"""What looks like a secret, and how it is shown: a name says it, a URL's password does, or the text itself."""

import json
import re
from collections.abc import Sequence

__all__ = ["HIDDEN", "hide", "hide_in_argv"]

HIDDEN = "***"
"""What is shown in a secret's place."""

# Words of a name, wherever capitals, digits or other characters part them: DB_PASSWORD, apiKey, x-auth-token.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = frozenset(
    {
        *("auth", "authorization", "bearer", "cookie", "cookies", "credential", "credentials", "creds", "jwt"),
        *("pass", "passphrase", "passwd", "password", "pw", "secret", "token"),
    }
)
# Some are written as one word with what they open: PGPASSWORD, APIKEY, GHTOKEN.
_SECRET_ENDINGS = ("apikey", "passphrase", "passwd", "password", "secret", "token")
# A key alone sorts tables and plays music; with one of these before it, it opens something.
_SECRET_KEYS = frozenset({"access", "api", "auth", "encryption", "license", "master", "private", "secret", "signing"})
_WORKING_FOLDERS = frozenset({"PWD", "OLDPWD"})

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# The password goes on to the last @ before white space or another URL: some are written without their %40.
_URL_PASSWORD = re.compile(r"(?P<user>[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#:@]*:)(?!\d+(?:[/?#\s]|$))(?:(?!://)\S)*@")


def hide(name: str, value: str) -> str:
    """Return a value as it may be shown: ``***`` for a secret, a URL without its password, anything else as it is.

    In a JSON object each value is shown as its own name says. An empty value is shown as it is, for nothing is in it.

    Args:
        name: What it is called: a variable, a key of a configuration, an option.
        value: What it is.
    """
    if not value:
        return value
    if _is_secret(name) or _PRIVATE_KEY.search(value):
        return HIDDEN
    if value.startswith("{") and (shown := _hide_in_object(value)) is not None:
        return shown
    return _URL_PASSWORD.sub(rf"\g<user>{HIDDEN}@", value)


def hide_in_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a program's arguments as they may be shown; ``--token=VALUE`` and ``--token VALUE`` are secrets."""
    shown = []
    option = ""  # that the argument before was, without its value
    for argument in argv:
        name, equals, value = argument.partition("=")
        if equals and "://" not in name:
            shown.append(f"{name}={hide(name, value)}")
        else:
            shown.append(argument if argument.startswith("-") else hide(option, argument))
        option = name if argument.startswith("--") and not equals else ""
    return tuple(shown)


def _is_secret(name: str) -> bool:
    if name in _WORKING_FOLDERS:
        return False
    words = [word.lower() for word in _WORDS.findall(name)]
    for index, word in enumerate(words):
        singular = word.removesuffix("s")
        if word in _SECRET_WORDS or singular in _SECRET_WORDS or singular.endswith(_SECRET_ENDINGS):
            return True
        if singular == "key" and index and words[index - 1] in _SECRET_KEYS:
            return True
    return bool(words) and words[-1] == "pwd"


def _hide_in_object(text: str) -> str | None:
    try:
        values = json.loads(text, object_pairs_hook=_shown_object)
    except (ValueError, RecursionError):
        return None
    return json.dumps(values)


def _shown_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object as it may be shown; the objects in it have been here before."""
    shown: dict[str, object] = {}
    for name, value in pairs:
        if isinstance(value, str):
            shown[name] = hide(name, value)
        else:
            shown[name] = HIDDEN if _is_secret(name) else value
    return shown
