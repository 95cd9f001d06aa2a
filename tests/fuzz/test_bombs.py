"""Small files that unpack, or claim, to be huge: a verdict, and memory that stays small."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from ctprep.store import columns
from ctprep.store.errors import StoreError, TableError
from ctprep.store.jpeg import decode_gray, encode_gray
from ctprep.store.store import VolumeStore
from ctprep.store.tables import read_raw_reports
from tests.fuzz import dicom_seeds, file_seeds
from tests.fuzz.bench import Bench
from tests.fuzz.memory import bounded
from tests.fuzz.store_seeds import ARRAY, GRID, SCAN_ID, SHARD, make_store
from tests.fuzz.targets import _body_at, _deflate, _unpacked_deflated

MOST_BYTES = 100 << 20
"""Above what a reader takes for tiny files and its libraries, far below any bomb here."""
ZEROS = bytes(16 << 20)
TIMES = 128
"""2 GiB in all."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Where files are read."""
    return Bench(tmp_path)


def _zero_blocks() -> bytes:
    """Give deflate blocks that unpack to 16 MiB, and may be repeated."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)


def _deflated_end() -> bytes:
    return zlib.compressobj(9, wbits=-zlib.MAX_WBITS).flush()


def test_a_gzip_file_that_goes_on_and_on(bench: Bench) -> None:
    """NIfTI: 2 GiB behind a header that promises some kilobytes."""
    content = gzip.compress(file_seeds.nifti_file(1)) + gzip.compress(ZEROS) * TIMES

    with bounded(MOST_BYTES):
        assert bench.ingest({"scan.nii.gz": content}) == ("unreadable",)


def test_a_deflated_data_set(bench: Bench) -> None:
    """DICOM: the parser would unpack 2 GiB at once, to read the header."""
    content = _unpacked_deflated()
    start = _body_at(content)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = packer.compress(content[start:]) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = content[:start] + body + _zero_blocks() * TIMES + _deflated_end()

    with bounded(MOST_BYTES):
        assert bench.ingest({"scan.dcm": bomb}) == ("too-large",)


def test_a_deflated_data_set_of_common_size_is_read(bench: Bench) -> None:
    """The limit is for bombs: a scan that packs to a third passes it."""
    content = _unpacked_deflated()
    start = _body_at(content)
    second = content.replace(dicom_seeds.FIRST_Z, dicom_seeds.SECOND_Z)
    files = [part[:start] + _deflate(part[start:]) for part in (content, second)]

    assert bench.ingest({"0.dcm": files[0], "1.dcm": files[1]}) == ("accepted",)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_packed_image(bench: Bench, suffix: str) -> None:
    """MetaImage and NRRD: 2 GiB where kilobytes are promised."""
    whole = file_seeds.itk_file(suffix, packed=True)
    zeros = _zero_blocks() * TIMES + _deflated_end()
    if suffix == ".mha":
        header, packed = whole.split(b"LOCAL\n", 1)
        bomb = b"\x78\x9c" + zeros + bytes(4)
        size = b"CompressedDataSize = "
        header = header.replace(size + str(len(packed)).encode(), size + str(len(bomb)).encode())
        content = header + b"LOCAL\n" + bomb
    else:
        content = whole.split(b"\n\n", 1)[0] + b"\n\n" + gzip.compress(ZEROS) * TIMES

    with bounded(MOST_BYTES):
        assert bench.ingest({f"scan{suffix}": content}) == ("unreadable",)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_an_image_that_promises_too_much(bench: Bench, suffix: str) -> None:
    """A terabyte of voxels in some kilobytes: the engine refuses, or the file is cut off."""
    content = file_seeds.itk_file(suffix, packed=False)
    content = content.replace(b"32 32 6", b"9999 9999 9999")

    with bounded(MOST_BYTES):
        assert bench.ingest({f"scan{suffix}": content}) == ("too-large",)


def test_an_npz_member_of_zeros(bench: Bench) -> None:
    """A zip member of 64 MiB, with an array header that promises a few bytes."""
    header = file_seeds.npy_array(np.zeros((2, 8, 8), np.int16))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ct.npy", header + ZEROS * 4)

    with bounded(MOST_BYTES // 4):
        assert bench.ingest({"scan.npz": buffer.getvalue()}) == ("unreadable",)


def test_an_npz_header_that_promises_too_much(bench: Bench) -> None:
    """A terabyte of voxels in an archive of some kilobytes."""
    content = file_seeds.npy_array(np.zeros((2, 8, 8), np.int16))
    content = content.replace(b"(2, 8, 8), }          ", b"(99999, 9999, 999), } ")

    with bounded(MOST_BYTES):
        assert bench.ingest({"scan.npz": file_seeds.zipped(content)}) == ("unreadable",)


def _forged(syntax: str, side: int) -> bytes:
    """Write a slice whose compressed picture claims to be a square of this side."""
    dataset = pydicom.dcmread(io.BytesIO(dicom_seeds.dicom_file(syntax)))
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    narrow, wide = side.to_bytes(2, "big"), side.to_bytes(4, "big")
    size = (32).to_bytes(4, "big")
    forged = (
        frame.replace(size * 2, wide * 2)
        if syntax == "jpeg-2000"
        else frame.replace(b"\x00\x20\x00\x20", narrow * 2)
    )
    assert forged != frame or syntax == "rle"
    dataset.PixelData = encapsulate([forged])
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", ["jpeg-baseline", "jpeg-lossless", "jpeg-ls", "jpeg-2000"])
def test_a_compressed_slice_that_claims_to_be_huge(bench: Bench, syntax: str) -> None:
    """65,500 rows and columns in the picture, 32 in the data set."""
    first = _forged(syntax, 65500)
    second = first.replace(dicom_seeds.FIRST_Z, dicom_seeds.SECOND_Z)

    with bounded(MOST_BYTES):
        assert bench.ingest({"0.dcm": first, "1.dcm": second}) == ("undecodable",)


@pytest.mark.parametrize("syntax", ["explicit", "rle", "jpeg-2000"])
def test_a_data_set_that_claims_to_be_huge(bench: Bench, syntax: str) -> None:
    """65,535 rows and columns in the data set: more memory than the engine may use."""
    dataset = pydicom.dcmread(io.BytesIO(dicom_seeds.dicom_file(syntax)))
    dataset.Rows = dataset.Columns = 65535
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset)
    first = buffer.getvalue()
    second = first.replace(dicom_seeds.FIRST_Z, dicom_seeds.SECOND_Z)

    with bounded(MOST_BYTES):
        assert bench.ingest({"0.dcm": first, "1.dcm": second}) == ("too-large",)


def test_a_jpeg_chunk_that_claims_to_be_huge() -> None:
    """65,500 rows and columns in a chunk of some hundred bytes."""
    gray = np.zeros((32, 24), np.uint8)
    chunk = encode_gray(gray, 90).replace(b"\x00\x20\x00\x18", b"\xff\xdc\xff\xdc")

    with bounded(MOST_BYTES), pytest.raises(StoreError, match="65500"):
        decode_gray(chunk, gray)


def test_a_blosc_chunk_that_claims_to_be_huge(tmp_path: Path) -> None:
    """Four gibibytes in the header of a chunk."""
    store = make_store(tmp_path / "store", "hifi")
    shard = bytearray((store.path / SHARD).read_bytes())
    shard[4:8] = b"\xff\xff\xff\xff"
    (store.path / SHARD).write_bytes(shard)

    with bounded(MOST_BYTES), pytest.raises(StoreError, match="does not hold"):
        store.read(SCAN_ID)


def test_an_array_of_another_shape_than_the_grid(tmp_path: Path) -> None:
    """A terabyte, all of it fill value: nothing in the shard would speak against it."""
    store = make_store(tmp_path / "store", "hifi")
    document = json.loads((store.path / ARRAY).read_bytes())
    shape = [16, 300_000, 300_000]
    document["shape"] = document["chunk_grid"]["configuration"]["chunk_shape"] = shape
    document["codecs"][0]["configuration"]["chunk_shape"] = [8, *shape[1:]]
    (store.path / ARRAY).write_text(json.dumps(document))

    with bounded(MOST_BYTES), pytest.raises(StoreError, match="grid"):
        store.read(SCAN_ID)


def test_a_store_whose_grid_is_huge(tmp_path: Path) -> None:
    """Corpus and array agree on a petabyte."""
    store = make_store(tmp_path / "store", "hifi")
    shape = [16, 30_000_000, 3_000_000]
    for member in ("zarr.json", ARRAY):
        text = (store.path / member).read_text()
        document = json.loads(text)
        if member == "zarr.json":
            document["attributes"]["ctprep"]["grid"]["shape"] = shape
        else:
            document["shape"] = document["chunk_grid"]["configuration"]["chunk_shape"] = shape
            document["codecs"][0]["configuration"]["chunk_shape"] = [8, *shape[1:]]
        (store.path / member).write_text(json.dumps(document))
    assert GRID.shape != tuple(shape)

    with bounded(MOST_BYTES), pytest.raises(StoreError, match="memory"):
        VolumeStore.open(store.path).read(SCAN_ID)


def _repeated_text(path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(np.zeros(50_000, np.int32), ["x" * 50_000])
    table = pa.table({"scan_id": np.arange(50_000).astype(str), "report_text": text})
    pq.write_table(table, path, compression="zstd")


def _packed_csv(path: Path) -> None:
    path.write_bytes(gzip.compress(b"scan_id,report_text\na,") + gzip.compress(ZEROS) * TIMES)


@pytest.mark.parametrize(
    ("name", "write"), [("bomb.parquet", _repeated_text), ("bomb.csv.gz", _packed_csv)]
)
def test_a_table_that_unpacks_to_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: Callable[[Path], None]
) -> None:
    """One text in every row, stored once; or zeros. The limit is lowered, so that it is quick."""
    monkeypatch.setattr(columns, "MOST_TABLE_BYTES", 32 << 20)
    write(tmp_path / name)

    with bounded(MOST_BYTES), pytest.raises(TableError, match="larger"):
        read_raw_reports(tmp_path / name)
