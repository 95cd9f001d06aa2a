"""From the shapes of a published CT-CLIP checkpoint to the configuration of a model."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt

from ctlite.data.volumes import video_shape
from ctlite.models.config import SLP, ModelConfig, Pooling, Preprocessing, VisionConfig
from ctlite.models.reference_weights import ENCODER
from ctlite.models.weight_diff import Shape
from ctlite.models.weights_file import show_name
from ctprep.store.attributes import GRIDS, STORED_ORIENTATION, Grid
from ctprep.store.errors import CheckpointError

SPATIAL, TEMPORAL = "enc_spatial_transformer", "enc_temporal_transformer"


@dataclass(frozen=True)
class Cut:
    """How a video becomes the input of the projection."""

    patch_size: int
    """Within a slice, in voxels."""
    temporal_patch_size: int
    """Across slices, in voxels."""
    pooling: Pooling

    def __str__(self) -> str:
        sizes = f"{self.temporal_patch_size}x{self.patch_size}x{self.patch_size}"
        return f"patches of {sizes} voxels with pooling {self.pooling!r}"


@dataclass(frozen=True)
class Release:
    """Weights of one geometry, and the HU range they were trained with, where it is known."""

    name: str
    hu_range: tuple[float, float] | None


PUBLISHED = {
    Cut(30, 15, "none"): Release("CT-CLIP v1", (-1000.0, 200.0)),
    Cut(20, 10, "mean"): Release("CT-CLIP v2", (-1000.0, 1000.0)),
}
THEIR_GRID = GRIDS["ct-clip"]
UNPUBLISHED = Release("CT-CLIP of another geometry", None)


def read_geometry(
    shapes: Mapping[str, Shape], grid: Grid, hu_range: tuple[float, float] | None
) -> tuple[ModelConfig, Release]:
    """Tell a checkpoint's architecture, and which volumes it takes.

    Args:
        shapes: of the whole checkpoint, dead weights included: the width of those of the first
            frame tells the area of a patch.
        grid: sampling of the volumes, axes as stored.
        hu_range: HU that become -1 and 1; None for those of the release.

    Returns:
        The configuration, without an origin, and the release.

    Raises:
        CheckpointError: it is no CT-CLIP checkpoint, fits no cut of the grid or several, is of no
            published geometry and no HU range is given, or that range is empty.
    """
    sizes = _Sizes(shapes)
    frames, height, width = video_shape(
        grid.shape, stored_orientation=STORED_ORIENTATION, model_orientation=SLP
    )
    dim = sizes.of("to_patch_emb.2.weight", 0)
    cut = _find_cut(sizes, dim, (frames, height, width))
    is_their_grid = (grid.spacing_mm, grid.shape) == (THEIR_GRID.spacing_mm, THEIR_GRID.shape)
    release = PUBLISHED.get(cut, UNPUBLISHED) if is_their_grid else UNPUBLISHED
    chosen = hu_range or release.hu_range
    if chosen is None:
        raise CheckpointError(
            f"{cut} on the grid {grid.name!r} is neither CT-CLIP v1 nor v2, so the HU range of "
            "the volumes that it was trained on is not known",
            mend="give it: --hu-range LOW HIGH, the HU that became -1 and 1",
        )
    if chosen[0] >= chosen[1]:
        raise CheckpointError(
            f"the HU range {chosen[0]:g} to {chosen[1]:g} is empty",
            mend="give the lower one first: --hu-range -1000 1000",
        )
    config = ModelConfig(
        vision=VisionConfig(
            image_size=height if height == width else (height, width),
            frames=frames,
            patch_size=cut.patch_size,
            temporal_patch_size=cut.temporal_patch_size,
            dim=dim,
            codebook_size=sizes.of("vq._codebook.embed", 1),
            spatial_depth=count_layers(shapes, f"{ENCODER}{SPATIAL}.layers."),
            temporal_depth=count_layers(shapes, f"{ENCODER}{TEMPORAL}.layers."),
            dim_head=sizes.of(f"{SPATIAL}.layers.0.1.q_scale", 0),
            heads=sizes.of("spatial_rel_pos_bias.net.2.weight", 0),
        ),
        latent_dim=sizes.projection[0],
        pooling=cut.pooling,
        preprocessing=Preprocessing(kind="hifi", grid=grid, orientation=SLP, hu_range=chosen),
    )
    return config, release


def count_layers(names: Iterable[str], prefix: str) -> int:
    """Count the layers of a stack.

    Args:
        names: of weights.
        prefix: what comes before a layer's number.

    Returns:
        Numbers from 0 that are there without a gap; 1 where there is none, which is missed then.
    """
    numbers = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
    return next(count for count in itertools.count(1) if str(count) not in numbers)


class _Sizes:
    """The few sizes of a checkpoint from which all others follow."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes
        self.projection = (
            self._size("to_visual_latent.weight", 0),
            self._size("to_visual_latent.weight", 1),
        )

    def of(self, name: str, axis: int) -> int:
        """Length of an axis of a weight of the encoder."""
        return self._size(ENCODER + name, axis)

    def first_frame(self) -> int | None:
        """Voxels of a patch within one slice, where a dead weight tells them."""
        name = f"{ENCODER}to_patch_emb_first_frame.1.weight"
        return self._size(name, 0) if name in self._shapes else None

    def _size(self, name: str, axis: int) -> int:
        shape = self._shapes.get(name, ())
        if len(shape) <= axis or not shape[axis]:
            parts = sorted({show_name(part.split(".")[0]) for part in self._shapes})
            raise CheckpointError(
                f"this is no CT-CLIP checkpoint: {name} is "
                + (f"of shape {shape}" if name in self._shapes else "not there")
                + f"; it holds {', '.join(parts[:8])}{', ...' if len(parts) > 8 else ''}",
                mend="give the whole model, CT_CLIP_zeroshot.pt (v1) or CT-CLIP_v2.pt (v2), not "
                "one of its parts",
            )
        return shape[axis]


def _find_cut(sizes: _Sizes, dim: int, video: tuple[int, int, int]) -> Cut:
    frames, height, width = video
    voxels, inputs = sizes.of("to_patch_emb.1.weight", 0), sizes.projection[1]
    area = sizes.first_frame()
    found = []
    for patch in range(1, isqrt(voxels) + 1):
        depth = voxels // patch**2
        whole = depth * patch**2 == voxels and not (frames % depth or height % patch)
        if not whole or width % patch or area not in (None, patch**2):
            continue
        place = height // patch * (width // patch) * dim
        if inputs == place:
            found.append(Cut(patch, depth, "mean"))
        elif inputs == place * (frames // depth):
            found.append(Cut(patch, depth, "none"))
    published = [cut for cut in found if cut in PUBLISHED]
    # The area of a patch is told by a dead weight alone; without it v1 could be cut in two ways.
    if len(published) == 1 or len(found) == 1:
        return (published or found)[0]
    raise CheckpointError(
        f"patches of {voxels} voxels"
        + (f", {area} of them in a slice," if area else "")
        + f" and a projection from {inputs} inputs fit {'several cuts' if found else 'no cut'} of "
        f"{frames}x{height}x{width} voxels" + "".join(f"; {cut}" for cut in found),
        mend="give the grid that the weights were trained on by --grid"
        + ("" if area else ", or a checkpoint with its to_patch_emb_first_frame weights"),
    )
