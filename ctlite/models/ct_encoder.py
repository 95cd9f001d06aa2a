"""CT-ViT: a volume to a grid of tokens, as CT-CLIP's published weights need it.

What is special about it:
- attention within each frame first, then along frames at each place, never over the whole grid;
- the only position information is a bias in the spatial tower and a convolution in every block;
- tokens pass a codebook at the end;
- names in the state dict are the published ones; dead weights are not there.
"""

from collections.abc import Iterator
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from ctlite.models.codebook import Codebook
from ctlite.models.position_bias import PositionBias
from ctlite.models.records import BlockRecord, EncoderOutput
from ctlite.models.tower import TokenTower
from ctprep.store.errors import RecipeError

Size = int | tuple[int, int]


class Patches(nn.Module):
    """Cuts a video into cells, each flattened in the order frame, row, column.

    Args:
        patch: frames, rows and columns of a cell.
    """

    def __init__(self, patch: tuple[int, int, int]) -> None:
        super().__init__()
        self.patch = patch

    def forward(
        self, video: Float[Tensor, "batch 1 frame height width"]
    ) -> Float[Tensor, "batch t h w voxel"]:
        """Cut.

        Args:
            video: sizes are multiples of the patch.

        Returns:
            Cells on their grid.
        """
        frames, rows, columns = self.patch
        batch, _, depth, height, width = video.shape
        t, h, w = depth // frames, height // rows, width // columns
        cells = video.reshape(batch, t, frames, h, rows, w, columns)
        return cells.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)


