"""What a task leaves in its folder, and what becomes of it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Scripted, do, running

from plugin_runtime.artifacts import Artifacts
from plugin_runtime.collecting import MAX_FILES, Collecting, Rules, result_name_of
from plugin_runtime.context import Context
from plugin_runtime.globs import matcher
from plugin_runtime.remove_tree import remove_tree


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**/*", ["a", "a/b", ".a/.b"], []),
        ("*", ["a", "a/b"], []),
        ("*.tmp", ["x.tmp", "a/b/x.tmp"], ["x.tmp/a", "xtmp"]),
        ("a/*", ["a/b"], ["a/b/c", "b/a/c"]),
        ("a/**", ["a/b", "a/b/c"], ["b"]),
        ("/a", ["a", "b/a"], []),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb"]),
        ("?[0-9].txt", ["a1.txt"], ["ab.txt", "1.txt"]),
        ("[!a]b", ["xb"], ["ab"]),
        ("[z-a]", ["[z-a]"], ["z"]),
        ("a[", ["a["], ["a"]),
        ("(a|b)+", ["(a|b)+"], ["ab"]),
    ],
)
def test_a_pattern_means_these_paths(pattern: str, yes: list[str], no: list[str]) -> None:
    match = matcher([pattern])
    assert [path for path in [*yes, *no] if match.fullmatch(path)] == yes


def test_no_pattern_means_no_path() -> None:
    assert not matcher([]).fullmatch("")
    assert matcher(["a", "b"]).fullmatch("b")


def test_what_is_collected_travels_as_text() -> None:
    collect = Collecting(artifacts=Rules(include=("a",), exclude=("b",), max_file_size=3), log_folder="/x")
    assert Collecting.from_text(collect.to_text()) == collect


@pytest.mark.parametrize("bad", ["", "{", "[]", "{}", '{"artifacts": 1}', "[" * 100_000], ids=len)
def test_what_is_no_collecting_is_a_value_error(bad: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Collecting.from_text(bad)


def test_a_name_fits_and_is_utf_8() -> None:
    assert result_name_of("artifacts", "a/b", "d" * 64) == "artifacts/a/b"
    assert result_name_of("artifacts", os.fsdecode(b"\xff\xc3\xbc"), "") == "artifacts/\\xffü"
    long = [result_name_of("artifacts", "ü" * 200 + str(number) + "/end.txt", f"{number:064}") for number in (1, 2)]
    assert all(len(name.encode()) <= 255 and name.endswith("end.txt") for name in long)


def collect(artifacts: Artifacts) -> tuple[list[str], str]:
    names: list[str] = []
    said = artifacts.collect(lambda name, _: names.append(name))
    return names, said


def test_only_regular_files_inside_are_collected_and_the_others_are_named(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path / "base"), 1, Collecting(artifacts=Rules(exclude=("*.tmp",), max_file_size=9)))
    folder = artifacts.folder
    assert folder == tmp_path / "base" / "1"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("b", "a", "deep/er/c", "no.tmp"):
        (folder / name).write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside" / "secret")
    (folder / "links").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        (folder / "large").write_bytes(b"x" * 10)
        (folder / os.fsdecode(b"\xff")).write_text("x")
        names, said = collect(artifacts)
    assert names == ["artifacts/a", "artifacts/b", "artifacts/\\xff", "artifacts/deep/er/c"]
    assert said == (
        "not collected: large (10 bytes, over max_file_size), link (a symbolic link), links (a symbolic link), "
        "pipe (a named pipe), socket (a socket)"
    )
    artifacts.remove()
    assert not folder.exists()
    assert (tmp_path / "outside" / "secret").exists()


def test_what_was_taken_is_not_collected_again(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "base").symlink_to(tmp_path / "real")
    artifacts = Artifacts(str(tmp_path / "base"), 1, Collecting())
    for name in ("a", "b", "c/d", "c/e", "ca"):
        (artifacts.folder / name).parent.mkdir(exist_ok=True)
        (artifacts.folder / name).write_text(name)
    artifacts.take(artifacts.folder / "c" / ".." / "a")
    artifacts.take(artifacts.folder / "c")
    assert collect(artifacts) == (["artifacts/b", "artifacts/ca"], "")


def test_no_more_than_so_many_are_collected_and_that_is_said(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path), 1, Collecting())
    for number in range(MAX_FILES + 1):
        (artifacts.folder / str(number)).touch()
    names, said = collect(artifacts)
    assert len(names) == MAX_FILES
    assert said == f"not collected: all after the first {MAX_FILES}"


def test_logs_of_others_are_collected_where_they_have_changed_and_stay(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("old.log", "grows.log"):
        (logs / name).write_text("x")
    artifacts = Artifacts(str(tmp_path / "base"), 1, Collecting(logs=Rules(), log_folder=str(logs)))
    (logs / "grows.log").write_text("xy")
    (logs / "new.log").write_text("x")
    (logs / "pushed.log").write_text("x")
    artifacts.take(logs / "pushed.log")
    assert collect(artifacts) == (["external_logs/grows.log", "external_logs/new.log"], "")
    artifacts.remove()
    assert len(list(logs.iterdir())) == 4


def test_a_log_folder_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    assert collect(Artifacts("", 1, Collecting(logs=Rules(), log_folder=str(tmp_path / "none")))) == ([], "")


def write(*names: str) -> Callable[[Context], None]:
    def on_task(ctx: Context) -> None:
        for name in names:
            (ctx.artifact_dir / name).write_text(name)

    return on_task


def test_files_become_results_and_the_folder_goes(tmp_path: Path) -> None:
    task, _ = do(write("a", "b"), artifacts=str(tmp_path))
    assert [(name, data) for name, _, data in task.results] == [("artifacts/a", b"a"), ("artifacts/b", b"b")]
    assert task.error is None
    assert list(tmp_path.iterdir()) == []


def test_a_large_one_goes_by_its_path_and_is_there_until_it_was_taken(tmp_path: Path) -> None:
    with running(Scripted(on_task=write("a")), artifacts=str(tmp_path), file_ref_threshold=0) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: task.receive(grant=False) or bool(task.files))
        assert task.files == [("artifacts/a", str(tmp_path / "1" / "a"))]
        assert Path(task.files[0][1]).read_text() == "a"
        task.stream.grant()
        supervisor.finish(task)
    assert list(tmp_path.iterdir()) == []


def test_what_was_pushed_or_marked_is_no_result_twice(tmp_path: Path) -> None:
    def on_task(ctx: Context) -> None:
        write("a", "b", "c")(ctx)
        ctx.results().push_file("mine", ctx.artifact_dir / "a")
        ctx.mark_collected(str(ctx.artifact_dir / "b"))

    assert do(on_task, artifacts=str(tmp_path))[0].names == ["mine", "artifacts/c"]


def test_a_task_that_fails_leaves_its_files_too(tmp_path: Path) -> None:
    def on_task(ctx: Context) -> None:
        write("a")(ctx)
        raise ValueError("bad header")

    task, _ = do(on_task, artifacts=str(tmp_path))
    assert task.names == ["artifacts/a"]
    assert task.error is not None
    assert task.error.endswith("ValueError: bad header")
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_collected_is_a_warning(tmp_path: Path) -> None:
    task, _ = do(lambda ctx: (ctx.artifact_dir / "x").symlink_to("/etc/passwd"), artifacts=str(tmp_path))
    assert task.warnings == ["not collected: x (a symbolic link)"]


def test_collecting_can_be_switched_off(tmp_path: Path) -> None:
    collect = Collecting(artifacts=Rules(enabled=False))
    task, _ = do(write("a"), artifacts=str(tmp_path), collect=collect)
    assert task.names == []
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_task_leaves_nothing(tmp_path: Path) -> None:
    def on_task(ctx: Context) -> None:
        write("a")(ctx)
        while not ctx.cancelled:
            pass

    with running(Scripted(on_task=on_task), artifacts=str(tmp_path)) as supervisor:
        supervisor.ready()
        task = supervisor.send(1)
        supervisor.until(lambda: (tmp_path / "1" / "a").exists())
        supervisor.cancel(1)
        supervisor.finish(task)
    assert task.names == []
    assert task.error == "the task was cancelled"
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_names_a_folder_it_is_a_temporary_one() -> None:
    folders: list[Path] = []

    def on_task(ctx: Context) -> Any:
        folders.append(ctx.artifact_dir)
        write("a")(ctx)

    assert do(on_task)[0].names == ["artifacts/a"]
    assert not any(folder.exists() for folder in folders)


def test_a_folder_is_removed_whatever_is_in_it(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (top / "link").symlink_to(outside)
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):  # deeper than a path, or Python's recursion, can be
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    for name in ("a", "b"):
        (top / "shut" / name).mkdir(parents=True)
        (top / "shut" / name / "file").touch()
        (top / "shut" / name).chmod(0)
    (top / "shut").chmod(0)
    remove_tree(str(top))
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert outside.stat().st_mode & 0o777 == 0o500
    with pytest.raises(FileNotFoundError):
        remove_tree(str(top))
