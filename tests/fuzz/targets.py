"""What is fuzzed: valid files, how they are mutated, and the way by which they are read."""

import functools
import io
import os
import pickle
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pydicom
from pydicom.encaps import encapsulate, generate_frames

from ctprep.metadata import read_metadata
from ctprep.store.attributes import Kind
from ctprep.store.grids import load_grid
from ctprep.store.manifest import read_manifest
from ctprep.store.shard import join_chunks, split_chunks
from ctprep.store.tables import read_labels, read_raw_reports, read_reports, read_scans
from tests.fuzz import dicom_seeds, file_seeds, picture_seeds, store_seeds, table_seeds
from tests.fuzz.bench import Bench, Outcome
from tests.fuzz.chest import chest_hu
from tests.fuzz.mutations import mutate, mutate_dicom, mutate_json

CANARY = "fuzz-canary"
"""A file that only code out of an input would make."""


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Args:
        name: of the target.
        seed: makes the valid input.
        mutate: gives a mutated input.
        run: reads an input; whatever is no verdict is a failure.
    """

    name: str
    seed: Callable[[], bytes]
    mutate: Callable[[bytes, Random], bytes]
    run: Callable[[bytes, Bench], Outcome]

    def input(self, run_seed: int, number: int) -> bytes:
        """Make the input of a number; the first is the valid one."""
        seed = _once(self.seed)
        if number == 0:
            return self.mutate(seed, _Nothing())
        return self.mutate(seed, Random(f"{run_seed}/{self.name}/{number}"))


class _Nothing(Random):
    """Asks for no mutation."""


@functools.cache
def _once(seed: Callable[[], bytes]) -> bytes:
    return seed()


def mutated_within(
    pack: Callable[[bytes], bytes],
) -> Callable[[bytes, Random], bytes]:
    """Mutate the content before it is packed, or sometimes the packed file."""

    def change(content: bytes, random: Random) -> bytes:
        if isinstance(random, _Nothing):
            return pack(content)
        if random.random() < 0.7:
            return pack(mutate(content, random))
        return mutate(pack(content), random)

    return change


def mutated_by(
    *ways: Callable[[bytes, Random], bytes],
) -> Callable[[bytes, Random], bytes]:
    """Mutate in one of several ways."""

    def change(content: bytes, random: Random) -> bytes:
        if isinstance(random, _Nothing):
            return content
        return random.choice(ways)(content, random)

    return change


BYTES = mutated_by(mutate)
JSON = mutated_by(mutate, mutate_json, mutate_json)


def _pair(content: bytes) -> dict[str, bytes]:
    """Put beside a slice the one above it: alone it would be no volume."""
    second = content.replace(dicom_seeds.FIRST_Z, dicom_seeds.SECOND_Z)
    return {"0.dcm": content, "1.dcm": second}


def _series(content: bytes, bench: Bench) -> Outcome:
    """Read a series of two slices with the same mutations."""
    return bench.ingest(_pair(content))


def _deflated_series(content: bytes, bench: Bench) -> Outcome:
    second = content
    start = _body_at(content)
    try:
        body = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    except zlib.error:
        pass
    else:
        body = body.replace(dicom_seeds.FIRST_Z, dicom_seeds.SECOND_Z)
        second = content[:start] + _deflate(body)
    return bench.ingest({"0.dcm": content, "1.dcm": second})


def _body_at(content: bytes) -> int:
    # The group length is the first element behind the preamble and `DICM`, its value at 140.
    return min(144 + int.from_bytes(content[140:144], "little"), len(content))


def _deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _pack_deflated(content: bytes) -> bytes:
    start = _body_at(content)
    return content[:start] + _deflate(content[start:])


def _unpacked_deflated() -> bytes:
    content = dicom_seeds.dicom_file("deflated")
    start = _body_at(content)
    return content[:start] + zlib.decompress(content[start:], -zlib.MAX_WBITS)


def _lone_object(content: bytes, bench: Bench) -> Outcome:
    return bench.ingest({"0.dcm": content})


def _among_valid(content: bytes, bench: Bench) -> Outcome:
    """Read one mutated slice in a folder with valid ones of its series."""
    valid = _once(_EXPLICIT)
    z = (dicom_seeds.SECOND_Z, b"+6.7654330")
    others = [valid.replace(dicom_seeds.FIRST_Z, position) for position in z]
    return bench.ingest({"0.dcm": content, "1.dcm": others[0], "2": others[1]})


_EXPLICIT = partial(dicom_seeds.dicom_file, "explicit")
DICOM = mutated_by(mutate, mutate, mutate_dicom)


def _mutate_frame(content: bytes, random: Random) -> bytes:
    """Mutate the compressed picture alone: all else is as its decoder wants it."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([mutate(frame, random) or b"\0\0"])
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset)
    return buffer.getvalue()


