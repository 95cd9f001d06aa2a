"""What counts as too little memory, and what does not."""

from typing import NoReturn

import pytest
import torch

from ctprep.reports.device import choose_device, try_in_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_too_little_memory_is_none(error: Exception) -> None:
    """Whatever it is told by."""

    def run() -> NoReturn:
        raise error

    assert try_in_memory(run) is None


def test_other_faults_stay() -> None:
    """They are bugs, and keep their traceback; results pass."""

    def run() -> NoReturn:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        try_in_memory(run)
    assert try_in_memory(lambda: 3) == 3


@pytest.mark.parametrize(
    ("gpu", "bf16", "expected"),
    [
        (False, False, ("cpu", torch.float32)),
        (True, True, ("cuda", torch.bfloat16)),
        (True, False, ("cuda", torch.float16)),
    ],
)
def test_numbers_by_device(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, bf16: bool, expected: tuple[str, torch.dtype]
) -> None:
    """Halves only on a GPU, and those of the wider range where it has them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)

    assert choose_device() == expected
