"""Stacks of pictures: what is taken, exactly as it is, and what is refused."""

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ctprep.sources.discover import discover
from ctprep.sources.files import SourceFile
from ctprep.sources.picture_order import in_order
from ctprep.sources.pictures import read_stack
from ctprep.sources.read import read
from ctprep.sources.source import Found, Refused
from ctprep.store.attributes import LUNG, Window
from ctprep.store.errors import SourceError
from ctprep.window import to_gray

SIDECAR = {"spacing_mm": [2, 0.8, 0.7], "axis_codes": "IPL"}


def _gray(slices: int = 3, rows: int = 9, columns: int = 11) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (slices, rows, columns)).astype(np.uint8)


def _png(picture: np.ndarray, **options) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", **options)
    return buffer.getvalue()


def _jpeg(picture: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture)[:, :, None], colorspace="GRAY", colorsubsampling="Gray"
    )


def _stack(folder: Path, files: dict[str, bytes], sidecar: object = SIDECAR) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if sidecar is not None:
        (folder / "stack.json").write_text(json.dumps(sidecar))
    return folder


def _pngs(gray: np.ndarray) -> dict[str, bytes]:
    return {f"im_{index + 8}.png": _png(picture) for index, picture in enumerate(gray)}


def _found(folder: Path, *, tolerant: bool = False) -> Found:
    (found,) = discover(folder, tolerant=tolerant)
    assert isinstance(found, Found), found
    return found


def _refused(folder: Path) -> Refused:
    (refused,) = discover(folder)
    assert isinstance(refused, Refused), refused
    assert refused.mend
    return refused


def test_a_png_stack_keeps_every_gray_level_at_its_place(tmp_path: Path) -> None:
    """Sorted 8, 9, 10 and not 10, 8, 9; axes and spacing as the sidecar says, by hand."""
    gray = _gray()
    sidecar = {**SIDECAR, "origin_ras_mm": [10, 20, 30]}

    scan = read(_found(_stack(tmp_path / "ct", _pngs(gray), sidecar)))

    np.testing.assert_array_equal(to_gray(scan.volume.hu, LUNG), gray)
    assert scan.volume.affine_ras.tolist() == [
        [0, 0, -0.7, 10], [0, -0.8, 0, 20], [-2, 0, 0, 30], [0, 0, 0, 1],
    ]  # fmt: skip
    assert (scan.original.axis_codes, scan.original.spacing_mm) == ("IPL", (2.0, 0.8, 0.7))
    assert "window-assumed" in scan.verdicts
    assert scan.hu.decision == "windowed"
    # Black is the lower edge of the lung window, white its upper edge.
    assert scan.hu.intercept == -1350
    assert scan.hu.slope * 255 + scan.hu.intercept == pytest.approx(150)
    assert len(scan.source_sha256) == 4


def test_jpegs_are_decoded_accurately_and_gray_color_is_gray(tmp_path: Path) -> None:
    """The pixels are those of libjpeg's accurate DCT; three equal channels count as gray."""
    picture = _gray(1, 16, 24)[0]
    color = np.repeat(picture[:, :, None], 3, axis=2)
    files = {
        "1.jpg": _jpeg(picture),
        "2.jpeg": simplejpeg.encode_jpeg(color, quality=80, colorsubsampling="420"),
        "3.png": _png(color),
    }

    gray = to_gray(read(_found(_stack(tmp_path / "ct", files))).volume.hu, LUNG)

    for index, name in enumerate(("1.jpg", "2.jpeg")):
        expected = simplejpeg.decode_jpeg(files[name], "GRAY", fastdct=False, fastupsample=False)
        np.testing.assert_array_equal(gray[index], expected[:, :, 0])
    np.testing.assert_array_equal(gray[2], picture)


@given(
    center=st.floats(-1000, 1000),
    width=st.floats(256, 4000),
)
def test_windowing_again_gives_every_gray_level_back(center: float, width: float) -> None:
    """Whole HU hold all levels of every window that a sidecar may name."""
    from ctprep.sources.pictures import _levels_hu

    window = Window(center_hu=center, width_hu=width)
    levels = to_gray(_levels_hu(window).reshape(1, 1, 256), window)

    np.testing.assert_array_equal(levels.ravel(), np.arange(256))


