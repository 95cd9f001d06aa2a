"""A tiny stack of pictures, and the sidecar that places it."""

import io
import json

import numpy as np
import simplejpeg
from PIL import Image

SIDECAR = json.dumps({"spacing_mm": [4, 4, 4], "axis_codes": "SPL"}).encode()


def picture(suffix: str, number: int = 0) -> bytes:
    """Encode a gray picture as `.png` or `.jpg`."""
    gray = np.random.default_rng(number).integers(0, 256, (16, 16)).astype(np.uint8)
    if suffix == ".jpg":
        data: bytes = simplejpeg.encode_jpeg(
            gray[:, :, None], colorspace="GRAY", colorsubsampling="Gray"
        )
        return data
    buffer = io.BytesIO()
    Image.fromarray(gray).save(buffer, "PNG")
    return buffer.getvalue()


def stack(suffix: str, first: bytes | None = None, sidecar: bytes = SIDECAR) -> dict[str, bytes]:
    """Give the files of a stack of three pictures, one of which may be another."""
    pictures = {f"{number}{suffix}": picture(suffix, number) for number in range(3)}
    return {**pictures, f"0{suffix}": first or pictures[f"0{suffix}"], "stack.json": sidecar}