class CTViT(nn.Module):
    """The image encoder.

    Args:
        dim: features of a token.
        codebook_size: rows of the codebook.
        image_size: voxels along height and width, or one number.
        patch_size: likewise, of a patch.
        temporal_patch_size: frames of a patch.
        spatial_depth: blocks that attend within a frame.
        temporal_depth: blocks that attend along frames.
        dim_head: channels of an attention head.
        heads: attention heads.
        recompute: whether backward computes the inside of each block again, to save memory.

    Raises:
        RecipeError: patches do not divide the image.

    Source:
        docs/mathematics.md; CT-CLIP (Hamamci et al., 2024).
    """

    def __init__(
        self,
        *,
        dim: int,
        codebook_size: int,
        image_size: Size,
        patch_size: Size,
        temporal_patch_size: int,
        spatial_depth: int,
        temporal_depth: int,
        dim_head: int = 32,
        heads: int = 8,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.image_size, patch = _as_pair(image_size), _as_pair(patch_size)
        self.patch = (temporal_patch_size, *patch)
        if any(whole % part for whole, part in zip(self.image_size, patch, strict=True)):
            raise RecipeError(
                f"patches of {patch} voxels do not divide an image of {self.image_size}",
                mend="choose a patch size that divides height and width",
            )
        self.recompute = recompute
        grid = (self.image_size[0] // patch[0], self.image_size[1] // patch[1])
        voxels = temporal_patch_size * patch[0] * patch[1]
        self.spatial_rel_pos_bias = PositionBias(dim, heads, grid)
        self.to_patch_emb = nn.Sequential(
            Patches(self.patch), nn.LayerNorm(voxels), nn.Linear(voxels, dim), nn.LayerNorm(dim)
        )
        self.enc_spatial_transformer = TokenTower("spatial", dim, spatial_depth, heads, dim_head)
        self.enc_temporal_transformer = TokenTower("temporal", dim, temporal_depth, heads, dim_head)
        self.vq = nn.ModuleDict({"_codebook": Codebook(codebook_size, dim)})

    @classmethod
    def v1(cls) -> "CTViT":
        """Make the encoder of the first release of CT-CLIP, and of the CT-Lite paper.

        Returns:
            16 x 16 x 16 tokens for 240 frames of 480 x 480.
        """
        return cls._published(patch_size=30, temporal_patch_size=15)

    @classmethod
    def v2(cls) -> "CTViT":
        """Make the encoder of the current release of CT-CLIP.

        Returns:
            24 x 24 x 24 tokens for 240 frames of 480 x 480.
        """
        return cls._published(patch_size=20, temporal_patch_size=10)

    @classmethod
    def _published(cls, *, patch_size: int, temporal_patch_size: int) -> "CTViT":
        return cls(
            dim=512,
            codebook_size=8192,
            image_size=480,
            patch_size=patch_size,
            temporal_patch_size=temporal_patch_size,
            spatial_depth=4,
            temporal_depth=4,
        )

    @property
    def codebook(self) -> Codebook:
        """The codebook; set its `frozen` to keep its rows in training mode."""
        return cast(Codebook, self.vq["_codebook"])

    @property
    def towers(self) -> tuple[TokenTower, TokenTower]:
        """Spatial, then temporal."""
        return self.enc_spatial_transformer, self.enc_temporal_transformer

    def forward(
        self, video: Float[Tensor, "batch channel frame height width"]
    ) -> Float[Tensor, "batch t h w feature"]:
        """Encode volumes; what CT-CLIP calls with `return_encoded_tokens=True`.

        Args:
            video: in [-1, 1], one channel.

        Returns:
            Tokens after the codebook.

        Raises:
            RecipeError: the video's size does not suit the encoder.
        """
        return self.encode(video).tokens

    def encode(
        self, video: Float[Tensor, "batch channel frame height width"], *, record: bool = False
    ) -> EncoderOutput:
        """Encode volumes and show the way.

        Args:
            video: in [-1, 1], one channel.
            record: whether to keep a record, with its attention map, of every block.

        Returns:
            Tokens before and after the codebook, and the records.

        Raises:
            RecipeError: the video's size does not suit the encoder.
        """
        walk = Walk(self, video, maps=record)
        blocks = tuple(walk) if record else walk.finish()
        tokens, indices = self.quantize(walk.tokens)
        return EncoderOutput(walk.tokens, tokens, indices, blocks)

    def quantize(
        self, tokens: Float[Tensor, "batch t h w feature"]
    ) -> tuple[Float[Tensor, "batch t h w feature"], Tensor]:
        """Pass tokens through the codebook.

        Args:
            tokens: before it.

        Returns:
            Tokens after it, and indices (batch, token) in the order (t, h, w).
        """
        codes, indices = self.codebook(tokens.flatten(1, 3))
        return codes.view(tokens.shape), indices

    def check_video(self, video: Float[Tensor, "batch channel frame height width"]) -> None:
        """Refuse what would be cut wrongly.

        Args:
            video: any.

        Raises:
            RecipeError: not one channel, another image size, or frames that patches do not divide.
        """
        _, channels, frames, *image = video.shape
        faults = []
        if channels != 1:
            faults.append(f"{channels} channels and not 1")
        if tuple(image) != self.image_size:
            faults.append(f"height and width {tuple(image)} and not {self.image_size}")
        if frames == 0 or frames % self.patch[0]:
            faults.append(f"{frames} frames, no multiple of {self.patch[0]}")
        if faults:
            raise RecipeError(
                f"the video has {'; '.join(faults)}",
                mend="resample, crop or pad to the grid of the model, or change the model's sizes",
            )


class Walk:
    """One forward pass up to the codebook, a block at a time.

    Iterate once for the records. Two networks can so be compared block by block while neither
    keeps what the comparison no longer needs.

    Args:
        encoder: whose pass.
        video: in [-1, 1], one channel.
        maps: whether records hold attention maps.

    Raises:
        RecipeError: the video's size does not suit the encoder.
    """

    tokens: Tensor
    """Tokens (batch, t, h, w, feature) before the codebook; there after the last record."""

    def __init__(
        self,
        encoder: CTViT,
        video: Float[Tensor, "batch channel frame height width"],
        *,
        maps: bool,
    ) -> None:
        encoder.check_video(video)
        self._encoder = encoder
        self._video = video
        self._maps = maps

    def __iter__(self) -> Iterator[BlockRecord]:
        # Axes: B batch, T frames, H height, W width, D features, as tokens.
        encoder = self._encoder
        x_BTHWD = encoder.to_patch_emb(self._video)  # noqa: N806 - shape suffix
        grid = b, t, h, w = tuple(x_BTHWD.shape[:4])
        bias = encoder.spatial_rel_pos_bias()
        x = x_BTHWD.reshape(b * t, h * w, -1)
        spatial, temporal = encoder.towers
        for tower, tower_bias in ((spatial, bias), (temporal, None)):
            recompute = encoder.recompute and encoder.training
            for record in tower.walk(x, grid, tower_bias, maps=self._maps, recompute=recompute):
                x = record.out
                yield record
            x = tower.norm_out(x)
            if tower is spatial:
                x = x.view(b, t, h * w, -1).transpose(1, 2).reshape(b * h * w, t, -1)
        self.tokens = x.view(b, h, w, t, -1).permute(0, 3, 1, 2, 4).contiguous()

    def finish(self) -> tuple[BlockRecord, ...]:
        """Go to the end and keep no record.

        Returns:
            Nothing.
        """
        for _ in self:
            pass
        return ()


def _as_pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
