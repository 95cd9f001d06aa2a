"""Training from a bucket sees what training from a folder sees."""

import json
from pathlib import Path

import obstore
import pytest
import torch

from ctlite.assembly import assemble
from ctlite.trainer import train
from ctprep.store.bucket import BucketPlace
from ctprep.store.errors import PlaceError, RecipeError


@pytest.fixture
def hosted_recipe(toy_recipe, toy_corpus: Path, bucket: str):
    """The toy recipe with its stores copied into a bucket: `hosted_recipe("fast")`."""
    target = obstore.store.from_url(bucket)
    for name in ("hifi.zarr", "q90.zarr"):
        for path in (toy_corpus / name).rglob("*"):
            if path.is_file():
                target.put(path.relative_to(toy_corpus).as_posix(), path.read_bytes())

    def make(stage: str, *overrides: str):
        stores = [f"data.hifi_store={bucket}/hifi.zarr", f"data.jpeg_store={bucket}/q90.zarr"]
        return toy_recipe(stage, *stores, *overrides)

    return make


def test_batches_are_those_of_a_folder(toy_recipe, hosted_recipe, bucket, requests) -> None:
    """The same scans, voxels and tokens, in the same order, and no request a volume to open."""
    here = assemble(toy_recipe("clip", "data.batch_size=2"))
    asked = requests.of(lambda: assemble(hosted_recipe("clip", "data.batch_size=2")))
    there = assemble(hosted_recipe("clip", "data.batch_size=2"))

    # Whether the store is there, its attributes, and the listing of its volumes.
    assert [line.split(" ")[0] for line in asked] == ["HEAD", "GET", "GET"]
    for one, other in zip(here.loader.epoch(0), there.loader.epoch(0), strict=True):
        assert one.scan_ids == other.scan_ids
        assert one.hu is not None
        assert one.hu.equal(other.hu)
        assert one.token_ids.equal(other.token_ids)


def test_a_run_from_a_bucket_has_the_losses_of_one_from_a_folder(
    toy_recipe, hosted_recipe, tmp_path: Path
) -> None:
    """Bit for bit; and its recipe keeps the URL."""
    losses = []
    for name, make in (("here", toy_recipe), ("there", hosted_recipe)):
        list(train(make("clip", "schedule.steps=1"), tmp_path / name))
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss/total"] for line in lines])

    assert losses[0] == losses[1]
    assert "s3://" in (tmp_path / "there" / "recipe.toml").read_text()


def test_a_cache_takes_every_shard_once(hosted_recipe, requests, tmp_path: Path) -> None:
    """From the second epoch on, the bucket only says that nothing has changed."""
    recipe = hosted_recipe("clip", f"data.cache={tmp_path / 'cache'}", "data.batch_size=7")
    loader = assemble(recipe).loader

    def epoch(number: int) -> list[torch.Tensor]:
        return [batch.hu.clone() for batch in loader.epoch(number) if batch.hu is not None]

    def files() -> set[int]:
        return {path.stat().st_ino for path in (tmp_path / "cache").iterdir()}

    first, kept = epoch(0), files()
    asked = requests.of(lambda: epoch(0))

    # Of each volume the array's metadata and the shard; the store's own metadata came first.
    assert len(asked) == 2 * 7
    assert len(kept) == 2 * 7 + 1
    # What is transferred again becomes a new file.
    assert files() == kept
    assert all(one.equal(other) for one, other in zip(first, epoch(0), strict=True))


def test_a_bucket_that_goes_away_spends_no_quota(hosted_recipe, monkeypatch) -> None:
    """The quota is for unreadable volumes; where nothing answers, none has been read."""
    loader = assemble(hosted_recipe("clip", "data.unreadable_quota=8")).loader

    def refuse(self: BucketPlace, key: str) -> memoryview:
        raise PlaceError("the object store does not answer", mend="check the network")

    monkeypatch.setattr(BucketPlace, "read", refuse)

    with pytest.raises(PlaceError, match="does not answer"):
        next(iter(loader))
    assert loader.unreadable == []


def test_a_store_that_is_not_there_is_named(toy_recipe, bucket: str) -> None:
    """With its key in the recipe and its URL."""
    with pytest.raises(RecipeError, match=r"data\.hifi_store: s3://.*none\.zarr"):
        assemble(toy_recipe("clip", f"data.hifi_store={bucket}/none.zarr"))