def test_the_sidecar_may_be_toml_and_name_scan_patient_and_window(tmp_path: Path) -> None:
    """Its ids replace the folder's name; its window says what black and white are."""
    folder = _stack(tmp_path / "ct", _pngs(_gray()), None)
    (folder / "stack.toml").write_text(
        'spacing_mm = [2, 1, 1]\naxis_codes = "SPL"\nscan_id = "scan-7"\npatient_id = "Doe"\n'
        "window = { center_hu = 40, width_hu = 400 }\n"
    )

    found = _found(folder)

    assert (found.key, found.patient_key) == ("scan-7", "Doe")
    assert "Doe" not in repr(found)
    scan = read(found)
    assert scan.volume.hu.min() == -160
    assert "center 40, width 400" in scan.hu.reason
    assert "not-a-chest" not in scan.verdicts


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spacing_mm": [2, 0, 1]}, "spacing_mm.1"),
        ({"spacing_mm": [2, 1]}, "spacing_mm"),
        ({"spacing_mm": [float("nan"), 1, 1]}, "spacing_mm.0"),
        ({"axis_codes": "SPP"}, "names an axis twice"),
        ({"axis_codes": None}, "axis_codes"),
        ({"orientation": "SPL"}, "orientation"),
        ({"window": {"center_hu": 40, "width_hu": 80}}, "256 to 20000 HU wide"),
        ({"window": {"center_hu": 1e6, "width_hu": 300}}, "center"),
        ({"scan_id": "../up"}, "scan_id"),
        ({"origin_ras_mm": [1e9, 0, 0]}, "origin_ras_mm.0"),
    ],
)
def test_a_wrong_sidecar_tells_the_key(tmp_path: Path, change, told: str) -> None:
    """Every key has its bounds, and no other key is taken."""
    refused = _refused(_stack(tmp_path / "ct", _pngs(_gray()), {**SIDECAR, **change}))

    assert refused.verdict == "bad-sidecar"
    assert told in refused.what
    assert "spacing_mm = " in refused.mend


@pytest.mark.parametrize(
    "text", ["{", "[1]", "[" * 50_000, "\xff", '{"spacing_mm": 1}' + " " * 70_000]
)
def test_a_sidecar_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """No JSON, no object, nested without end, no UTF-8, and too long."""
    folder = _stack(tmp_path / "ct", _pngs(_gray()), None)
    (folder / "stack.json").write_bytes(text.encode("latin-1"))

    assert _refused(folder).verdict == "bad-sidecar"


def test_parts_of_a_stack_are_refused_once_for_all_their_files(tmp_path: Path) -> None:
    """No sidecar, no pictures, two sidecars, one picture; the first shows what to write."""
    pngs = _pngs(_gray())
    no_sidecar = _refused(_stack(tmp_path / "a", pngs, None))
    two = _stack(tmp_path / "c", pngs)
    (two / "stack.toml").write_text("")

    assert (no_sidecar.verdict, no_sidecar.files) == ("no-sidecar", 3)
    assert "axis_codes" in no_sidecar.mend
    assert _refused(_stack(tmp_path / "b", {})).verdict == "no-pictures"
    assert (_refused(two).verdict, _refused(two).files) == ("two-sidecars", 5)
    assert _refused(_stack(tmp_path / "d", {"1.png": _png(_gray()[0])})).verdict == "single-image"


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        (("1", "2", "4"), "missing-slice"),
        (("1", "01"), "duplicate-slice"),
        (("a1", "b2"), "ambiguous-order"),
        (("a", "b"), "ambiguous-order"),
        (("1_1", "2_2"), "ambiguous-order"),
        (("1", "1_1"), "ambiguous-order"),
        (("2", "4", "6"), "missing-slice"),
    ],
)
def test_numbers_that_are_no_sequence_are_refused(tmp_path: Path, names, verdict: str) -> None:
    """Holes, copies, and names from which no order follows."""
    picture = _png(_gray()[0])
    refused = _refused(_stack(tmp_path / "ct", {f"{name}.png": picture for name in names}))

    assert refused.verdict == verdict


def test_one_picture_in_two_formats_is_a_duplicate(tmp_path: Path) -> None:
    """1.jpg and 1.png are the same slice."""
    picture = _gray()[0]
    folder = _stack(tmp_path / "ct", {"1.png": _png(picture), "1.jpg": _jpeg(picture)})

    assert _refused(folder).verdict == "duplicate-slice"


@given(st.permutations(range(1, 30)))
def test_the_order_is_that_of_the_numbers(numbers: list[int]) -> None:
    """Whatever order the files come in, and however the numbers are written."""
    ordered, mends = in_order(
        [SourceFile(f"x/ser2-{n}.png", Path("x")) for n in numbers], tolerant=False
    )

    assert [path.basename for path in ordered] == [f"ser2-{n}.png" for n in range(1, 30)]
    assert mends == ()


