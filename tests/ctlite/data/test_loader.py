"""The loader delivers what the stores hold, in order, and cleans up after itself."""

import gc
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctlite import ranks
from ctlite.data import loader as loader_module
from ctlite.data.loader import THREAD_NAME, Loader
from ctlite.data.reports import Reports, ReportText
from ctprep.store.errors import (
    CheckpointError,
    RecipeError,
    StoreError,
    StoreMismatchError,
    TableError,
)
from ctprep.store.store import VolumeStore

MakeStore = Callable[..., VolumeStore]
SCANS = [f"s{index}" for index in range(7)]


def running_threads() -> list[str]:
    """Names of the loader's threads that are alive."""
    return [t.name for t in threading.enumerate() if t.name.startswith(THREAD_NAME)]


def damage(store: VolumeStore, scan_id: str) -> None:
    """Cut every file of a volume that holds voxels."""
    for path in store.path.rglob("*"):
        if path.is_file() and scan_id in str(path) and path.suffix != ".json":
            path.write_bytes(path.read_bytes()[:40])


def letters(texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
    """Stand in for a tokenizer: one token a letter, padded with 0."""
    longest = max(map(len, texts))
    return {
        "input_ids": [[ord(c) for c in text.ljust(longest, "\0")] for text in texts],
        "attention_mask": [[1] * len(text) + [0] * (longest - len(text)) for text in texts],
    }


def build_reports(texts: dict[str, str], **options: Any) -> Reports:
    """Make reports whose full and positive text is the same."""
    return Reports(
        {scan: ReportText(text, text) for scan, text in texts.items()}, letters, **options
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_hold_what_the_stores_hold(make_store: MakeStore, threads: int) -> None:
    """Both stores of the same scan, voxel by voxel, every scan once an epoch."""
    gray, hu = make_store("jpeg", SCANS), make_store("hifi", SCANS)
    loader = Loader(
        SCANS, gray_store=gray, hu_store=hu, batch_size=2, drop_last=False, threads=threads
    )

    seen = []
    for batch in loader.epoch(0):
        seen += batch.scan_ids
        assert batch.gray is not None
        assert batch.hu is not None
        for row, scan_id in enumerate(batch.scan_ids):
            np.testing.assert_array_equal(batch.gray[row].numpy(), gray.read(scan_id))
            np.testing.assert_array_equal(batch.hu[row].numpy(), hu.read(scan_id))

    assert sorted(seen) == SCANS
    assert seen != SCANS


def test_a_held_batch_is_never_overwritten(make_store: MakeStore) -> None:
    """Holding a batch, or a mere slice or NumPy view of it, keeps its memory."""
    store = make_store("jpeg", SCANS)
    loader = Loader(SCANS, gray_store=store, shuffle=False, prefetch=1)
    held: list[Any] = []

    for number, batch in zip(range(14), loader, strict=False):
        assert batch.gray is not None
        held.append([batch, batch.gray[0, 1:], batch.gray[0].numpy()[1:]][number % 3])
        del batch

    for number, kept in enumerate(held):
        expected = store.read(SCANS[number % 7])[1:]
        view = kept.gray[0, 1:] if number % 3 == 0 else kept
        np.testing.assert_array_equal(np.asarray(view), expected)


def test_memory_is_reused(make_store: MakeStore) -> None:
    """A consumer that holds one batch at a time sees `prefetch` + 2 buffers at most."""
    loader = Loader(SCANS, gray_store=make_store("jpeg", SCANS), prefetch=2)

    places = set()
    for batch in itertools.islice(loader, 40):
        assert batch.gray is not None
        places.add(batch.gray.data_ptr())

    assert 2 <= len(places) <= 4


def test_patients_and_reports_do_not_repeat(make_store: MakeStore) -> None:
    """No batch has two scans of a patient or two equal texts; tokens are those of its scans."""
    texts = dict(zip(SCANS, ["aa", "aa", "b", "ccc", "dd", "ee", "f"], strict=True))
    patients = dict(zip(SCANS, ["p", "q", "q", "r", "s", "t", "u"], strict=True))
    loader = Loader(
        SCANS,
        gray_store=make_store("jpeg", SCANS),
        reports=build_reports(texts),
        patients=patients,
        batch_size=3,
    )

    for batch in itertools.islice(loader, 8):
        assert len({texts[scan] for scan in batch.scan_ids}) == 3
        assert len({patients[scan] for scan in batch.scan_ids}) == 3
        assert batch.token_ids is not None
        assert batch.attention_mask is not None
        for scan, row, mask in zip(
            batch.scan_ids, batch.token_ids, batch.attention_mask, strict=True
        ):
            assert "".join(map(chr, row[mask.bool()].tolist())) == texts[scan]


def test_resuming_goes_on_where_it_stood(make_store: MakeStore) -> None:
    """A loader with another's state delivers the batches that one would have delivered."""
    store = make_store("jpeg", SCANS)

    def build(**options: Any) -> Loader:
        return Loader(SCANS, gray_store=store, batch_size=2, seed=5, **options)

    for steps in range(8):
        unbroken = [batch.scan_ids for batch in itertools.islice(build(), steps + 4)]
        first = build(prefetch=3)
        assert len(list(itertools.islice(first, steps))) == steps
        resumed = build()
        resumed.load_state_dict(first.state_dict())
        assert [b.scan_ids for b in itertools.islice(resumed, 4)] == unbroken[steps:]


def test_resuming_with_other_scans_is_refused(make_store: MakeStore) -> None:
    """A place in one order means nothing in another."""
    store = make_store("jpeg", SCANS)
    state = Loader(SCANS, gray_store=store).state_dict()

    assert state["texts_digest"] is None
    for other in (Loader(SCANS[1:], gray_store=store), Loader(SCANS, gray_store=store, seed=1)):
        with pytest.raises(CheckpointError, match="not the one the run was in") as caught:
            other.load_state_dict(state)
        assert "same scans" in caught.value.mend


@pytest.mark.parametrize(
    ("choice", "change", "is_refused"),
    [
        ("sentences", {"positive": "Mass."}, True),
        ("sentences", {"negative": "No mass."}, True),
        ("sentences", {"full": "other"}, False),
        ("mixed", {"full": "other"}, True),
        ("positive", {"positive": "Mass."}, True),
        ("positive", {"full": "other", "negative": ""}, False),
    ],
)
def test_resuming_with_other_texts_is_refused(
    make_store: MakeStore, choice: str, change: dict[str, str], is_refused: bool
) -> None:
    """What is drawn must be what was drawn; columns that nothing is drawn from may change."""
    store = make_store("jpeg", SCANS)
    texts = {
        scan: {"full": f"whole {scan}", "positive": f"Node {scan}.", "negative": "No fluid."}
        for scan in SCANS
    }

    def build() -> Loader:
        by_scan = {scan: ReportText(**own) for scan, own in texts.items()}
        return Loader(SCANS, gray_store=store, reports=Reports(by_scan, letters, choice=choice))

    state = build().state_dict()
    texts["s3"] |= change
    if not is_refused:
        build().load_state_dict(state)
        return
    with pytest.raises(CheckpointError, match="texts of reports are not those") as caught:
        build().load_state_dict(state)
    assert "same report table" in caught.value.mend


def test_ranks_load_different_scans(make_store: MakeStore) -> None:
    """Two processes share an epoch, and their states are interchangeable."""
    store = make_store("jpeg", SCANS)
    loaders = [Loader(SCANS, gray_store=store, rank=rank, world_size=2) for rank in (0, 1)]

    scans = [[batch.scan_ids[0] for batch in loader.epoch(0)] for loader in loaders]

    assert len(scans[0]) == len(scans[1]) == 3
    assert not set(scans[0]) & set(scans[1])
    assert loaders[0].state_dict() == loaders[1].state_dict()


def test_an_unreadable_volume_stops_with_its_name(make_store: MakeStore) -> None:
    """The thread's error comes out in the consumer, and the threads end."""
    store = make_store("jpeg", SCANS)
    damage(store, "s3")
    loader = Loader(SCANS, gray_store=store, batch_size=2)

    with pytest.raises(StoreError) as caught:
        list(loader.epoch(0))

    assert "s3" in str(caught.value)
    assert running_threads() == []


def test_a_bug_in_a_thread_keeps_its_type_and_names_the_scan(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a user can mend becomes a `CtError`."""
    store = make_store("jpeg", SCANS)
    monkeypatch.setattr(store, "read", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError) as caught:
        next(iter(Loader(SCANS, gray_store=store, shuffle=False)))

    assert caught.value.__notes__ == ["while reading scan s0"]


def test_a_quota_goes_without_unreadable_volumes(
    make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Batches shrink by the bad scans, the others stay whole, and one too many stops the run."""
    store = make_store("jpeg", SCANS)
    damage(store, "s1")
    damage(store, "s4")
    options: dict[str, Any] = {"gray_store": store, "shuffle": False, "batch_size": 4}
    loader = Loader(SCANS, **options, drop_last=False, unreadable_quota=2)

    with caplog.at_level(logging.WARNING):
        batches = list(loader.epoch(0))

    assert [batch.scan_ids for batch in batches] == [("s0", "s2", "s3"), ("s5", "s6")]
    assert batches[1].gray is not None
    np.testing.assert_array_equal(batches[1].gray[1].numpy(), store.read("s6"))
    assert loader.unreadable == ["s1", "s4"]
    assert "went without scan s1" in caplog.text
    # In the next epoch they are the same two.
    assert [batch.scan_ids for batch in loader.epoch(1)] == [batch.scan_ids for batch in batches]
    with pytest.raises(StoreError):
        list(Loader(SCANS, **options, drop_last=False, unreadable_quota=1).epoch(0))


def test_ranks_leave_out_the_same_batches(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What any rank lost all go without, in batch and quota alike, and it alone tells it."""
    scans = [f"s{number}" for number in range(8)]
    store = make_store("jpeg", scans)
    damage(store, "s0")
    batches = 0

    def gather(own: Any) -> list[Any]:
        # The other rank has lost its scan of the last of four batches.
        nonlocal batches
        batches += 1
        lost = {} if batches % 4 else {"s7": StoreError("gone", mend="look")}
        return [own, replace(own, rank=1, lost=lost)]

    monkeypatch.setattr(ranks, "gather_values", gather)
    options: dict[str, Any] = {"gray_store": store, "shuffle": False, "world_size": 2}
    loader = Loader(scans, **options, unreadable_quota=2)

    with caplog.at_level(logging.WARNING):
        seen = [batch.scan_ids for batch in loader.epoch(0)]

    assert seen == [("s2",), ("s4",)]
    assert loader.unreadable == ["s0", "s7"]
    assert caplog.text.count("went without") == 1
    with pytest.raises(StoreError, match="gone") as caught:
        list(Loader(scans, **options, unreadable_quota=1).epoch(0))
    assert caught.value.mend.endswith("--set data.unreadable_quota=2")


def test_ranks_that_come_to_no_batch_come_to_an_end(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One damaged scan may cost an epoch its only batch, all of them cost every one."""
    monkeypatch.setattr(loader_module, "IN_A_ROW", 3)
    store = make_store("jpeg", SCANS)
    for scan_id in SCANS:
        damage(store, scan_id)
    loader = Loader(SCANS, gray_store=store, batch_size=3, world_size=2, unreadable_quota=9)

    # Two batches an epoch: what is lost counts on from one to the next.
    for batches in (iter(loader), loader.anew()):
        with pytest.raises(StoreError, match="3 batches in a row were left out"):
            next(batches)


def test_anew_begins_with_the_first_epoch_and_leaves_the_state_alone(
    make_store: MakeStore,
) -> None:
    """Whatever was delivered before, and from epoch to epoch."""
    loader = Loader(SCANS, gray_store=make_store("jpeg", SCANS), batch_size=3)
    next(iter(loader))
    before = loader.state_dict()

    seen = [batch.scan_ids for batch in itertools.islice(loader.anew(), 5)]

    assert seen == [*loader.order(0), *loader.order(1), *loader.order(2)][:5]
    assert loader.state_dict() == before


@pytest.mark.parametrize("ending", ["close", "forget", "interrupt"])
def test_no_thread_is_left_behind(make_store: MakeStore, ending: str) -> None:
    """Closing the iterator, forgetting it, or Ctrl-C in the loop all end the threads."""
    loader = Loader(SCANS, gray_store=make_store("jpeg", SCANS))
    batches = iter(loader)
    next(batches)
    assert running_threads() != []

    if ending == "close":
        batches.close()
    elif ending == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            batches.throw(KeyboardInterrupt)
    del batches
    gc.collect()

    assert running_threads() == []


def test_missing_scans_are_told_before_anything_is_read(make_store: MakeStore) -> None:
    """The first few names and the store are in the error."""
    gray, hu = make_store("jpeg", SCANS), make_store("hifi", SCANS[:4])

    with pytest.raises(StoreError, match="3 of 7 scans are not in the hifi store") as caught:
        Loader(SCANS, gray_store=gray, hu_store=hu)

    assert "s4, s5, s6" in caught.value.what
    assert caught.value.where == "hifi.zarr"


def test_stores_that_do_not_belong_together_are_refused(make_store: MakeStore) -> None:
    """Another grid or the wrong kind is an error before any volume is read."""
    gray = make_store("jpeg", SCANS)
    other = make_store("hifi", SCANS, shape=(8, 24, 16))

    with pytest.raises(StoreMismatchError, match=r"\(8, 16, 24\) voxels"):
        Loader(SCANS, gray_store=gray, hu_store=other)
    with pytest.raises(StoreMismatchError, match="is a hifi store, wanted is jpeg"):
        Loader(SCANS, gray_store=other)
    with pytest.raises(RecipeError, match="no store"):
        Loader(SCANS)


def test_shared_sentences_do_not_hold_scans_back(make_store: MakeStore) -> None:
    """All scans with one sentence still fill a batch; each has its texts in it."""
    loader = Loader(
        SCANS,
        gray_store=make_store("jpeg", SCANS),
        reports=build_reports(dict.fromkeys(SCANS, "a."), choice="sentences", per_scan=2),
        batch_size=len(SCANS),
    )

    (batch,) = loader.epoch(0)

    assert batch.token_ids is not None
    assert len(batch.scan_ids) == len(SCANS)
    assert len(batch.token_ids) == 2 * len(SCANS)


def test_recipes_that_cannot_work_are_refused(make_store: MakeStore) -> None:
    """Missing reports or patients, unequal ranks and impossible batches."""
    store = make_store("jpeg", SCANS)
    texts = {"s0": "a"}

    with pytest.raises(TableError, match="6 of 7 scans have no report"):
        Loader(SCANS, gray_store=store, reports=build_reports(texts))
    with pytest.raises(RecipeError, match="6 scans have no patient"):
        Loader(SCANS, gray_store=store, patients={"s0": "p"})
    with pytest.raises(RecipeError, match="same size"):
        Loader(SCANS, gray_store=store, world_size=2, drop_last=False)
    with pytest.raises(RecipeError, match="rank 2"):
        Loader(SCANS, gray_store=store, rank=2, world_size=2)
    with pytest.raises(RecipeError, match="only 7 go together"):
        Loader(SCANS, gray_store=store, batch_size=8)


def test_a_batch_moves_whole(make_store: MakeStore) -> None:
    """`to` keeps the scans and moves every tensor there is."""
    batch = next(Loader(SCANS, gray_store=make_store("jpeg", SCANS)).epoch(0))

    moved = batch.to("meta")

    assert moved.scan_ids == batch.scan_ids
    assert len(moved) == 1
    assert moved.gray is not None
    assert moved.gray.device == torch.device("meta")
    assert moved.hu is None


def test_the_shards_of_a_moved_store_serve_as_well(make_store: MakeStore, tmp_path: Path) -> None:
    """A state is keyed by scan id: the same scans elsewhere resume it."""
    here = make_store("jpeg", SCANS)
    there = make_store("jpeg", SCANS, name="moved.zarr")
    state = Loader(SCANS, gray_store=here).state_dict()

    Loader(SCANS, gray_store=there).load_state_dict(state)

    assert here.path != there.path