COMPRESSED = mutated_by(mutate, mutate_dicom, _mutate_frame, _mutate_frame)
NATIVE = ("explicit", "implicit", "big-endian")


def _dicom_targets() -> list[Target]:
    targets = [
        Target(
            f"dicom-{name}",
            partial(dicom_seeds.dicom_file, name),
            DICOM if name in NATIVE else COMPRESSED,
            _series,
        )
        for name in dicom_seeds.SYNTAXES
        if name != "deflated"
    ]
    return [
        *targets,
        Target(
            "dicom-deflated", _unpacked_deflated, mutated_within(_pack_deflated), _deflated_series
        ),
        Target("dicom-sequences", dicom_seeds.sequences_file, DICOM, _series),
        Target("dicom-enhanced", dicom_seeds.enhanced_file, DICOM, _lone_object),
        Target("dicom-elements", _EXPLICIT, mutated_by(mutate_dicom), _series),
        Target("dicom-among-valid", _EXPLICIT, DICOM, _among_valid),
    ]


def _one_file(name: str, content: bytes, bench: Bench) -> Outcome:
    return bench.ingest({name: content})


def _file(name: str, seed: Callable[[], bytes], pack: Callable[[bytes], bytes] | None) -> Target:
    change = BYTES if pack is None else mutated_within(pack)
    label, _, file_name = name.partition(":")
    return Target(label, seed, change, lambda content, bench: _one_file(file_name, content, bench))


def _file_targets() -> list[Target]:
    nifti = partial(file_seeds.nifti_file, 1)
    npy = partial(file_seeds.npy_array, chest_hu())
    stored = partial(file_seeds.zipped, packed=False)
    member = partial(file_seeds.zipped, name="a/scan.nii")
    return [
        _file("nifti-1:scan.nii", nifti, None),
        _file("nifti-1-gz:scan.nii.gz", nifti, file_seeds.gzipped),
        _file("nifti-2:scan", partial(file_seeds.nifti_file, 2), None),
        _file("nifti-2-gz:scan.nii.gz", partial(file_seeds.nifti_file, 2), file_seeds.gzipped),
        _file("nrrd-raw:scan.nrrd", partial(file_seeds.itk_file, ".nrrd", packed=False), None),
        _file("nrrd-gzip:scan.nrrd", partial(file_seeds.itk_file, ".nrrd", packed=True), None),
        _file("mha-raw:scan.mha", partial(file_seeds.itk_file, ".mha", packed=False), None),
        _file("mha-zlib:scan.mha", partial(file_seeds.itk_file, ".mha", packed=True), None),
        _file("npz-stored:scan.npz", npy, stored),
        _file("npz-deflated:scan.npz", npy, file_seeds.zipped),
        _file("npz-pickle:scan.npz", _pickled, file_seeds.zipped),
        _file("zip-of-nifti:scans.zip", nifti, member),
        _file("zip-of-dicom:scans.zip", _EXPLICIT, lambda one: file_seeds.zip_of(_pair(one))),
        _file("tar-of-nifti:scans.tar", nifti, file_seeds.tarred),
        _file(
            "tgz-of-dicom:scans.tar.gz",
            _EXPLICIT,
            lambda one: file_seeds.gzipped(file_seeds.tar_of(_pair(one))),
        ),
    ]


