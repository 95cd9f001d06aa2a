"""Any bytes, and any mutation of a valid file, are read or end in a verdict."""

import json
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctprep.sources.dicom_header import read_headers
from ctprep.sources.files import SourceFile
from ctprep.sources.nifti import find_image
from ctprep.sources.nifti_header import read_nifti_header
from ctprep.sources.npz import find_npz
from ctprep.store.errors import CtError, StoreError
from ctprep.store.grids import load_grid
from ctprep.store.jpeg import decode_gray, encode_gray
from ctprep.store.layout import parse_array
from ctprep.store.manifest import read_manifest
from ctprep.store.reader import read_layout
from ctprep.store.shard import split_chunks
from ctprep.store.tables import read_labels, read_raw_reports, read_reports, read_scans
from tests.fuzz import dicom_seeds, file_seeds, table_seeds
from tests.fuzz.mutations import mutate
from tests.fuzz.store_seeds import ARRAY, make_store

quick = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""The folder of a test is written anew by every example."""


def _of_file(read):
    return lambda path: read(SourceFile(path.name, path))


READERS = {
    "scan.nii": (lambda: file_seeds.nifti_file(1), _of_file(read_nifti_header)),
    "scan.nii.gz": (
        lambda: file_seeds.gzipped(file_seeds.nifti_file(2)),
        _of_file(read_nifti_header),
    ),
    "scan.npz": (lambda: file_seeds.zipped(_npy()), _of_file(find_npz)),
    "scan.mha": (
        lambda: file_seeds.itk_file(".mha", packed=True),
        _of_file(lambda file: find_image(file, "mha", "scan")),
    ),
    "scan.nrrd": (
        lambda: file_seeds.itk_file(".nrrd", packed=False),
        _of_file(lambda file: find_image(file, "nrrd", "scan")),
    ),
    "scan.dcm": (lambda: dicom_seeds.dicom_file("explicit"), _of_file(read_headers)),
    "scans.csv": (lambda: table_seeds.SCANS, read_scans),
    "labels.csv": (lambda: table_seeds.LABELS, read_labels),
    "raw.csv": (lambda: table_seeds.REPORTS, read_raw_reports),
    "raw.csv.gz": (lambda: file_seeds.gzipped(table_seeds.REPORTS), read_raw_reports),
    "reports.parquet": (table_seeds.reports_parquet, read_reports),
    "input.toml": (lambda: table_seeds.MANIFEST, read_manifest),
    "grid.toml": (lambda: table_seeds.GRID, lambda path: load_grid(str(path))),
}
"""By file name: what makes a valid one, and what reads it."""


def _npy() -> bytes:
    return file_seeds.npy_array(np.zeros((2, 3, 4), np.int16))


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(tmp_path: Path, name: str) -> None:
    """The seeds are valid, so that their mutations get far into the readers."""
    make, read = READERS[name]
    (tmp_path / name).write_bytes(make())

    assert read(tmp_path / name) is not None


@pytest.mark.parametrize("name", READERS)
@quick
@given(content=st.binary(max_size=800))
def test_any_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    """Under the name of each format."""
    (tmp_path / name).write_bytes(content)

    with suppress(CtError):
        READERS[name][1](tmp_path / name)


@pytest.mark.parametrize("name", READERS)
@quick
@given(seed=st.integers(0, 2**32))
def test_any_mutation(tmp_path: Path, name: str, seed: int) -> None:
    """Of a valid file of each format."""
    make, read = READERS[name]
    (tmp_path / name).write_bytes(mutate(make(), Random(seed)))

    with suppress(CtError):
        read(tmp_path / name)


@given(shard=st.binary(max_size=300), count=st.integers(1, 9))
def test_any_shard(shard: bytes, count: int) -> None:
    """Its chunks lie within it, or it is damaged."""
    with suppress(StoreError):
        chunks = split_chunks(shard, count)
        assert len(chunks) == count


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_any_jpeg(data: bytes, seed: int) -> None:
    """Random bytes, and a valid picture that was mutated; the array around it is untouched."""
    valid = encode_gray(np.arange(48 * 32, dtype=np.uint8).reshape(48, 32), 90)
    for candidate in (data, mutate(valid, Random(seed))):
        around = np.full((50, 32), 77, np.uint8)
        with suppress(StoreError):
            decode_gray(candidate, around[1:-1])
        assert (around[[0, -1]] == 77).all()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(json_values)
def test_any_array_document(document: object) -> None:
    """Any JSON in place of an array's `zarr.json`."""
    with suppress(StoreError):
        parse_array(document)


@given(st.data())
def test_any_value_in_an_array_document(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    """A valid `zarr.json` with one value replaced; what is accepted has whole, positive sizes."""
    document = json.loads(_array_document(tmp_path_factory))
    holder = document
    while True:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else [0]))
        if not (isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans())):
            break
        holder = holder[key]
    holder[key] = data.draw(json_values)

    with suppress(StoreError):
        layout = parse_array(document)
        assert all(type(size) is int and size > 0 for size in (*layout.shape, layout.slices))


_DOCUMENTS: list[bytes] = []


def _array_document(factory: pytest.TempPathFactory) -> bytes:
    if not _DOCUMENTS:
        store = make_store(factory.mktemp("store") / "store", "jpeg")
        _DOCUMENTS.append((store.path / ARRAY).read_bytes())
    return _DOCUMENTS[0]


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000])
def test_json_nested_without_end(tmp_path: Path, content: bytes) -> None:
    """Deeper than Python's parser follows."""
    store = make_store(tmp_path / "store", "jpeg")
    (store.path / ARRAY).write_bytes(content)

    with pytest.raises(StoreError, match="not JSON"):
        read_layout(store.place, "scan_1")


def test_toml_nested_without_end(tmp_path: Path) -> None:
    """Likewise."""
    path = tmp_path / "input.toml"
    path.write_bytes(b"a = " + b"[" * 100_000)

    for read in (read_manifest, lambda path: load_grid(str(path))):
        with pytest.raises(CtError):
            read(path)
