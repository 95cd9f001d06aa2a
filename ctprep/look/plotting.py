"""Figures without a screen, where matplotlib is installed."""

import io
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from ctprep.store.errors import CtError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120


def check_plotting() -> None:
    """Refuse to go on where matplotlib is absent.

    Raises:
        CtError: says how to install it.
    """
    if find_spec("matplotlib") is None:
        raise CtError(
            "pictures need matplotlib, which is not installed",
            mend="pip install 'ct-lite[plot]'",
        )


def new_figure(width: float, height: float, *, dpi: int | None = None) -> "Figure":
    """Make an empty figure that belongs to no window and no global state.

    Args:
        width: in inches.
        height: in inches.
        dpi: pixels an inch; `DPI` where left out.

    Raises:
        CtError: matplotlib is absent.
    """
    check_plotting()
    from matplotlib.figure import Figure  # late: an extra, and slow to import

    return Figure(figsize=(width, height), dpi=dpi or DPI, layout="constrained")


def encode_png(figure: "Figure") -> bytes:
    """Draw a figure as a PNG file."""
    return encode_figure(figure, "png")


def encode_figure(figure: "Figure", format: Literal["png", "pdf"]) -> bytes:
    """Draw a figure as a PNG or PDF file, which holds no time."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format=format, metadata={"CreationDate": None} if format == "pdf" else None
    )
    return buffer.getvalue()
