"""The one loop: it steps a stage it knows nothing of, and leaves a run that can go on."""

import logging
import math
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ctlite import ranks
from ctlite.assembly import assemble, estimate_step
from ctlite.averaging import WeightAverage
from ctlite.checkpoint import Progress, frozen_checksum, load_checkpoint, save_checkpoint
from ctlite.compiling import compile_blocks
from ctlite.data.batch import Batch
from ctlite.data.loader import Loader
from ctlite.memory import (
    GIB,
    check_memory,
    is_out_of_memory,
    out_of_memory,
    peak_bytes,
)
from ctlite.models.approximated import OnBlock
from ctlite.optimizer import (
    build_optimizer,
    clip_gradients,
    schedule_factor,
    set_learning_rate,
)
from ctlite.parallel import ParallelStage
from ctlite.precision import computing_in, warn_of_emulation
from ctlite.recipe import Recipe
from ctlite.run_folder import RunFolder
from ctlite.stages.stage import Stage
from ctlite.step_report import StepReport
from ctlite.stopping import StopRequest
from ctlite.tensorboard import Board
from ctprep.store.errors import CtError, RecipeError, located

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe, run_folder: Path, on_block: OnBlock | None = None
) -> Generator[StepReport, None, None]:
    """Train what a recipe says, from where the run folder stands.

    SIGTERM and Ctrl-C let the step end, write a checkpoint and raise `KeyboardInterrupt`.
    Under `torchrun` each process trains on its part of every batch, and the first one writes.

    Args:
        recipe: resolved.
        run_folder: made where missing; a run of the same recipe in it is gone on with.
        on_block: follows a projection that is factorized before the first step.

    Yields:
        A report a step.

    Raises:
        RecipeError: the folder holds a run of another recipe, or files are missing.
        CtError: a loss is not finite (with the scan ids), or memory ran out (with the option to
            turn).
    """
    device = choose_device(recipe.device)
    ranks.join(device)
    run = ranks.first_alone(
        lambda: RunFolder.begin(run_folder, recipe), lambda: RunFolder(run_folder)
    )
    board = Board(run_folder) if recipe.tensorboard and not ranks.rank() else None
    torch.manual_seed(recipe.seed)
    parts = assemble(recipe, on_block)
    loop = _Loop(recipe, run, device, parts.stage, parts.loader, parts.tuning)
    loop.start()
    if board is None:
        yield from loop.steps()
        return
    with closing(board):
        for report in loop.steps():
            board.log(report.metrics())
            yield report


def choose_device(name: str) -> torch.device:
    """Turn a recipe's device into torch's.

    Args:
        name: `auto`, or as torch spells it.

    Returns:
        The device; of several processes each gets a GPU of its own by `auto` and `cuda`.

    Raises:
        RecipeError: there is no such device here.
    """
    has_gpu = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if has_gpu else "cpu"
    if name == "cuda" and has_gpu:
        # By its number, without which torch makes no device the current one. A launcher of runs
        # that know nothing of each other may number them, and show each a GPU of its own.
        name = f"cuda:{ranks.local_rank() if ranks.world_size() > 1 else 0}"
    if name == "cpu" or (name.split(":")[0] == "cuda" and has_gpu):
        return torch.device(name)
    raise RecipeError(f"there is no device {name!r} here", mend='--set device="cpu", or "auto"')


