import subprocess
import sys
from pathlib import Path

import pytest

import plugin_runtime


@pytest.mark.parametrize("name", plugin_runtime.__all__)
def test_a_public_name_is_there(name: str) -> None:
    value = getattr(plugin_runtime, name)
    assert callable(value)
    assert value.__name__ == name
    assert value.__module__.startswith("plugin_runtime.")


def test_every_public_name_is_listed() -> None:
    assert set(plugin_runtime.__all__) <= set(dir(plugin_runtime))
    assert plugin_runtime.__all__ == sorted(plugin_runtime.__all__, key=lambda name: (name.islower(), name))


def test_a_name_that_is_not_there_raises_as_ever() -> None:
    with pytest.raises(AttributeError, match="module 'plugin_runtime' has no attribute 'Plugim'"):
        _ = plugin_runtime.Plugim  # type: ignore[attr-defined] # which is the point


def test_no_submodule_can_take_a_public_names_place() -> None:
    modules = {path.stem for path in Path(plugin_runtime.__file__).parent.iterdir()}
    assert modules & set(plugin_runtime.__all__) == set()


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        pytest.param("import plugin_runtime.errors", {"plugin_runtime", "plugin_runtime.errors"}, id="errors alone"),
        pytest.param("import plugin_runtime", {"plugin_runtime"}, id="the package alone"),
    ],
)
def test_what_is_not_used_is_not_loaded(statement: str, loaded: set[str]) -> None:
    code = f"import sys; {statement}; print(*(name for name in sys.modules if name.startswith('plugin_runtime')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == loaded


def test_neither_iceoryx2_nor_asyncio_is_loaded_before_it_is_needed() -> None:
    code = "import sys; from plugin_runtime import *; print('iceoryx2' in sys.modules, 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_all_of_it_comes_with_a_star() -> None:
    names: dict[str, object] = {}
    exec("from plugin_runtime import *", names)
    assert set(plugin_runtime.__all__) <= set(names)