def test_tolerance_takes_even_steps_and_says_so(tmp_path: Path) -> None:
    """Every second number; a hole among them is still refused."""
    picture = _png(_gray()[0])
    even = _stack(tmp_path / "even", {f"{n}.png": picture for n in (2, 4, 6)})
    hole = _stack(tmp_path / "hole", {f"{n}.png": picture for n in (2, 4, 8)})

    assert "every 2th" in _found(even, tolerant=True).mends[0]
    (refused,) = discover(hole, tolerant=True)
    assert isinstance(refused, Refused)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def _bare_png(rows: int, columns: int, bits: int = 8, color_type: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", columns, rows, bits, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")
    )


def _cmyk(rows: int, columns: int) -> bytes:
    buffer = BytesIO()
    Image.new("CMYK", (columns, rows)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (_bare_png(100_000, 100_000), "oversized"),
        (_bare_png(0, 11), "oversized"),
        (_bare_png(9, 11, bits=16), "sixteen-bit"),
        (_bare_png(9, 11, bits=4), "not-gray"),
        (_bare_png(9, 11, color_type=3), "not-gray"),
        (_bare_png(9, 11, color_type=4), "not-gray"),
        (_cmyk(9, 11), "not-gray"),
        (_png(_gray(1, 9, 12)[0]), "mixed-sizes"),
        (b"\x89PNG\r\n\x1a\n", "undecodable"),
        (b"\xff\xd8\xff\xe0", "undecodable"),
        (b"GIF89a", "undecodable"),
        (b"", "undecodable"),
    ],
)
def test_a_header_that_cannot_be_a_slice_is_refused(tmp_path: Path, content, verdict: str) -> None:
    """Before anything is decoded, and with the name of the picture."""
    files = {**_pngs(_gray()), "im_11.png": content}
    refused = _refused(_stack(tmp_path / "ct", files))

    assert refused.verdict == verdict
    assert "im_11.png" in refused.what
    assert refused.files == 5


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    Image.fromarray(_gray()[0]).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def _colored() -> np.ndarray:
    color = np.repeat(_gray()[0][:, :, None], 3, axis=2)
    color[4, 5] = 255, 0, 0
    return color


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (_png(_gray()[0])[:-20], "undecodable"),
        (_flipped(_png(_gray()[0]), 60), "undecodable"),
        (_bare_png(9, 11), "undecodable"),
        (_jpeg(_gray()[0])[:-20], "undecodable"),
        (_png(_colored()), "not-gray"),
        (simplejpeg.encode_jpeg(_colored(), colorsubsampling="444"), "not-gray"),
        (_turned(), "rotated"),
        (_png(_gray()[0], save_all=True, append_images=[Image.new("L", (11, 9))]), "undecodable"),
    ],
)
def test_a_picture_that_is_no_slice_is_refused(tmp_path: Path, content, verdict: str) -> None:
    """Truncated, one bit flipped, empty, colored in one pixel, turned, or animated."""
    found = _found(_stack(tmp_path / "ct", {**_pngs(_gray()), "im_11.png": content}))

    with pytest.raises(SourceError) as refused:
        read(found)

    assert refused.value.verdict == verdict
    assert refused.value.where == "im_11.png"


def test_a_long_header_is_still_found(tmp_path: Path) -> None:
    """A profile of 100 kB before the size of the picture."""
    picture = _gray()[0]
    jpeg = _jpeg(picture)
    profile = b"".join(b"\xff\xe2" + struct.pack(">H", 50_002) + bytes(50_000) for _ in range(2))
    files = {"1.jpg": jpeg, "2.jpg": jpeg[:2] + profile + jpeg[2:]}

    scan = read(_found(_stack(tmp_path / "ct", files)))

    np.testing.assert_array_equal(scan.volume.hu[0], scan.volume.hu[1])


def test_an_unknown_policy_is_told(tmp_path: Path) -> None:
    """As for every other format."""
    found = _found(_stack(tmp_path / "ct", _pngs(_gray())))

    with pytest.raises(SourceError, match="unknown"):
        read_stack(found, hu_policy="guess")


def test_every_file_is_in_one_outcome(tmp_path: Path) -> None:
    """Stacks of two folders, a stray picture beside them and a note."""
    _stack(tmp_path / "a", _pngs(_gray()))
    _stack(tmp_path / "b", _pngs(_gray()))
    (tmp_path / "cover.jpg").write_bytes(_jpeg(_gray()[0]))
    (tmp_path / "notes.txt").write_text("no scan")

    outcomes = list(discover(tmp_path))

    counts = [len(o.paths) if isinstance(o, Found) else o.files for o in outcomes]
    assert sum(counts) == 10
    assert {o.name for o in outcomes} == {"notes.txt", "cover.jpg", "a/im_10.png", "b/im_10.png"}
