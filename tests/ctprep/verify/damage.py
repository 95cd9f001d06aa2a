"""Damage to a store, and what is told of it."""

from pathlib import Path

KEY = b"0123456789abcdef"
SHARD = "0/c/0/0/0"


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip(path: Path, offset: int = 0, mask: int = 1) -> None:
    """Change bits of one byte."""
    content = bytearray(path.read_bytes())
    content[offset % len(content)] ^= mask
    path.write_bytes(content)


def verdicts(findings) -> dict[str | None, str]:
    """Verdict by scan id of all that is not sound."""
    return {f.scan_id: f.verdict for f in findings if f.verdict != "sound"}
