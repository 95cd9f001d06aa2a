"""A worker that really runs out of memory costs its job, and no other."""

import time
from dataclasses import dataclass

import numpy as np
import pytest

from ctprep.engine import run
from ctprep.jobs import Item


@dataclass(frozen=True)
class Task:
    """A job that says it needs little."""

    name: str
    peak_bytes: int = 2**20

    @property
    def scan_id(self) -> str:
        """The same as the name."""
        return self.name


@pytest.mark.slow
def test_a_job_that_eats_more_than_it_said_is_refused() -> None:
    """Its worker is ended twice for the memory it fills; its neighbors are stored."""

    def work(job):
        if job.name == "greedy":
            # Touched, not only asked for, and held until somebody notices.
            held = [np.ones(2**25) for _ in range(4)]
            time.sleep(30)
            del held
        return Item("stored", job.name)

    jobs = [Task("modest"), Task("greedy"), Task("also-modest")]
    items = {item.name: item for item in run(work, jobs, workers=2, budget_bytes=800 * 2**20)}

    assert items["greedy"].verdict == "worker-killed"
    assert "memory" in str(items["greedy"].what)
    assert items["modest"].status == items["also-modest"].status == "stored"
