"""Which plugins a name or a pattern means."""

import pytest

from malbox_cli.manifest.select import NoSuchPlugin, matching

IDS = ("file-info", "yara-1", "yara-2", "pe")


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (("pe",), ("pe",)),
        (("pe", "file-info"), ("file-info", "pe")),
        (("yara-*",), ("yara-1", "yara-2")),
        (("yara-?", "yara-1"), ("yara-1", "yara-2")),
        (("yara-[2-9]",), ("yara-2",)),
        (("*",), IDS),
        ((), ()),
    ],
)
def test_each_that_fits_is_found_once_in_the_manifests_order(patterns: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert matching(patterns, IDS) == found


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("yaro-1", "there is no plugin 'yaro-1' (did you mean 'yara-1'?)"),
        ("zzz", "there is no plugin 'zzz'; there are file-info, yara-1, yara-2, pe"),
        ("z*", "no plugin fits 'z*'; there are file-info, yara-1, yara-2, pe"),
        ("", "there is no plugin ''; there are file-info, yara-1, yara-2, pe"),
    ],
)
def test_what_fits_none_is_refused_with_those_that_there_are(pattern: str, message: str) -> None:
    with pytest.raises(NoSuchPlugin) as refused:
        matching((*IDS, pattern), IDS)
    assert str(refused.value) == message


GROUPS = {"yara-1": "yara", "yara-2": "yara", "file-info": ""}


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (("yara",), ("yara-1", "yara-2")),
        (("yara-2",), ("yara-2",)),
        (("yar?", "pe"), ("yara-1", "yara-2", "pe")),
        (("yara", "yara-1"), ("yara-1", "yara-2")),
        (("*",), IDS),
    ],
)
def test_the_name_of_a_group_means_all_in_it(patterns: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert matching(patterns, IDS, GROUPS) == found


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("yaar", "there is no plugin 'yaar' (did you mean 'yara'?)"),
        ("yara-3", "there is no plugin 'yara-3' (did you mean 'yara-2'?)"),
        ("zzz", "there is no plugin 'zzz'; there are file-info, yara, pe"),
    ],
)
def test_of_a_group_its_name_is_proposed(pattern: str, message: str) -> None:
    with pytest.raises(NoSuchPlugin) as refused:
        matching((pattern,), IDS, GROUPS)
    assert str(refused.value) == message


def test_where_there_is_no_plugin_nothing_is_proposed() -> None:
    with pytest.raises(NoSuchPlugin, match=r"there is no plugin 'a'$"):
        matching(("a",), ())
