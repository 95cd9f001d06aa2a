"""What looks at stores does so in a bucket too."""

import nibabel
import numpy as np
import pytest

from ctprep.compress import compress_store
from ctprep.ingest import ingest
from ctprep.look.corpus_stats import measure_corpus
from ctprep.look.export import export_store
from ctprep.look.preview import preview_store
from ctprep.look.store_summary import inspect_store, is_store
from ctprep.store.bucket import BucketPlace
from ctprep.store.errors import PlaceError
from ctprep.store.store import VolumeStore


@pytest.fixture(scope="module")
def buckets(tmp_path_factory, tiny, tiny_grid):
    """A hi-fi store and a JPEG store, both in memory."""
    folder = tmp_path_factory.mktemp("made")
    tiny.nifti(folder / "scan.nii.gz", 0)
    hifi, jpeg = "memory://look/hifi.zarr", "memory://look/jpeg.zarr"
    with pytest.MonkeyPatch.context() as patch:
        # Reports of a store in a bucket go into the current folder.
        patch.chdir(tmp_path_factory.mktemp("here"))
        list(ingest(folder, hifi, grid=tiny_grid, key=b"k" * 16))
        list(compress_store(hifi, jpeg))
    return hifi, jpeg


def test_every_tool_opens_a_url(buckets, tmp_path, monkeypatch) -> None:
    """Counted, exported and drawn as from a folder."""
    hifi, jpeg = buckets
    monkeypatch.setattr("ctprep.look.plotting.DPI", 25)

    assert is_store(hifi)
    assert inspect_store(jpeg).catalog == "current"
    assert measure_corpus(hifi).splits[0].scans == 1
    (item,) = export_store(hifi, tmp_path / "out", format="nifti")
    assert item.status == "stored"
    voxels = np.asarray(nibabel.load(tmp_path / "out" / "scan.nii.gz").dataobj)
    np.testing.assert_array_equal(voxels.transpose(2, 1, 0), VolumeStore.open(hifi).read("scan"))
    items = list(preview_store(hifi, tmp_path / "out", jpeg=jpeg))
    assert [item.name for item in items] == ["scan.png", "contact-sheet-1.png"]


def test_a_bucket_that_does_not_answer_ends_the_command(
    buckets, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of a volume, and would be one of each."""
    hifi, jpeg = buckets
    plain = BucketPlace.read

    def lost(place: BucketPlace, key: str) -> memoryview:
        if key.startswith("scan/"):
            raise PlaceError("the object store does not answer", mend="wait")
        return plain(place, key)

    monkeypatch.setattr(BucketPlace, "read", lost)

    with pytest.raises(PlaceError):
        list(export_store(hifi, tmp_path / "out", format="nifti"))
    with pytest.raises(PlaceError):
        list(preview_store(hifi, tmp_path / "out", jpeg=jpeg))
