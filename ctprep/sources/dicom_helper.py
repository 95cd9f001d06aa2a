"""The program that decompresses DICOM pixels; what kills it is told by its end."""

import io
import json
import os
import re
import resource
import struct
import sys
import tempfile
import warnings
from typing import IO, Any

import numpy as np

REQUEST = struct.Struct("<QQQ")
"""Bytes of the file that follows, bytes of memory and seconds that decoding it may take."""
ANSWER = struct.Struct("<Q")
"""Bytes of the JSON that follows; behind it come the pixels, if there are any."""
COMPLAINT = re.compile(
    rb"premature end|bad Huffman|[Ss]tream too short|[Ff]ailed to decode|Inconsistent progression"
    rb"|Unsupported marker|Bogus|restart marker|[Tt]runcated|inconsistent with stream"
)
"""What libjpeg and OpenJPEG print when they make up the rest of a picture."""
LOSSY_JPEG = ("1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55")
"""Extended, spectral selection, full progression: of more than 8 bits, pydicom leaves them out."""


def serve() -> None:
    """Answer requests on standard input, on standard output, until there are no more."""
    import pydicom.pixels.decoders  # noqa: F401  what takes long comes before it says it is there

    questions, answers = os.dup(0), os.dup(1)
    with tempfile.TemporaryFile() as printed:
        # Libraries print to either; what they print can quote a header.
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        os.write(answers, b"!")
        _answer_all(questions, answers, printed)


def _answer_all(questions: int, answers: int, printed: IO[bytes]) -> None:
    with os.fdopen(questions, "rb", buffering=0) as file:
        while len(head := _read(file, REQUEST.size)) == REQUEST.size:
            size, memory, seconds = REQUEST.unpack(head)
            content = _read(file, size)
            printed.seek(0)
            printed.truncate()
            _limit(memory, seconds)
            try:
                pixels = _decode(content, printed)
            except Exception as error:  # each decoder fails in its own way
                _send(answers, {"error": _reason(error)})
                continue
            finally:
                # A larger file may follow.
                _set_limit(resource.RLIMIT_CPU, resource.RLIM_INFINITY)
                _set_limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
            _send(answers, {"dtype": pixels.dtype.str, "shape": pixels.shape}, pixels)


def _read(file: io.RawIOBase | IO[bytes], size: int) -> bytes:
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _send(answers: int, answer: dict[str, Any], pixels: np.ndarray | None = None) -> None:
    encoded = json.dumps(answer).encode()
    data: list[bytes | memoryview] = [ANSWER.pack(len(encoded)), encoded]
    if pixels is not None:
        data.append(pixels.reshape(-1).view(np.uint8).data)
    for part in data:
        view = memoryview(part)
        while view:
            view = view[os.write(answers, view) :]


def _decode(content: bytes, printed: IO[bytes]) -> np.ndarray:
    import pydicom
    from pydicom.uid import JPEGLSTransferSyntaxes

    pixels: np.ndarray
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        syntax = dataset.file_meta.TransferSyntaxUID
        # Which bits are stored is for the caller to tell.
        dataset.pixel_array_options(correct_unused_bits=False)
        if syntax in JPEGLSTransferSyntaxes:
            # The other one takes a quarter of a minute to find a frame damaged.
            dataset.pixel_array_options(decoding_plugin="gdcm", correct_unused_bits=False)
        if syntax in LOSSY_JPEG and dataset.BitsStored > 8:
            pixels = _decode_by_gdcm(content, (dataset.Rows, dataset.Columns))
        else:
            pixels = dataset.pixel_array
    printed.seek(0)
    if complaint := COMPLAINT.search(printed.read()):
        raise ValueError(complaint.group().decode())
    return np.ascontiguousarray(pixels)


def _decode_by_gdcm(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    """Decode one image of up to 16 bits; what is not just that is refused."""
    import gdcm

    with tempfile.NamedTemporaryFile() as file:  # it reads no bytes
        file.write(content)
        file.flush()
        reader = gdcm.ImageReader()
        reader.SetFileName(file.name)
        if not reader.Read():
            raise ValueError("not read")
        image = reader.GetImage()
        form = image.GetPixelFormat()
        dtype = {"UINT16": "<u2", "INT16": "<i2"}[form.GetScalarTypeAsString()]
        if (*image.GetDimensions(), form.GetSamplesPerPixel()) != (*shape[::-1], 1):
            raise ValueError("another shape")
        pixels = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), dtype)
    bits = form.GetBitsStored() - form.GetPixelRepresentation()
    if pixels.min() < -(1 << bits) or pixels.max() >= 1 << bits:
        raise ValueError("another range")
    return pixels.reshape(shape)


def _reason(error: Exception) -> str:
    # Of a message only what we put there: others quote the file.
    known = COMPLAINT.fullmatch(str(error).encode("utf-8", "replace"))
    return f"its decoder says {str(error)!r}" if known else type(error).__name__


def _limit(memory: int, seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    _set_limit(resource.RLIMIT_CPU, spent + seconds)
    # Only Linux tells what is used, and holds to it.
    if sys.platform.startswith("linux"):
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            used = int(file.read().split()[0]) * resource.getpagesize()
        _set_limit(resource.RLIMIT_AS, used + memory)


def _set_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    # No limit is -1.
    limits = [limit for limit in (value, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(which, (min(limits, default=hard), hard))
