"""The geometry of a checkpoint follows from its names and shapes alone."""

import pytest

from ctlite.models.reference_geometry import count_layers, read_geometry
from ctprep.store.attributes import GRIDS
from ctprep.store.errors import CheckpointError
from tests.ctlite.published import published_shapes

GRID = GRIDS["ct-clip"]
FIRST_FRAME = "visual_transformer.to_patch_emb_first_frame.1.weight"
V1, V2 = (15, 30, "none", (-1000, 200)), (10, 20, "mean", (-1000, 1000))


def shapes_of(version: str, **sizes: int) -> dict[str, tuple[int, ...]]:
    """As a checkpoint's."""
    return {name: tuple(shape) for name, shape in published_shapes(version, **sizes).items()}


@pytest.mark.parametrize(("version", "expected"), [("v1", V1), ("v2", V2)])
@pytest.mark.parametrize("first_frame", [True, False])
def test_published_versions(version: str, expected: tuple, first_frame: bool) -> None:
    """At full size: patches, pooling, HU range and every other size."""
    shapes = shapes_of(version, dim=512, latent=512, codes=8192)
    if not first_frame:
        del shapes[FIRST_FRAME]
    config, release = read_geometry(shapes, GRID, None)
    vision, seen = config.vision, config.preprocessing

    found = (vision.temporal_patch_size, vision.patch_size, config.pooling, seen.hu_range)
    assert found == expected
    assert release.name == f"CT-CLIP {version}"
    assert (vision.image_size, vision.frames) == (480, 240)
    assert (vision.dim, vision.heads, vision.dim_head) == (512, 8, 32)
    assert (vision.spatial_depth, vision.temporal_depth, vision.codebook_size) == (4, 4, 8192)
    assert (config.latent_dim, config.projection_in) == (512, shapes["to_visual_latent.weight"][1])
    assert (seen.kind, seen.grid, seen.orientation) == ("hifi", GRID, "SLP")


def test_the_hu_range_can_be_chosen() -> None:
    """The paper names the head of v1 with the range of v2 (F15)."""
    config, release = read_geometry(shapes_of("v1"), GRID, (-1000.0, 1000.0))

    assert release.name == "CT-CLIP v1"
    assert config.preprocessing.hu_range == (-1000, 1000)


def test_another_geometry_wants_its_hu_range() -> None:
    """v1's patches with a mean over frames were tried and never published."""
    shapes = shapes_of("v1") | {"to_visual_latent.weight": (16, 16 * 16 * 16)}
    with pytest.raises(CheckpointError, match=r"15x30x30 .* neither CT-CLIP v1 nor v2") as caught:
        read_geometry(shapes, GRID, None)
    config, release = read_geometry(shapes, GRID, (-1000.0, 200.0))

    assert "--hu-range" in caught.value.mend
    assert (config.pooling, release.name) == ("mean", "CT-CLIP of another geometry")


def test_what_fits_no_cut_or_several_is_refused() -> None:
    """With the candidates, and the weights or the option that would decide."""
    shapes = shapes_of("v2")
    wide = shapes | {"to_visual_latent.weight": (16, 1000)}
    with pytest.raises(CheckpointError, match=r"400 of them in a slice, .* fit no cut of 240x480"):
        read_geometry(wide, GRID, None)
    # 1600 voxels, taken without pooling: no weight but the dead one tells how they lie.
    voxels = 1600
    inputs = 240 * 480 * 480 // voxels * 16
    several = {name: shape for name, shape in shapes.items() if name != FIRST_FRAME} | {
        "visual_transformer.to_patch_emb.1.weight": (voxels,),
        "to_visual_latent.weight": (16, inputs),
    }
    with pytest.raises(CheckpointError, match=r"fit several cuts .* 16x10x10 voxels") as caught:
        read_geometry(several, GRID, (-1000.0, 1000.0))

    assert "to_patch_emb_first_frame" in caught.value.mend
    told = several | {FIRST_FRAME: (100,)}
    assert read_geometry(told, GRID, (-1000.0, 1000.0))[0].vision.temporal_patch_size == 16


def test_what_is_no_ct_clip_is_named() -> None:
    """By what it lacks and what it holds."""
    with pytest.raises(CheckpointError, match=r"to_visual_latent\.weight is not there; .*fc, res"):
        read_geometry({"fc.weight": (2, 2), "res.bias": (3,)}, GRID, None)
    shapes = shapes_of("v2") | {"visual_transformer.vq._codebook.embed": (16,)}
    with pytest.raises(CheckpointError, match=r"embed is of shape \(16,\)"):
        read_geometry(shapes, GRID, None)


def test_an_empty_hu_range_is_refused() -> None:
    """The two ends may come in the wrong order."""
    with pytest.raises(CheckpointError, match=r"range 200 to -1000 is empty"):
        read_geometry(shapes_of("v1"), GRID, (200.0, -1000.0))


def test_layers_are_counted_without_gaps() -> None:
    """A number that a file makes up does not become so many layers."""
    names = ["a.0.x", "a.1.x", "a.2.y", "a.9999999.x", "b.3.x"]

    assert count_layers(names, "a.") == 3
    assert count_layers(names, "c.") == 1
