"""Verify finds whatever differs from what was written."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.ctprep import app
from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.store.attributes import Grid
from ctprep.store.layout import array_document, group_document
from ctprep.store.shard import checksum, join_chunks
from ctprep.store.store import VolumeStore
from ctprep.verify.finding import Finding
from ctprep.verify.verify import verify_store
from ctprep.verify.volume import FILES, find_faults
from tests.ctprep.verify.damage import KEY, SHARD, files_of, flip, verdicts


@pytest.mark.parametrize("name", ["hifi.zarr", "jpeg.zarr"])
def test_a_store_as_it_was_written_is_sound(made, name) -> None:
    """Every volume is told, and nothing else."""
    findings = list(verify_store(made / name))

    assert [(f.scan_id, f.verdict) for f in findings] == [(f"scan-{n}", "sound") for n in range(3)]
    assert all(finding.settled for finding in findings)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", ["hifi.zarr", "jpeg.zarr"])
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(offset=st.integers(0, 10**7), mask=st.integers(1, 255))
def test_any_flipped_byte_is_found(made, name, file, offset, mask) -> None:
    """Of the shard, of the array's metadata and of the volume's own."""
    path = made / name / "scan-1" / file
    whole = path.read_bytes()
    try:
        flip(path, offset, mask)
        faults = find_faults(VolumeStore.open(made / name), "scan-1")
    finally:
        path.write_bytes(whole)

    assert faults


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["hifi", "jpeg"])
def test_every_byte_counts(tmp_path, tiny, kind, file) -> None:
    """One bit of every byte of a very small volume in turn, none left out."""
    tiny.nifti(tmp_path / "source/scan-1.nii")
    grid = Grid(name="least", spacing_mm=(12.0, 12.0, 12.0), shape=(16, 8, 8))
    list(ingest(tmp_path / "source", tmp_path / "hifi.zarr", grid=grid, key=KEY))
    list(compress_store(tmp_path / "hifi.zarr", tmp_path / "jpeg.zarr"))
    store = VolumeStore.open(tmp_path / f"{kind}.zarr")
    path = store.path / "scan-1" / file
    whole = path.read_bytes()
    unseen = []
    try:
        for offset in range(len(whole)):
            flip(path, offset, 1 << offset % 8)
            if not find_faults(store, "scan-1"):
                unseen.append(offset)
            path.write_bytes(whole)
    finally:
        path.write_bytes(whole)

    assert unseen == []


@pytest.mark.parametrize("keep", [0, 10, -1])
@pytest.mark.parametrize("file", FILES)
def test_a_file_cut_short_is_found(place, file, keep) -> None:
    """Empty, nearly empty, and one byte short."""
    path = place / "jpeg.zarr/scan-0" / file
    path.write_bytes(path.read_bytes()[:keep])

    assert verdicts(verify_store(place / "jpeg.zarr")).keys() == {"scan-0"}


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_found(place, file) -> None:
    """Also the one by which a volume is known."""
    (place / "jpeg.zarr/scan-0" / file).unlink()

    assert verdicts(verify_store(place / "jpeg.zarr")) == {"scan-0": "damaged"}


def test_bytes_between_chunks_are_found(place) -> None:
    """The index is sound and each chunk too, but the shard holds more than its chunks."""
    path = place / "hifi.zarr/scan-0" / SHARD
    shard = path.read_bytes()
    index_bytes = len(shard) - 4 - 16 * 2
    path.write_bytes(shard[:index_bytes] + b"more" + shard[index_bytes:])

    assert verdicts(verify_store(place / "hifi.zarr")) == {"scan-0": "damaged"}


def test_a_chunk_that_was_damaged_before_it_was_summed_is_found(place) -> None:
    """Checksums fit, and still it does not decode."""
    store = VolumeStore.open(place / "jpeg.zarr")
    chunks = [b"no picture", None]
    sums = [checksum(chunks[0]), None]
    (store.path / "scan-0" / SHARD).write_bytes(join_chunks(chunks))
    document = array_document("jpeg", store.attributes.grid, store.attributes.quality, sums)
    (store.path / "scan-0/0/zarr.json").write_bytes(document)

    told = [fault.what for fault in find_faults(store, "scan-0")]
    assert any("chunk 0" in what and "checksum" not in what for what in told)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("scan_id", "scan-2", "scan 'scan-2'"),
        ("content", [[0, 99], [0, 4], [0, 4]], "content"),
        ("content", [[4, 4], [0, 4], [0, 4]], "content"),
        ("affine_ras", np.diag([9.0, 9.0, 9.0, 1.0]).tolist(), "spacing"),
        ("affine_ras", np.diag([4.0, 4.0, 4.0, 1.0]).tolist(), "SPL"),
        ("quality", {"nbytes": 1, "ratio": 1.0, "psnr_db": 1.0, "ssim": 1.0}, "compression"),
        ("color", "red", "color"),
        ("patient_id", None, "patient_id"),
    ],
)
def test_metadata_that_do_not_fit_the_store_are_found(place, field, value, told) -> None:
    """Written whole, with a checksum of its own, and still wrong."""
    path = place / "hifi.zarr/scan-1/zarr.json"
    attributes = json.loads(path.read_bytes())["attributes"]
    del attributes["ctprep_crc32c"]
    attributes["ctprep"][field] = value
    path.write_bytes(group_document(attributes))

    (finding,) = [f for f in verify_store(place / "hifi.zarr") if f.verdict != "sound"]

    assert (finding.scan_id, finding.verdict) == ("scan-1", "mismatched")
    assert told in finding.what


def test_a_volume_of_another_store_is_found(place) -> None:
    """A hi-fi volume copied into a JPEG store, or a volume copied under another name."""
    shutil.copytree(place / "hifi.zarr/scan-0", place / "jpeg.zarr/scan-7")
    shutil.copytree(place / "jpeg.zarr/scan-0", place / "jpeg.zarr/scan-8")

    assert verdicts(verify_store(place / "jpeg.zarr")) == {
        "scan-7": "mismatched",
        "scan-8": "mismatched",
    }


def test_metadata_without_a_checksum_are_told_and_left(place, tiny_grid) -> None:
    """Another version wrote them: nothing is known to be wrong, so nothing is moved."""
    path = place / "hifi.zarr/scan-1/zarr.json"
    document = json.loads(path.read_bytes())
    del document["attributes"]["ctprep_crc32c"]
    path.write_text(json.dumps(document))

    (finding,) = [f for f in verify_store(place / "hifi.zarr", repair=True) if f.verdict != "sound"]

    assert (finding.verdict, finding.settled, finding.mended) == ("unchecked", False, None)
    assert path.exists()


def test_a_volume_that_is_not_bound_to_its_voxels_is_unchecked(place) -> None:
    """An earlier version noted no checksum of the array; reading it is not refused either."""
    path = place / "hifi.zarr/scan-1/zarr.json"
    attributes = json.loads(path.read_bytes())["attributes"]
    del attributes["ctprep_crc32c"], attributes["ctprep_array_crc32c"]
    path.write_bytes(group_document(attributes))
    VolumeStore.open(place / "hifi.zarr").check_bound("scan-1")

    (finding,) = [f for f in verify_store(place / "hifi.zarr") if f.verdict != "sound"]

    assert (finding.verdict, finding.what) == (
        "unchecked",
        "its zarr.json has no checksum of its array's",
    )


def test_an_altered_store_is_not_judged_by(place) -> None:
    """By a wrong quality every volume would be wrong, and a repair would move them all."""
    path = place / "jpeg.zarr/zarr.json"
    path.write_bytes(path.read_bytes().replace(b'"quality": 90', b'"quality": 91'))
    before = files_of(place / "jpeg.zarr")

    findings = list(verify_store(place / "jpeg.zarr", repair=True))

    assert [finding.verdict for finding in findings] == ["store-altered"]
    assert files_of(place / "jpeg.zarr") == before


@pytest.mark.slow
def test_workers_find_the_same(place) -> None:
    """Two processes, the same findings."""
    flip(place / "hifi.zarr/scan-1" / SHARD, 9)

    def key(finding: Finding) -> str:
        return str(finding.scan_id)

    alone = sorted(verify_store(place / "hifi.zarr"), key=key)
    assert sorted(verify_store(place / "hifi.zarr", workers=2), key=key) == alone


def test_the_command_tells_and_exits_with_3(place) -> None:
    """Clean is 0, a difference 3, also as JSON; no store is 1."""

    def call(*arguments: str):
        return CliRunner().invoke(app, ["verify", "--workers", "1", *arguments])

    store = str(place / "jpeg.zarr")
    clean = call(store)
    flip(place / "jpeg.zarr/scan-0" / SHARD, 5)
    told, as_json = call(store), call(store, "--json")
    mended = call(store, "--repair", "--from", str(place / "hifi.zarr"))

    assert (clean.exit_code, clean.output) == (0, "verify: 3 sound\n")
    assert told.exit_code == as_json.exit_code == 3
    assert "damaged scan-0: chunk 0 does not match its checksum" in told.output
    assert "ctprep compress HIFI jpeg.zarr --quality 90 --window -600 1500" in told.output
    rows = [json.loads(line) for line in as_json.output.splitlines()]
    assert [row["verdict"] for row in rows] == ["damaged", "sound", "sound"]
    assert mended.exit_code == 0
    assert "made again" in mended.output
    assert call(str(place / "absent.zarr")).exit_code == 1


def test_metadata_too_deep_to_read_are_told(place) -> None:
    """Of brackets alone, which a parser gives up on."""
    (place / "hifi.zarr/scan-1/zarr.json").write_text("[" * 100_000)
    (place / "hifi.zarr/scan-2/0/zarr.json").write_text("[" * 100_000)

    found = verdicts(verify_store(place / "hifi.zarr"))
    assert (found["scan-1"], found["scan-2"]) == ("altered", "altered")
