"""Scores on the terminal say where they are of too few patients."""

import numpy as np
import pytest

from cli.scores import show_scores
from ctlite.evaluate.scores import Scores
from ctlite.evaluate.summary import Sample, summarize
from ctlite.evaluate.zero_shot import PAPER_PROMPTS


def test_one_positive_scan_has_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    """Drawing it again and again gives an AUROC of 1.000 each time: that is told, and why."""
    scans = tuple(map(str, range(20)))
    labels = np.stack([np.arange(20) == 19, np.arange(20) % 2], axis=1).astype(float)
    sample = Sample(scans, scans, np.arange(40.0).reshape(20, 2), labels)
    level = summarize(sample, ["Mass", "Cyst"], np.array([1.0, 1.0]), resamples=9, seed=0)
    scores = Scores(
        run="r",
        store="s",
        store_kind="jpeg",
        bytes_per_volume=1,
        head_parameters=1,
        prompts=PAPER_PROMPTS,
        thresholds="tune",
        resamples=9,
        seed=0,
        levels={"reconstruction": level},
    )

    show_scores(scores, as_json=False)
    told = capsys.readouterr().out

    assert "1.000 (1.000 to 1.000)" not in told
    assert "for an interval: Mass (1 of at least 5 patients have it present)" in told
    assert "Cyst (" not in told
