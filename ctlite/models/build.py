"""From a recipe's `[model]` and the store's grid to a model, new or loaded."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ctlite.data.volumes import video_shape
from ctlite.model_recipe import ModelRecipe, TextRecipe
from ctlite.models.config import ModelConfig, Preprocessing, VisionConfig
from ctlite.models.ct_clip import CtClip, StoredModel, find_model
from ctlite.models.text_encoder import TextTower, build_small_bert, load_text_tower
from ctlite.models.weights_file import read_weights
from ctprep.store.attributes import StoreAttributes
from ctprep.store.errors import CheckpointError, RecipeError, StoreMismatchError

SMALL_BERT = "small-bert"


def preprocessing_of(store: StoreAttributes, recipe: ModelRecipe) -> Preprocessing:
    """Describe the volumes of a store to the model that is trained on them.

    Args:
        store: its attributes.
        recipe: gives orientation and HU range.

    Returns:
        What the model's configuration keeps.
    """
    return Preprocessing(
        kind=store.kind,
        grid=store.grid,
        orientation=recipe.orientation,
        hu_range=recipe.hu_range if store.kind == "hifi" else None,
        window=store.window,
        quality=store.quality,
    )


def with_gray(config: ModelConfig, store: StoreAttributes) -> ModelConfig:
    """Describe a model that is to take the gray levels of a JPEG store from now on.

    Args:
        config: of a model of either kind.
        store: attributes of the JPEG store.

    Returns:
        The configuration with grid and orientation as they were.

    Raises:
        StoreMismatchError: the model has learned from gray levels of another window.
    """
    seen = config.preprocessing
    if seen.kind == "jpeg" and seen.window != store.window:
        stored, learned = (
            "none" if window is None else f"{window.center_hu:g} +- {window.width_hu / 2:g} HU"
            for window in (store.window, seen.window)
        )
        raise StoreMismatchError(
            f"the store's window is {stored}, the model has learned from {learned}",
            mend="choose a store of that window, or begin from a model of clean volumes",
            where="data.jpeg_store of the recipe",
        )
    gray = Preprocessing(
        kind="jpeg",
        grid=seen.grid,
        orientation=seen.orientation,
        window=store.window,
        quality=store.quality,
    )
    return config.model_copy(update={"preprocessing": gray})


def build_config(recipe: ModelRecipe, store: StoreAttributes) -> ModelConfig:
    """Derive a model's configuration.

    Args:
        recipe: the architecture.
        store: gives the size of the video.

    Returns:
        The configuration, with a dense projection.

    Raises:
        RecipeError: the patches do not divide the grid, or are meant for another one.
    """
    if recipe.grid not in (None, store.grid.name):
        raise RecipeError(
            f"the recipe's model is meant for the grid {recipe.grid!r}, and the store's is "
            f"{store.grid.name!r}",
            mend="take a recipe for that grid (docs/training.md), or pass "
            f"--set model.grid={store.grid.name} with a model.patch_size and a "
            "model.temporal_patch_size that suit it",
            where="model.grid of the recipe",
        )
    frames, height, width = video_shape(
        store.grid.shape,
        stored_orientation=store.orientation,
        model_orientation=recipe.orientation,
    )
    try:
        vision = VisionConfig(
            image_size=height if height == width else (height, width),
            frames=frames,
            **recipe.model_dump(include=set(VisionConfig.model_fields)),
        )
    except ValidationError as error:
        raise RecipeError(
            str(error.errors()[0]["msg"]).removeprefix("Value error, "),
            mend="set model.patch_size and model.temporal_patch_size to divisors of the grid "
            f"{store.grid.name!r}",
        ) from error
    return ModelConfig(
        vision=vision,
        latent_dim=recipe.latent_dim,
        pooling=recipe.pooling,
        preprocessing=preprocessing_of(store, recipe),
    )


def build_model(recipe: ModelRecipe, store: StoreAttributes, texts: Iterable[str]) -> CtClip:
    """Make a model with random image weights.

    Args:
        recipe: the architecture.
        store: whose volumes it will take.
        texts: reports that the vocabulary of a small BERT is learned from.

    Returns:
        The model; its weights follow torch's generator.

    Raises:
        RecipeError: the patches do not divide the grid.
        CheckpointError: the text encoder cannot be loaded.
    """
    return CtClip(build_config(recipe, store), build_text_tower(recipe.text, texts))


def build_text_tower(recipe: TextRecipe, texts: Iterable[str]) -> TextTower:
    """Make or load the text tower.

    Args:
        recipe: which.
        texts: reports that the vocabulary of a small BERT is learned from.

    Returns:
        Encoder and tokenizer.

    Raises:
        CheckpointError: the encoder cannot be loaded.
    """
    if recipe.encoder != SMALL_BERT:
        return load_text_tower(recipe.encoder, local_files_only=recipe.local_files_only)
    return build_small_bert(
        texts,
        width=recipe.width,
        layers=recipe.layers,
        heads=recipe.heads,
        vocabulary_size=recipe.vocabulary_size,
        dropout=recipe.dropout,
    )


def open_init(
    init: Path, recipe: ModelRecipe | None, store: StoreAttributes, texts: Iterable[str]
) -> StoredModel:
    """Open the model that a run starts from.

    Args:
        init: run folder, model folder, or a published checkpoint file.
        recipe: the geometry of a published checkpoint; None for a folder, which knows its own.
        store: whose volumes a published checkpoint is to take.
        texts: reports, for a checkpoint with a small BERT.

    Returns:
        The model, to be loaded.

    Raises:
        CheckpointError: there is none, or it is damaged.
        RecipeError: a `[model]` beside a folder, or none beside a file.
    """
    if init.is_file() == (recipe is None):
        raise RecipeError(
            "init.from is a checkpoint file, and no [model] says its geometry"
            if recipe is None
            else "init.from is no checkpoint file, and a model folder knows its own architecture",
            mend=f"make a model folder of it: ctlite convert-teacher {init.name} FOLDER"
            if recipe is None
            else "take [model] out of the recipe",
            where=str(init),
        )
    if recipe is not None:
        config, text = build_config(recipe, store), build_text_tower(recipe.text, texts)
        return StoredModel(config, text, read_weights(init).tensors)
    folder = find_model(init)
    if not folder.is_dir():
        raise CheckpointError(
            "there is no trained model to start from",
            mend="train that run to its end first, or correct init.from",
            where=str(init),
        )
    return StoredModel.open(folder)
