"""Where the tests of CUDA run, in which arithmetic, and the tiny corpora that they share.

`CTLITE_GPU_TESTS_ON=cpu` runs the same lines on the CPU, to write them where there is no GPU.
"""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.ctlite.conftest import (  # noqa: F401 - fixtures
    load_encoder,
    make_store,
    set_splits,
    toy_corpus,
    toy_recipe,
)

# cuBLAS reads it once, and is deterministic with it alone.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            # Of the first product that a thread of autograd computes.
            item.add_marker(pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS"))


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """The device of the tests; skips where there is no CUDA device."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("CTLITE_GPU_TESTS_ON") == "cpu":
        return torch.device("cpu")
    pytest.skip("there is no CUDA device here")


@pytest.fixture
def cuda(gpu: torch.device) -> torch.device:
    """The device of what CUDA alone can do."""
    if gpu.type != "cuda":
        pytest.skip("this is of CUDA alone")
    return gpu


@pytest.fixture
def allow(cuda: torch.device) -> Iterator[Callable[[int | None], None]]:
    """Limit what this process takes beyond what it holds: `allow(bytes)`, `allow(None)`."""
    total = torch.cuda.get_device_properties(cuda).total_memory

    def limit(more: int | None) -> None:
        gc.collect()
        torch.cuda.empty_cache()
        share = 1.0 if more is None else (torch.cuda.memory_reserved(cuda) + more) / total
        torch.cuda.set_per_process_memory_fraction(share)

    yield limit
    limit(None)


@pytest.fixture(autouse=True)
def _full_float32() -> Iterator[None]:
    """Keep TF32 out of float32, whose ten bits no tolerance here has room for."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
