"""Bootstrap intervals that draw patients, since scans of one patient are not independent."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

MIDDLE = (0.025, 0.975)


def patient_resamples(
    patients: Sequence[str], *, resamples: int, seed: int
) -> Float64[np.ndarray, "resample scan"]:
    """Draw patients with replacement, as many as there are, each with all their scans.

    Args:
        patients: the patient of every scan.
        resamples: how many samples to draw.
        seed: of the draws; the order of the patients' names matters, that of the scans does not.

    Returns:
        How often each scan is in each resample.
    """
    names, patient_of_scan = np.unique(np.asarray(patients), return_inverse=True)
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(names), (resamples, len(names)))
    offsets = np.arange(resamples)[:, None] * len(names)
    counts = np.bincount((drawn + offsets).ravel(), minlength=resamples * len(names))
    times: Float64[np.ndarray, "resample scan"] = counts.reshape(resamples, len(names))[
        :, patient_of_scan
    ].astype(np.float64)
    return times


def percentile_interval(values: Float64[np.ndarray, " resample"]) -> tuple[float, float]:
    """The middle 95 % of a metric over the resamples.

    Args:
        values: the metric by resample; NaN where it has no value there, which is left out.

    Returns:
        Lower and upper end; NaN when no resample has a value.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    kept = values[~np.isnan(values)]
    if not kept.size:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, MIDDLE)
    return float(low), float(high)
