"""The codec `jpeg` keeps gray pictures, and refuses every other."""

import numpy as np
import pytest
import simplejpeg
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.registry import get_codec_class, register_codec

from ctprep.store.errors import StoreError
from ctprep.store.jpeg import JpegCodec, decode_gray, encode_gray


def picture(rows: int, columns: int) -> np.ndarray:
    """A smooth gray picture."""
    row, column = np.indices((rows, columns))
    return (127 + 100 * np.sin(row / 9) * np.cos(column / 7)).astype(np.uint8)


@given(st.integers(1, 40), st.integers(1, 40))
def test_pictures_come_back_nearly(rows: int, columns: int) -> None:
    """Every size, also such as are no multiple of 8."""
    gray = picture(rows, columns)
    out = np.empty_like(gray)

    decode_gray(encode_gray(gray, 95), out)

    assert np.abs(out.astype(int) - gray).max() <= 6


def test_decoding_uses_the_accurate_dct() -> None:
    """Equal to the accurate decoder, and not to the fast one."""
    gray = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    data = encode_gray(gray, 90)
    out = np.empty_like(gray)

    decode_gray(data, out)

    accurate = simplejpeg.decode_jpeg(data, "GRAY", fastdct=False)[..., 0]
    fast = simplejpeg.decode_jpeg(data, "GRAY", fastdct=True)[..., 0]
    np.testing.assert_array_equal(out, accurate)
    assert (out != fast).any()


@pytest.mark.parametrize("shape", [(8, 16), (16, 8), (32, 16)])
def test_a_picture_of_another_size_is_an_error(shape: tuple[int, int]) -> None:
    """Smaller or larger: nothing is filled, and both sizes are told."""
    out = np.full((16, 16), 7, np.uint8)

    with pytest.raises(StoreError, match=r"\(16, 16\)"):
        decode_gray(encode_gray(picture(*shape), 90), out)

    assert (out == 7).all()


def test_color_and_damage_are_errors() -> None:
    """A color JPEG, a JPEG cut short, and no JPEG at all."""
    out = np.empty((16, 16), np.uint8)
    color = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)

    for data in (color, encode_gray(noise, 90)[:-60], b"nothing", b""):
        with pytest.raises(StoreError, match="damaged"):
            decode_gray(data, out)


@pytest.mark.parametrize("shape", [(0, 4), (65501, 1)])
def test_impossible_sizes_are_refused(shape: tuple[int, int]) -> None:
    """Empty, and longer than libjpeg takes."""
    with pytest.raises(StoreError, match="cannot be"):
        encode_gray(np.zeros(shape, np.uint8), 90)


@pytest.mark.parametrize(
    "configuration",
    [{"quality": 101}, {"quality": True}, {"encoded_color_space": "rgb"}, "q", {"quality": 9.5}],
)
def test_other_configurations_are_refused(configuration: object) -> None:
    """Quality out of range or no integer, and color."""
    with pytest.raises(StoreError, match="configured"):
        JpegCodec.from_dict({"name": "jpeg", "configuration": configuration})


def test_zarr_uses_the_codec() -> None:
    """A 2-D uint8 array through zarr, with the quality in its metadata."""
    gray = picture(40, 36)
    array = zarr.create_array(
        {}, shape=gray.shape, chunks=(20, 36), dtype="uint8", serializer=JpegCodec(95),
        compressors=None,
    )  # fmt: skip
    array[:] = gray

    assert np.abs(array[:].astype(int) - gray).max() <= 6
    assert JpegCodec.from_dict(JpegCodec(70).to_dict()) == JpegCodec(70)


@pytest.mark.parametrize(("shape", "dtype"), [((8, 8, 8), "uint8"), ((8, 8), "int16")])
def test_zarr_is_told_what_does_not_fit(shape: tuple[int, ...], dtype: str) -> None:
    """Three dimensions and int16 are refused, not cast."""
    array = zarr.create_array(
        {}, shape=shape, chunks=shape, dtype=dtype, serializer=JpegCodec(90), compressors=None
    )

    with pytest.raises(StoreError, match="was given a chunk"):
        array[:] = 1


def test_zarr_prefers_a_codec_of_its_own() -> None:
    """Zarr names its own codecs in its configuration, and that name wins over ours."""

    class Native(JpegCodec):
        pass

    assert get_codec_class("jpeg") is JpegCodec
    with zarr.config.set({"codecs.jpeg": "zarr.codecs.jpeg.Native"}):
        register_codec("jpeg", Native, qualname="zarr.codecs.jpeg.Native")
        try:
            assert get_codec_class("jpeg") is Native
        finally:
            registries = vars(zarr.registry)
            name = next(key for key in registries if key.endswith("_codec_registries"))
            registries[name]["jpeg"].pop("zarr.codecs.jpeg.Native")
