"""The rules: our own from files, the one that must not stand in a file, and a folder of the user's."""

from pathlib import Path

import yara_x

__all__ = ["OWN_RULES", "RulesError", "compile_rules", "rule_files"]

OWN_RULES = Path(__file__).resolve().parent / "rules"

# Scanners delete files in which the EICAR test string stands in one piece, and they would be right.
_EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*")
_EICAR_RULE = """
rule eicar_test_file : test {
  meta:
    description = "The EICAR test file: harmless, and meant to be found by every scanner"
    severity = "malicious"
    score = 100
  strings:
    $eicar = "%s"
  condition:
    $eicar at 0 and filesize <= 128
}

rule eicar_test_string : test {
  meta:
    description = "The EICAR test string somewhere in a file that is not the test file"
    severity = "info"
    score = 10
  strings:
    $eicar = "%s"
  condition:
    $eicar and not eicar_test_file
}
"""


class RulesError(Exception):
    """Rules cannot be used; the text names the file and the line of every mistake."""


def rule_files(folder: Path) -> list[Path]:
    """Return the rule files (``*.yar``, ``*.yara``) in a folder and below it, in a fixed order.

    Raises:
        RulesError: The folder is not there, or there is none in it.
    """
    if not folder.is_dir():
        raise RulesError(f"the folder of rules {str(folder)!r} does not exist")
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".yar", ".yara") and path.is_file())
    if not files:
        raise RulesError(f"the folder of rules {str(folder)!r} has no *.yar or *.yara file in it")
    return files


def compile_rules(extra: Path | None = None) -> yara_x.Rules:
    """Return our own rules together with those in the folder `extra`, ready to scan with.

    Each file is a namespace of its own, named as the file below its folder: ``packers.yar``, ``extra/office/vba.yar``.

    Raises:
        RulesError: A file cannot be read or does not compile; every mistake is named.
    """
    sources = [(path, path.relative_to(OWN_RULES).as_posix()) for path in rule_files(OWN_RULES)]
    if extra is not None:
        sources += [(path, f"extra/{path.relative_to(extra).as_posix()}") for path in rule_files(extra)]
    rules, problems = _compiled(sources, extra)
    if problems:
        raise RulesError("the rules do not compile: " + "; ".join(problems))
    return rules


def _compiled(sources: list[tuple[Path, str]], extra: Path | None) -> tuple[yara_x.Rules, list[str]]:
    """Return the rules of these files, each with its namespace, and every mistake in them.

    Nothing is raised here: an exception keeps the compiler alive, which has to go on the thread that made it.
    """
    compiler = yara_x.Compiler()
    problems = []
    if extra is not None:
        compiler.add_include_dir(str(extra))
    for path, namespace in sources:
        try:
            source = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: {error}")
        else:
            problems += _add(compiler, namespace, source, str(path))
    literal = "".join(_EICAR).replace("\\", "\\\\")
    problems += _add(compiler, "eicar", _EICAR_RULE % (literal, literal), "eicar")
    return compiler.build(), problems


def _add(compiler: yara_x.Compiler, namespace: str, source: str, origin: str) -> list[str]:
    """Add a file's rules and return what is wrong with it, each as file, line and reason."""
    known = len(compiler.errors())
    compiler.new_namespace(namespace)
    try:
        compiler.add_source(source, origin=origin)
    except yara_x.CompileError:
        return [_problem(error, origin) for error in compiler.errors()[known:]]
    return []


def _problem(error: dict[str, object], origin: str) -> str:
    labels = error.get("labels")
    label = labels[0] if isinstance(labels, list) and labels else {}
    where = f"{label.get('code_origin') or origin}:{error.get('line', '?')}"
    return f"{where}: {error.get('title')}" + (f" ({label['text']})" if label.get("text") else "")
