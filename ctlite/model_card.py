"""The page that goes with a model: what it takes, where it came from, what it may be used for."""

from collections.abc import Sequence
from pathlib import Path

from ctlite.models.config import ModelConfig

CARD_FILE = "README.md"


def write_card(folder: Path, title: str, config: ModelConfig, story: Sequence[str]) -> None:
    """Write the page, in the form that the Hugging Face Hub reads.

    Args:
        folder: of the model.
        title: of the page.
        config: of the model.
        story: paragraphs on how its weights came about.
    """
    origin = config.origin
    head = ["---", "library_name: ct-lite", "tags: [medical-imaging, chest-ct]"]
    head += [] if origin is None else [f"license: {origin.license.lower()}"]
    lines = [*head, "---", f"# {title}", ""]
    for paragraph in story:
        lines += [paragraph, ""]
    lines += [
        "## Input",
        "",
        *_input(config),
        "",
        "## Architecture",
        "",
        f"- Image tower: {config.geometry}.",
        "- Projection: "
        + ("dense." if config.rank is None else f"structured factorized, rank {config.rank}."),
        "",
        "## Use",
        "",
        "For research. It was not made for, and is not cleared for, any clinical decision.",
        "How well it does is only known for the scans it was evaluated on.",
        "",
        "## Licence",
        "",
        _licence(config),
    ]
    (folder / CARD_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _input(config: ModelConfig) -> list[str]:
    wanted = config.preprocessing
    shape, spacing = (
        " x ".join(f"{size:g}" for size in sizes)
        for sizes in (wanted.grid.shape, wanted.grid.spacing_mm)
    )
    lines = [f"- Grid: {shape} voxels (slice, row, column) of {spacing} mm."]
    if wanted.hu_range is not None:
        low, high = wanted.hu_range
        lines.append(f"- Values: HU, of which {low:g} to {high:g} become -1 to 1.")
    if wanted.window is not None:
        quality = "" if wanted.quality is None else f", JPEG of quality {wanted.quality}"
        lines.append(
            f"- Values: gray levels of the window at {wanted.window.center_hu:g} HU of width "
            f"{wanted.window.width_hu:g} HU{quality}."
        )
    return [*lines, f"- Orientation of (frame, height, width): {wanted.orientation}."]


def _licence(config: ModelConfig) -> str:
    origin = config.origin
    if origin is None:
        return (
            "None is stated. Whoever trained it chooses one, as the data allow, before it is given "
            "away; the licence of ctlite covers the program alone."
        )
    return (
        f"The weights are, or began from, those of {origin.name} (`{origin.file}`, SHA-256 "
        f"{origin.sha256}), which keep their licence, {origin.license}: no commercial use, and "
        "what is made from them is shared alike. The licence of ctlite does not cover them."
    )