class _Loop:
    """A run in progress."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        device: torch.device,
        stage: Stage,
        loader: Loader,
        tuning: Loader | None,
    ) -> None:
        self.recipe = recipe
        self.run = run
        self.device = device
        warn_of_emulation(recipe.precision, device)
        _check_fits(stage, recipe, device)
        # Once a run, and here: a teacher of gigabytes takes seconds, and more from a GPU.
        self.frozen = frozen_checksum(stage)
        self.stage = stage.to(device)
        if recipe.compile:
            compile_blocks(stage)
        self.loader = loader
        self.tuning = tuning
        self.step = 0
        self.saved = 0
        """Step of the last checkpoint."""

    def start(self) -> None:
        """Take up the last checkpoint, or look at the data for the first time."""
        last, unlogged = self.run.last_checkpoint(), None
        _check_same(None if last is None else last.name)
        if last is None:
            with self._memory_told(), closing(self._batches()) as batches:
                self.stage.prepare(batches)
        self.parallel = ParallelStage(self.stage, self.recipe.parallel)
        options = self.recipe.optimizer
        self.optimizer = build_optimizer(
            self.stage.parameter_groups(options.lr, options.weight_decay)
        )
        self.average = WeightAverage(self.stage, options.average_decay)
        if ranks.rank():
            # All began alike; what is drawn from now on, such as dropout, is each rank's own.
            torch.manual_seed(self.recipe.seed * ranks.world_size() + ranks.rank())
        if last is not None:
            progress = load_checkpoint(last, self.stage, self.optimizer, self.average, self.frozen)
            with located(last):
                self.loader.load_state_dict(progress.loader)
            if self.tuning is not None:
                self.tuning.unreadable = progress.untuned
            self.step = self.saved = progress.step
            unlogged = progress.unlogged
            logger.info("going on after step %d", self.step)
        ranks.first_alone(lambda: self.run.cut_metrics(self.step, unlogged), lambda: None)

    def steps(self) -> Iterator[StepReport]:
        """Go to the end of the schedule."""
        plan = self.recipe.schedule
        with StopRequest() as stop, closing(iter(self.loader)) as batches:
            while self.step < plan.steps:
                with self._memory_told():
                    report = self._looked_at(self._one_step(batches))
                fault = self._log(report)
                is_last = self.step == plan.steps
                asked = ranks.agree(stop.is_set or fault is not None, self.device)
                is_saved = is_last or asked or self.step % plan.checkpoint_steps == 0
                if is_saved:
                    self.save(None if fault is None else report)
                if asked:
                    ranks.raise_together(fault)
                yield report
                if ranks.agree(stop.is_set, self.device) and not is_last:
                    # The signal may have come while the caller had the report.
                    if not is_saved:
                        self.save()
                    raise KeyboardInterrupt(f"stopped after step {self.step}, which is saved")
        # As the first rank sees it: it may have written the model before another one looks.
        if not ranks.gather_values(self.run.model.is_dir())[0]:
            with self.average.applied():
                self.run.save_model(self.stage.model, self.recipe)

    def _looked_at(self, report: StepReport) -> StepReport:
        """Add what tuning scans tell; the step is kept where they cannot be read."""
        try:
            return replace(report, tune=self._tune())
        except CtError:
            fault = self._log(report)
            self.save(None if fault is None else report)
            ranks.raise_together(fault)
            raise

    def _log(self, report: StepReport) -> CtError | None:
        # Not raised, since the other ranks would wait for the first one.
        if ranks.rank() == 0:
            try:
                self.run.log(report.metrics())
            except CtError as error:
                error.mend += f"; step {self.step} is saved with its metrics"
                return error
        return None

    def save(self, unlogged: StepReport | None = None) -> None:
        """Write a checkpoint of the step that was done last.

        Args:
            unlogged: its report, where the file of the metrics did not take it.
        """
        untuned = [] if self.tuning is None else self.tuning.unreadable
        metrics = None if unlogged is None else unlogged.metrics()
        progress = Progress(self.step, self.loader.state_dict(), untuned, metrics)
        folder = self.run.checkpoints
        try:
            save_checkpoint(folder, self.stage, self.optimizer, self.average, progress, self.frozen)
        except CtError as error:
            begin = f"goes on after step {self.saved}" if self.saved else "begins anew"
            error.mend += f"; it {begin}"
            raise
        self.saved = self.step

    @contextmanager
    def _memory_told(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            recipe = self.recipe
            raise out_of_memory(
                recipe.data.batch_size,
                recipe.optimizer.accumulation,
                recipe.precision,
                recompute=recipe.recompute,
            ) from error

    def _one_step(self, batches: Iterator[Batch]) -> StepReport:
        plan, options = self.recipe.schedule, self.recipe.optimizer
        began, waited = time.perf_counter(), 0.0
        factor = schedule_factor(
            self.step,
            steps=plan.steps,
            warmup_steps=plan.warmup_steps,
            eta_min_ratio=plan.eta_min_ratio,
        )
        set_learning_rate(self.optimizer, factor)
        self.stage.train()
        names: tuple[str, ...] = ()
        told: list[Tensor] = []
        seen: list[tuple[str, ...]] = []
        for number in range(1, options.accumulation + 1):
            asked = time.perf_counter()
            batch = self._next(batches, is_first=number == 1)
            waited += time.perf_counter() - asked
            seen.append(batch.scan_ids)
            with self.parallel.accumulating(is_last=number == options.accumulation):
                losses = self._losses(batch.to(self.device))
                del batch
                total = torch.stack(list(losses.values())).sum()
                names = *losses, "total"
                told.append(torch.stack([*losses.values(), total]).detach())
                torch.autograd.backward(total / options.accumulation)
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = clip_gradients(trained, options.clip_norm)
        # Here alone, when all work is under way, does a step wait for the device.
        values = ranks.mean(torch.stack(told)).tolist()
        _check_finite(names, values, norm, seen)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.average.update(self.step)
        return StepReport(
            step=self.step,
            steps=plan.steps,
            losses=_add_up(names, values, options.accumulation),
            lr=options.lr * factor,
            gradient_norm=norm,
            step_s=time.perf_counter() - began,
            wait_data_s=waited,
            peak_gib=peak_bytes(self.device) / GIB,
        )

    def _next(self, batches: Iterator[Batch], *, is_first: bool) -> Batch:
        place = self.loader.place
        try:
            batch = self._agreed(batches)
        except CtError:
            # This process may have its part, which no step is made of.
            self.loader.place = place
            # Within a step the codebook has moved already, so only its beginning can be kept.
            if is_first and self.step > self.saved:
                self.save()
            raise
        if batch is None:
            raise RuntimeError("the loader, which goes on for ever, has come to an end")
        return batch

    def _agreed(self, batches: Iterator[Batch]) -> Batch | None:
        # A process that stops alone leaves the others waiting for it.
        batch, fault = None, None
        try:
            batch = next(batches, None)
        except CtError as error:
            fault = error
        if ranks.agree(fault is not None, self.device):
            raise fault or CtError(
                "another process could not read its scans", mend="do what that process says"
            )
        return batch

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        with computing_in(self.recipe.precision, self.device):
            return self.parallel(batch)

    def _measures(self, batch: Batch) -> dict[str, Tensor]:
        with computing_in(self.recipe.precision, self.device):
            return self.stage.measure(batch)

    @torch.no_grad()
    def _tune(self) -> dict[str, float] | None:
        every = self.recipe.schedule.tune_steps
        if self.tuning is None or not every or self.step % every:
            return None
        self.stage.eval()
        with self.average.applied(), closing(self.tuning.epoch(0)) as batches:
            found = []
            while (batch := self._agreed(batches)) is not None:
                found.append(self._measures(batch.to(self.device)))
        if not found:
            raise CtError(
                "no batch of tuning scans could be read",
                mend="look at the tuning scans with `ctprep verify`, or set schedule.tune_steps=0",
            )
        means = [ranks.mean(torch.stack(list(each.values()))).tolist() for each in found]
        columns = zip(found[0], zip(*means, strict=True), strict=True)
        return {name: math.fsum(column) / len(found) for name, column in columns}

    def _batches(self) -> Generator[Batch, None, None]:
        # Not epoch by epoch: each might be left out whole, and none after it would be counted.
        with closing(self.loader.anew()) as batches:
            while (batch := self._agreed(batches)) is not None:
                yield batch.to(self.device)


def _check_fits(stage: Stage, recipe: Recipe, device: torch.device) -> None:
    estimate = estimate_step(stage, recipe)
    logger.info("memory needed: %s", estimate)
    check_memory(estimate, device)


def _check_same(checkpoint: str | None) -> None:
    found = ranks.gather_values(checkpoint)
    if len(set(found)) > 1:
        raise CtError(
            f"the processes see different checkpoints in the run folder: {found}",
            mend="give a run folder (--out) that all machines share",
        )


def _add_up(
    names: tuple[str, ...], values: list[list[float]], accumulation: int
) -> dict[str, float]:
    columns = zip(*values, strict=True)
    return {
        name: sum(value / accumulation for value in column)
        for name, column in zip(names, columns, strict=True)
    }


def _check_finite(
    names: tuple[str, ...],
    values: list[list[float]],
    norm: float,
    seen: list[tuple[str, ...]],
) -> None:
    for row, scan_ids in zip(values, seen, strict=True):
        bad = [name for name, value in zip(names, row, strict=True) if not math.isfinite(value)]
        if bad:
            raise _not_finite(f"the loss {', '.join(bad)}", list(scan_ids))
    if not math.isfinite(norm):
        raise _not_finite("the gradient", [scan_id for part in seen for scan_id in part])


def _not_finite(what: str, scan_ids: list[str]) -> CtError:
    # The numbers are means over all ranks, so that all are here.
    scan_ids = [scan_id for share in ranks.gather_values(scan_ids) for scan_id in share]
    return CtError(
        f"{what} is not finite in the batch of {', '.join(scan_ids)}",
        mend="look at these scans; if they are sound, lower optimizer.lr "
        "or set a smaller optimizer.clip_norm above 0",
    )
