"""Writers of different volumes never trip over each other's temporary folders."""

from pathlib import Path

import pytest

from ctprep.store import commit


def test_another_writer_drops_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.partial` is there when it is made, and gone when one looks what it is."""
    (tmp_path / commit.PARTIAL).mkdir()
    looks = Path.is_dir
    monkeypatch.setattr(
        Path, "is_dir", lambda path, **how: path.name != commit.PARTIAL and looks(path, **how)
    )

    commit.write_folder(tmp_path, "scan", {"zarr.json": b"{}"})

    assert (tmp_path / "scan" / "zarr.json").read_bytes() == b"{}"
