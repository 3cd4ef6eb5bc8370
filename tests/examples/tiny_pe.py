"""Make the smallest Windows program that a parser takes seriously: headers, sections, an import table, no code."""

import struct

SECTION_SIZE = 0x1000
HEADERS_SIZE = 0x400


def tiny_pe(sections: list[bytes], imports: dict[bytes, list[bytes]] | None = None) -> bytes:
    """Return a 32-bit program with sections of these names; the imports are in the last of them."""
    table_rva = SECTION_SIZE * len(sections)
    table = import_table(table_rva, imports) if imports else b""
    directories = [(0, 0)] * 16
    if table:
        directories[1] = (table_rva, len(table))
    dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = struct.pack("<HHIIIHH", 0x14C, len(sections), 0, 0, 0, 96 + 16 * 8, 0x102)
    optional = struct.pack(
        "<HBBIIIIIIIIIHHHHHHIIIIHHIIIIII",
        *(0x10B, 14, 0, 0, 0, 0, SECTION_SIZE, SECTION_SIZE, SECTION_SIZE, 0x400000, SECTION_SIZE, 0x200),
        *(6, 0, 0, 0, 6, 0, 0, SECTION_SIZE * (len(sections) + 1), HEADERS_SIZE, 0, 3, 0),
        *(0x100000, 0x1000, 0x100000, 0x1000, 0, 16),
    ) + b"".join(struct.pack("<II", *directory) for directory in directories)
    headers, bodies = b"", b""
    for number, name in enumerate(sections, 1):
        offset = HEADERS_SIZE + (number - 1) * SECTION_SIZE
        place = (SECTION_SIZE, number * SECTION_SIZE, SECTION_SIZE, offset)
        headers += struct.pack("<8sIIIIIIHHI", name, *place, 0, 0, 0, 0, 0xE0000020)
        bodies += (table if number == len(sections) else b"").ljust(SECTION_SIZE, b"\0")
    return (dos + b"PE\0\0" + coff + optional + headers).ljust(HEADERS_SIZE, b"\0") + bodies


def import_table(rva: int, imports: dict[bytes, list[bytes]]) -> bytes:
    """Return descriptors, then thunks, then names, as they stand at `rva`."""
    thunks_at = rva + 20 * (len(imports) + 1)
    names_at = thunks_at + sum(4 * (len(functions) + 1) for functions in imports.values())
    descriptors, thunks, names = b"", b"", b""
    for library, functions in imports.items():
        first_thunk = thunks_at + len(thunks)
        for function in functions:
            thunks += struct.pack("<I", names_at + len(names))
            names += b"\0\0" + function + b"\0"
        thunks += bytes(4)
        descriptors += struct.pack("<IIIII", first_thunk, 0, 0, names_at + len(names), first_thunk)
        names += library + b"\0"
    return descriptors + bytes(20) + thunks + names
