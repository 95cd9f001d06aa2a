"""A model folder with a dense projection to one with an SFP, from file to file.

What is special about it:
- the dense weight is mapped, and the cores are written to their places in the new file as they are
  found: the 1.07 B weights of CT-CLIP v1 need no more memory than those of a toy;
- what is done is written down after every part, so that a killed run goes on there;
- the folder appears under its name when all of it is on disk.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from torch import Tensor

from ctlite.checkpoint import publish_folder
from ctlite.convert_teacher import check_out
from ctlite.model_card import write_card
from ctlite.models.approximated import DENSE, PROJECTION
from ctlite.models.config import ModelConfig
from ctlite.models.ct_clip import TEXT_FOLDER, WEIGHTS_FILE, find_model
from ctlite.models.projection import SFP, sfp_parameter_counts
from ctlite.models.projection_init import Cores, Method, approximate
from ctlite.models.weights_file import read_weights
from ctlite.models.weights_writer import Layout, lay_out, write_numbers
from ctprep.store.disk import write_atomically, writing
from ctprep.store.errors import CheckpointError, PlaceError

JOURNAL = "progress.json"


@dataclass
class Done:
    """How far a factorization is."""

    blocks: int = 0
    norm: float = 0.0
    """Squared Frobenius norm of the dense weight so far."""
    kept: float = 0.0
    """Of it, what the cores keep."""

    def add(self, cores: Cores) -> None:
        """Count a part that is on disk."""
        self.blocks = cores.blocks.stop
        self.norm += cores.norm
        self.kept += cores.kept


class Factorization:
    """A model folder that is given an SFP in place of its dense projection.

    Args:
        model: run or model folder.
        out: new folder; one that an earlier call has left unfinished beside it is gone on with.
        rank: of the SFP.
        method: how its cores are found.

    Raises:
        CheckpointError: there is no model, its projection is no dense one, or `out` is there.
        RecipeError: no SFP has this rank.
        PlaceError: the disk has too little room.
    """

    def __init__(self, model: Path, out: Path, rank: int, method: Method = "svd") -> None:
        self.source = find_model(model)
        self.out = out.absolute()
        self.rank = rank
        self.method = method
        self.dense = ModelConfig.read(self.source)
        if self.dense.rank is not None:
            raise CheckpointError(
                f"the model has an SFP of rank {self.dense.rank} already",
                mend="give the model that it was made from",
                where=str(model),
            )
        # Before the file is mapped: what replaces it later is another one.
        self._identity = self._identify()
        self._weights = read_weights(self.source / WEIGHTS_FILE).tensors
        self._layout = self._plan()
        self._partial = self.out.with_name(f".{self.out.name}.partial")
        self.done = self._find_done()
        self.starts_over = self._partial.is_dir() and not self.done.blocks
        """Whether something was begun that is not of this model, rank and method."""
        check_out(self.out, 0 if self.done.blocks else self._layout.size)

    @property
    def blocks(self) -> int:
        """Of the projection."""
        return self.dense.projection_in // self.dense.latent_dim

    @property
    def kept_share(self) -> float:
        """Of the squared norm of the dense weight, as far as it is done."""
        return self.done.kept / self.done.norm if self.done.norm else 1.0

    @property
    def counts(self) -> dict[Literal["dense", "exact", "ideal"], int]:
        """Parameters of the projection: before, after, and by the paper's formula."""
        inputs, outputs = self.dense.projection_in, self.dense.latent_dim
        exact, ideal = sfp_parameter_counts(inputs, outputs, self.rank)
        return {"dense": inputs * outputs, "exact": exact, "ideal": round(ideal)}

    def run(self) -> Generator[int]:
        """Write the model folder, whole or not at all.

        Yields:
            Blocks done, after every part; what is told is on disk.

        Raises:
            PlaceError: the disk refuses, or another process is at it.
            CheckpointError: something came to be at the place of the folder.
        """
        with writing(self.out.name), self._alone():
            # Once more, now that nobody else can go on with it.
            self.done = self._find_done()
            if not self.done.blocks:
                self._begin()
            with (self._partial / WEIGHTS_FILE).open("r+b") as file:
                parts = approximate(
                    self._weights[DENSE], self.rank, self.method, start=self.done.blocks
                )
                with closing(parts):
                    for cores in parts:
                        self._write(file, cores)
                        yield self.done.blocks
            self._finish()

    def _plan(self) -> Layout:
        with torch.device("meta"):
            empty = SFP(self.dense.projection_in, self.dense.latent_dim, self.rank, blank=True)
        dtype = self._weights[DENSE].dtype
        kinds = {
            name: (tensor.dtype, tuple(tensor.shape))
            for name, tensor in self._weights.items()
            if name != DENSE
        }
        kinds |= {
            f"{PROJECTION}.{name}": (dtype, tuple(tensor.shape))
            for name, tensor in empty.state_dict().items()
        }
        return lay_out(kinds)

    def _identify(self) -> dict[str, Any]:
        status = (self.source / WEIGHTS_FILE).stat()
        return {
            "size": status.st_size,
            "modified_ns": status.st_mtime_ns,
            "config": self.dense.model_dump(mode="json"),
            "rank": self.rank,
            "method": self.method,
        }

    def _find_done(self) -> Done:
        journal = self._partial / JOURNAL
        try:
            values = json.loads(journal.read_text(encoding="utf-8"))
            if values["of"] == self._identity:
                return Done(**values["done"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # Nothing was begun, or what was begun is not to be trusted: from the start.
        return Done()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self.out.with_name(f".{self.out.name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PlaceError(
                    "another process is making this folder",
                    mend="wait for it, or choose another folder",
                    where=self.out.name,
                ) from error
            yield
            lock.unlink()

    def _begin(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        with (self._partial / WEIGHTS_FILE).open("wb") as file:
            file.truncate(self._layout.size)
            file.write(self._layout.header)
            for name, tensor in self._weights.items():
                if name != DENSE:
                    self._put(file, name, 0, tensor)

    def _write(self, file: BinaryIO, cores: Cores) -> None:
        dtype = self._weights[DENSE].dtype
        # In the order of the letters in which the layer keeps them.
        left = cores.left.permute(0, 3, 1, 2, 4).to(dtype)
        right = cores.right.permute(0, 3, 2, 1, 4).to(dtype)
        for name, tensor in (("left", left), ("right", right)):
            self._put(file, f"{PROJECTION}.{name}", cores.blocks.start, tensor)
        file.flush()
        os.fsync(file.fileno())
        self.done.add(cores)
        journal = {"of": self._identity, "done": asdict(self.done)}
        write_atomically(self._partial / JOURNAL, json.dumps(journal).encode())

    def _put(self, file: BinaryIO, name: str, row: int, tensor: Tensor) -> None:
        size = tensor[0].nbytes if tensor.ndim else tensor.nbytes
        file.seek(self._layout.offsets[name] + row * size)
        for _ in write_numbers(file, tensor):
            pass

    def _finish(self) -> None:
        config = self.dense.model_copy(update={"projection": "sfp", "rank": self.rank})
        config.write(self._partial)
        shutil.copytree(self.source / TEXT_FOLDER, self._partial / TEXT_FOLDER, dirs_exist_ok=True)
        counts = self.counts
        story = [
            f"Made by `ctlite factorize` from a dense projection, which trains nothing: "
            f"{counts['exact']:,} weights in place of {counts['dense']:,}, which keep "
            f"{100 * self.kept_share:.1f} % of its squared norm."
        ]
        write_card(self._partial, self.out.name, config, story)
        check_out(self.out, 0)
        if self._identify() != self._identity:
            raise CheckpointError(
                "the model was replaced while it was factorized",
                mend="run the command again, for the new one",
                where=str(self.source),
            )
        publish_folder(self._partial, self.out)
        # Last: until the folder has its name, the journal is what a killed run goes on by.
        (self.out / JOURNAL).unlink()
