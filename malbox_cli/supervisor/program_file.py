"""Looks at the file of a program that could not be started."""

import os
import stat
import struct

from malbox_cli.supervisor.start_errors import FileKind, ProgramFile

__all__ = ["look_at"]

HEAD_BYTES = 4096
ELF = b"\x7fELF"
PT_INTERP = 3
MAX_NAME_BYTES = 4096


def look_at(program: str) -> ProgramFile:
    """Return what can be seen of a program's file; of one that cannot be read, little."""
    try:
        status = os.stat(program)
    except PermissionError:
        return ProgramFile("hidden")
    except (OSError, ValueError):
        return ProgramFile("missing")
    if stat.S_ISDIR(status.st_mode):
        return ProgramFile("folder")
    if not stat.S_ISREG(status.st_mode):
        return ProgramFile("special")
    executable, noexec = os.access(program, os.X_OK), bool(os.statvfs(program).f_flag & os.ST_NOEXEC)
    try:
        with open(program, "rb") as file:
            head = file.read(HEAD_BYTES)
            kind, interpreter, machine = _contents(head, file.fileno())
    except OSError:
        return ProgramFile("unreadable", executable=executable, noexec=noexec)
    return ProgramFile(
        kind,
        executable=executable,
        noexec=noexec,
        interpreter=interpreter,
        interpreter_exists=os.path.exists(interpreter),
        interpreter_executable=os.access(interpreter, os.X_OK),
        machine=machine,
    )


def _contents(head: bytes, descriptor: int) -> tuple[FileKind, str, int]:
    """Return the kind of a file, its interpreter or loader, and the number of the machine that it is for."""
    if head.startswith(ELF) and len(head) >= 20:
        return "elf", _loader(head, descriptor), int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
    if head.startswith(b"#!"):
        # The kernel splits at spaces and tabs only: a carriage return belongs to the name.
        words = [word for word in head[2:].split(b"\n", 1)[0].replace(b"\t", b" ").split(b" ") if word]
        return "script", os.fsdecode(words[0]) if words else "", 0
    if not head:
        return "empty", "", 0
    return ("data" if b"\0" in head else "text"), "", 0


def _loader(head: bytes, descriptor: int) -> str:
    """Return the loader that a little-endian ELF file names, or nothing."""
    bits = {b"\2\1": 64, b"\1\1": 32}.get(head[4:6])
    if bits is None or len(head) < 64:
        return ""
    (table,) = struct.unpack_from("<Q" if bits == 64 else "<L", head, 32 if bits == 64 else 28)
    size, count = struct.unpack_from("<HH", head, 54 if bits == 64 else 42)
    header = struct.Struct("<L4xQ16xQ" if bits == 64 else "<LL8xL")
    for index in range(count):
        entry = os.pread(descriptor, header.size, table + index * size)
        if len(entry) < header.size:
            return ""
        kind, offset, length = header.unpack(entry)
        if kind == PT_INTERP:
            return os.fsdecode(os.pread(descriptor, min(length, MAX_NAME_BYTES), offset).rstrip(b"\0"))
    return ""
