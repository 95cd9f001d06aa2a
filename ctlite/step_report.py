"""What is told of a step, and how its numbers are named."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: int
    """Steps done, from 1."""
    steps: int
    """Of the whole run."""
    losses: dict[str, float]
    """By name, with `total`; means over the accumulated batches."""
    lr: float
    """Of the base group."""
    gradient_norm: float
    """Before clipping."""
    step_s: float
    """The whole step, with waiting."""
    wait_data_s: float
    """Of it, waiting for the loader."""
    peak_gib: float
    """Most memory held so far."""
    tune: dict[str, float] | None = None
    """What the stage measures, as means over the full batches of tuning scans, at the steps that
    ask for it."""

    def metrics(self) -> dict[str, float | int]:
        """Name the values as `metrics.jsonl` does, with their units."""
        values: dict[str, float | int] = {"step": self.step}
        values |= {f"loss/{name}": value for name, value in self.losses.items()}
        values |= {
            "lr": self.lr,
            "gradient_norm": self.gradient_norm,
            "time/step_s": self.step_s,
            "time/wait_data_s": self.wait_data_s,
            "memory/peak_gib": self.peak_gib,
        }
        return values | {f"tune/{name}": value for name, value in (self.tune or {}).items()}
