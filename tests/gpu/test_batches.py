"""Batches go to a GPU while the next are decoded, and none is overwritten on its way."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ctlite.data import batch as batch_module
from ctlite.data.batch import Batch
from ctlite.data.buffers import BufferPool
from ctlite.data.loader import Loader
from ctlite.data.volumes import to_video

SCANS = [f"s{index}" for index in range(7)]
SHAPE = (4, 32, 128, 128)
"""Two megabytes of gray levels, whose copy takes longer than Python takes to go on."""


def busy(device: torch.device) -> None:
    """Give the stream work, behind which copies have to wait."""
    if device.type == "cuda":
        torch.cuda._sleep(20_000_000)


def test_batches_are_the_stores_voxels(gpu: torch.device, make_store) -> None:
    """Over many epochs of an endless loader, whose memory is used again and again."""
    gray, hu = make_store("jpeg", SCANS), make_store("hifi", SCANS)
    expected = {scan: (gray.read(scan), hu.read(scan)) for scan in SCANS}
    loader = Loader(SCANS, gray_store=gray, hu_store=hu, batch_size=2, prefetch=1, threads=2)
    moved = []
    for batch in itertools.islice(loader, 60):
        assert batch.gray is not None
        assert batch.gray.is_pinned() == (gpu.type == "cuda")
        busy(gpu)
        moved.append(batch.to(gpu))
        del batch

    for batch in moved:
        assert batch.gray is not None
        assert batch.hu is not None
        for row, scan in enumerate(batch.scan_ids):
            np.testing.assert_array_equal(batch.gray[row].cpu().numpy(), expected[scan][0])
            np.testing.assert_array_equal(batch.hu[row].cpu().numpy(), expected[scan][1])


def lent(pool: BufferPool, count: int) -> Iterator[Batch]:
    """Batches whose every voxel is the number of the batch, in memory that comes back."""
    for number in range(count):
        buffer = pool.take()
        buffer.fill(number)
        yield Batch(("s",) * len(buffer), gray=pool.lend(buffer, len(buffer)))


def wrong_batches(gpu: torch.device, count: int = 200) -> list[int]:
    """Numbers of the batches that arrived with voxels of another one."""
    pool = BufferPool(SHAPE, torch.uint8, keep=2, is_pinned=gpu.type == "cuda")
    arrived = []
    for number, batch in enumerate(lent(pool, count)):
        if number % 20 == 0:
            busy(gpu)
        moved = batch.to(gpu)
        del batch
        assert moved.gray is not None
        # Reduced on the device, so that all batches need not be held.
        arrived.append(torch.stack([moved.gray.amin(), moved.gray.amax()]))
    pairs = torch.stack(arrived).tolist()
    return [number for number, pair in enumerate(pairs) if pair != [number, number]]


def test_memory_is_not_used_again_before_it_is_copied(gpu: torch.device) -> None:
    """Two hundred batches are let go of at once, behind work that holds their copies up."""
    assert wrong_batches(gpu) == []


def test_without_waiting_for_the_copy_it_would_be(
    cuda: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail."""
    monkeypatch.setattr(batch_module, "_hold_until_copied", lambda batch, device: None)

    assert wrong_batches(cuda)


def test_no_batch_is_held_for_ever(cuda: torch.device) -> None:
    """When its copy is done, the next call lets go of it."""
    pool = BufferPool(SHAPE, torch.uint8, keep=2, is_pinned=True)
    for batch in lent(pool, 10):
        batch.to(cuda)
        del batch
        torch.cuda.synchronize(cuda)

    assert len(batch_module._in_flight) <= 1
    batch_module._in_flight.clear()


def test_copies_are_in_the_order_of_the_current_stream(cuda: torch.device) -> None:
    """What is computed on another stream sees the whole batch, too."""
    pool = BufferPool(SHAPE, torch.uint8, keep=2, is_pinned=True)
    stream = torch.cuda.Stream(cuda)
    sums = []
    with torch.cuda.stream(stream):
        for number, batch in enumerate(lent(pool, 50)):
            busy(cuda)
            moved = batch.to(cuda)
            del batch
            assert moved.gray is not None
            sums.append((number, moved.gray.double().mean()))
    stream.synchronize()

    assert [mean.item() for _, mean in sums] == [number for number, _ in sums]


@pytest.mark.parametrize("hu_range", [None, (-1000.0, 1000.0), (-1000.0, 200.0)])
@pytest.mark.parametrize("orientation", ["SPL", "SLP", "IRA"])
def test_normalization_is_the_cpus(
    gpu: torch.device, hu_range: tuple[float, float] | None, orientation: str
) -> None:
    """All stored values, to one unit of float32's last place, turned and mirrored."""
    if hu_range is None:
        stored = torch.arange(256, dtype=torch.int16).to(torch.uint8).view(1, 4, 8, 8)
    else:
        stored = torch.arange(-2048, 4096, dtype=torch.int16).view(1, 6, 16, 64)
    options = {"stored_orientation": "SPL", "model_orientation": orientation}
    expected = to_video(stored, hu_range=hu_range, **options)
    found = to_video(stored.to(gpu), hu_range=hu_range, **options)

    assert found.device.type == gpu.type
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=2**-23)