def _picture_targets() -> list[Target]:
    def stack_of(suffix: str, content: bytes, bench: Bench) -> Outcome:
        return bench.ingest(picture_seeds.stack(suffix, content), pictures=True)

    def placed_by(content: bytes, bench: Bench) -> Outcome:
        return bench.ingest(picture_seeds.stack(".png", sidecar=content), pictures=True)

    return [
        *(
            Target(
                f"picture{suffix}".replace(".", "-"),
                partial(picture_seeds.picture, suffix),
                BYTES,
                partial(stack_of, suffix),
            )
            for suffix in (".png", ".jpg")
        ),
        Target("picture-sidecar", lambda: picture_seeds.SIDECAR, JSON, placed_by),
    ]


class _Payload:
    """Makes the canary when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (CANARY,)


def _pickled() -> bytes:
    array = np.empty((2, 3, 4), object)
    array[:] = _Payload()
    header = file_seeds.npy_array(np.empty(0, object), allow_pickle=True)
    header = header.replace(b"(0,)", b"(2, 3, 4)")
    return header.split(b"\n")[0] + b"\n" + pickle.dumps(array, 3)


@functools.cache
def _store_files(kind: Kind) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = store_seeds.make_store(Path(folder, "store"), kind).path
        return {
            file.relative_to(path).as_posix(): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }


def _store_target(name: str, kind: Kind, member: str) -> Target:
    change = JSON if member.endswith(".json") else BYTES
    return Target(
        name,
        lambda: _store_files(kind)[member],
        mutated_by(mutate, _mutate_a_chunk) if member == store_seeds.SHARD else change,
        lambda content, bench: bench.read_store(kind, member, content),
    )


def _mutate_a_chunk(shard: bytes, random: Random) -> bytes:
    """Mutate one encoded chunk, and lay the shard out anew: its index is valid."""
    chunks = [None if chunk is None else bytes(chunk) for chunk in split_chunks(shard, 2)]
    number = random.randrange(len(chunks))
    chunks[number] = mutate(chunks[number] or b"", random)
    return join_chunks(chunks)


def _table_target(
    name: str, file_name: str, seed: Callable[[], bytes], read: Callable[[Path], object]
) -> Target:
    return Target(
        name, seed, BYTES, lambda content, bench: bench.read_table(read, file_name, content)
    )


def _table_targets() -> list[Target]:
    return [
        _table_target("scans-csv", "scans.csv", lambda: table_seeds.SCANS, read_scans),
        _table_target("labels-csv", "labels.csv", lambda: table_seeds.LABELS, read_labels),
        _table_target("reports-csv", "raw.csv", lambda: table_seeds.REPORTS, read_raw_reports),
        _table_target(
            "raw-reports-parquet", "r.parquet", table_seeds.raw_reports_parquet, read_raw_reports
        ),
        _table_target("reports-parquet", "f.parquet", table_seeds.reports_parquet, read_reports),
        _table_target("manifest-toml", "input.toml", lambda: table_seeds.MANIFEST, read_manifest),
        _table_target("metadata-csv", "metadata.csv", lambda: table_seeds.METADATA, read_metadata),
        _table_target(
            "grid-toml", "grid.toml", lambda: table_seeds.GRID, lambda path: load_grid(str(path))
        ),
    ]


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *_dicom_targets(),
        *_file_targets(),
        *_picture_targets(),
        _store_target("jpeg-shard", "jpeg", store_seeds.SHARD),
        _store_target("hifi-shard", "hifi", store_seeds.SHARD),
        _store_target("array-json", "jpeg", store_seeds.ARRAY),
        _store_target("array-json-hifi", "hifi", store_seeds.ARRAY),
        _store_target("volume-json", "hifi", store_seeds.VOLUME),
        _store_target("corpus-json", "jpeg", "zarr.json"),
        _store_target("catalog-parquet", "hifi", "catalog.parquet"),
        *_table_targets(),
    )
}
"""By name."""
