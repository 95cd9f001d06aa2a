"""The image tower as an ONNX file, for programs without torch: stored voxels in, latents out."""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ctlite.data.volumes import axis_steps
from ctlite.evaluate.zero_shot import PAPER_PROMPTS, prompt_directions
from ctlite.models.ct_clip import CtClip
from ctprep.store.attributes import StoreAttributes
from ctprep.store.disk import writing
from ctprep.store.errors import CheckpointError, RecipeError
from ctprep.store.manifest import Prompts
from ctprep.store.outputs import beside, check_outputs, check_suffix

OPSET = 20
TOLERANCE = 1e-3
"""Distance of the latents of torch and onnxruntime, which add in another order."""
INPUT, OUTPUT = "volume", "latent"


class ImageTower(nn.Module):
    """From voxels as they are stored to a latent.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: CtClip) -> None:
        super().__init__()
        self._model = model
        wanted = model.config.preprocessing
        steps = axis_steps(StoreAttributes.model_fields["orientation"].default, wanted.orientation)
        self._axes = [0, *(axis + 1 for axis, _ in steps)]
        self._backwards = [number + 1 for number, (_, backwards) in enumerate(steps) if backwards]
        self._low, self._high = wanted.hu_range or (0.0, 255.0)

    def forward(
        self, volume: Shaped[Tensor, "batch slice row column"]
    ) -> Float[Tensor, "batch latent"]:
        """Normalize as `to_video` does, and encode.

        Args:
            volume: uint8 gray levels of a JPEG store, or int16 HU of a hi-fi store.

        Returns:
            Latents of unit length.
        """
        video = volume.permute(self._axes).to(torch.float32)
        if self._backwards:
            video = video.flip(self._backwards)
        video = video.clamp(self._low, self._high)
        video = (video - self._low) / ((self._high - self._low) / 2) - 1
        return self._model.encode_image(video[:, None])


def check_out(out: Path) -> None:
    """Refuse a file that could not be written, before the model is loaded.

    Raises:
        TableError: it is not called `.onnx`.
        PlaceError: it, or what goes beside it, cannot be written.
    """
    check_suffix(out, (".onnx",), "the image tower is")
    check_outputs(out, *(beside(out, end) for end in (".data", ".json")))


def export_onnx(model: CtClip, out: Path, *, batch_size: int = 1) -> float:
    """Write the image tower, and compare it with torch on a volume of noise.

    Args:
        model: in evaluation mode, on the CPU.
        out: `.onnx` file to write; weights lie in `<out>.data` beside it.
        batch_size: volumes that the file takes at once, fixed.

    Returns:
        Greatest distance of a latent from torch's.

    Raises:
        RecipeError: the libraries for it are not installed.
        CheckpointError: onnxruntime computes something else; nothing is written.
        PlaceError: the files cannot be written.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - the exporter needs it, and says so late
    except ImportError as error:
        raise RecipeError(
            "an ONNX file is asked for, and its libraries are not installed",
            mend="pip install 'ct-lite[onnx]'",
        ) from error
    tower = ImageTower(model).eval()
    volume = _noise(model, batch_size)
    with writing(out.name), TemporaryDirectory(dir=out.absolute().parent, prefix=".onnx-") as near:
        made = Path(near) / out.name
        with torch.no_grad(), _quiet():
            wanted = tower(volume)
            torch.onnx.export(
                tower,
                (volume,),
                made,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamo=True,
                external_data=True,
                verbose=False,
            )
        session: Any = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
        (found,) = session.run([OUTPUT], {INPUT: volume.numpy()})
        difference = float(np.linalg.norm(found - wanted.numpy(), axis=1).max())
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"onnxruntime gives other latents than torch, by up to {difference:.2g}",
                mend="try another version of onnxruntime or torch",
            )
        # The weights first: an old file with new weights would be read as if nothing were wrong.
        out.unlink(missing_ok=True)
        for path in sorted(Path(near).iterdir(), reverse=True):
            path.replace(out.with_name(path.name))
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    # The exporter warns of operators that are not used, and of its own use of torch.
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(before)


def _noise(model: CtClip, batch_size: int) -> Tensor:
    wanted = model.config.preprocessing
    shape = (batch_size, *wanted.grid.shape)
    generator = torch.Generator().manual_seed(0)
    if wanted.hu_range is None:
        return torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return torch.randint(-1024, 1024, shape, dtype=torch.int16, generator=generator)


def write_description(
    model: CtClip, out: Path, labels: Sequence[str], prompts: Prompts = PAPER_PROMPTS
) -> None:
    """Write what a program needs to know beside the ONNX file: what goes in, and what to look for.

    Args:
        model: in evaluation mode, on the CPU.
        out: the `.onnx` file; the description is `<out>.json`.
        labels: names of the abnormalities.
        prompts: the two templates.

    Raises:
        PlaceError: the file cannot be written.
    """
    directions = prompt_directions(model, model.tokenizer, labels, prompts)
    wanted = model.config.preprocessing
    stored = StoreAttributes.model_fields["orientation"].default
    description = {
        "input": {
            "name": INPUT,
            "dtype": "uint8 gray levels" if wanted.hu_range is None else "int16 HU",
            "axes": ["volume", "slice", "row", "column"],
            "shape": wanted.grid.shape,
            "orientation": stored,
            "note": "as a store holds them; the model turns them to its own orientation",
        },
        "preprocessing": model.config.preprocessing.model_dump(mode="json"),
        "prompts": prompts.model_dump(),
        "score": "dot product of the latent and a direction",
        "directions": dict(zip(labels, directions.tolist(), strict=True)),
    }
    with writing(out.name):
        text = json.dumps(description, indent=2) + "\n"
        beside(out, ".json").write_text(text, encoding="utf-8")
