"""A folder to write manifests and plugins into."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

WriteTree = Callable[[Mapping[str, str]], Path]

GOOD_PLUGIN = '[plugin]\nname = "good"\nversion = "1.2.3"\ntype = "host"\n'


@pytest.fixture
def write_tree(tmp_path: Path) -> WriteTree:
    """Return a function that writes files below a fresh folder and returns it; good/ is a plugin that is fine."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in {"good/plugin.toml": GOOD_PLUGIN, "good/main.py": "", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write
