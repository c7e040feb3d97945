"""What a file is by its first bytes, whatever its name says."""

KINDS = {
    b"PAR1": "parquet",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z",
    b"ARROW1": "Arrow IPC",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"SQLite format 3\x00": "a SQLite database",
    b"%PDF": "PDF",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
"""How files begin that are taken for one another."""

ENDING_OF = {"parquet": ".parquet", "zip": ".csv.zip", "CSV": ".csv"}


def content_kind(content: bytes) -> str:
    """What a file's bytes are, by how they begin: parquet, zip, CSV for any text in UTF-8, or the name of something else."""
    if not content:
        return "nothing (0 bytes)"
    known = next((kind for begin, kind in KINDS.items() if content.startswith(begin)), None)
    if known is None and b"\0" in content:
        return "binary data, or text in UTF-16 or UTF-32"
    return known or "CSV"


def how_to_mend(kind: str, expected: str) -> str:
    """What to do about a file that holds something else than expected."""
    if kind in ENDING_OF:
        return f"give it the ending {ENDING_OF[kind]}, or put {expected} into it"
    if kind.startswith("nothing"):
        return "the copy has failed, copy it again"
    return f"unpack or convert it (text in UTF-8), so that it is {expected}"
