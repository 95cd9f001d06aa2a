"""The abnormalities this project speaks of, by their CT-RATE names, read from `labels.toml`."""

import tomllib
from importlib.resources import files

_NAMES: dict[str, list[str]] = tomllib.loads(
    files("ctprep.store").joinpath("labels.toml").read_text(encoding="utf-8")
)

CT_RATE_LABELS: tuple[str, ...] = tuple(_NAMES["ct_rate"])
"""The 18 labels of CT-RATE, in the order of its label table."""

CT_LITE_LABELS: tuple[str, ...] = tuple(_NAMES["ct_lite"])
"""The 12 of them that can be seen in a lung window, in the same order."""
