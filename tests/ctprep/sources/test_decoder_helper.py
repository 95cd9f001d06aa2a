"""The helper that decodes compressed pixels: when it is ended it is replaced, and leaks nothing."""

import os
import signal
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from ctprep.sources import dicom_decoder
from ctprep.sources.dicom_decoder import DecodeError, decode_compressed


@pytest.fixture
def slices(tiny, tmp_path: Path) -> list[tuple[bytes, np.ndarray]]:
    """Compressed files, and the pixels in them."""
    made = []
    for path in sorted(tiny.dicom(tmp_path / "series").iterdir()):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array.copy()
        dataset.compress(RLELossless)
        dataset.save_as(path)
        made.append((path.read_bytes(), pixels))
    return made


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """A helper of each test's own."""
    dicom_decoder._stop()
    yield
    dicom_decoder._stop()


def _pid() -> int:
    return dicom_decoder._started()._process.pid


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_helper_ended_between_files_costs_no_file(slices, number: signal.Signals) -> None:
    """Whatever ends it while it waits has nothing to do with the next file."""
    for content, pixels in slices[:4]:
        np.testing.assert_array_equal(decode_compressed(content, pixels.nbytes), pixels)
        os.kill(_pid(), number)
        dicom_decoder._started()._process.wait()


def test_a_helper_killed_while_it_decodes_is_asked_once_more(slices, monkeypatch) -> None:
    """As the kernel does where memory is short; a second time it is the file's fault."""
    content, pixels = slices[0]
    send, kills = dicom_decoder._Helper._receive, [1]

    def receive(helper, size, seconds):
        if kills and seconds != dicom_decoder.START_S:
            kills.pop()
            os.kill(helper._process.pid, signal.SIGSTOP)
            os.kill(helper._process.pid, signal.SIGKILL)
            os.read(helper._answers.fileno(), 1 << 20)  # what it may have said already
        return send(helper, size, seconds)

    monkeypatch.setattr(dicom_decoder._Helper, "_receive", receive)

    np.testing.assert_array_equal(decode_compressed(content, pixels.nbytes), pixels)
    kills += [1, 1]
    with pytest.raises(DecodeError, match="signal 9"):
        decode_compressed(content, pixels.nbytes)
    np.testing.assert_array_equal(decode_compressed(content, pixels.nbytes), pixels)


def test_no_answer_is_given_to_another_file(slices) -> None:
    """A helper that dies leaves nothing in the pipe that the next file would be given."""
    for number in (signal.SIGKILL, signal.SIGTERM):
        for content, pixels in slices:
            np.testing.assert_array_equal(decode_compressed(content, pixels.nbytes), pixels)
            os.kill(_pid(), number)


def test_a_helper_that_does_not_start_leaks_nothing(monkeypatch) -> None:
    """Neither a process nor a pipe."""
    started = []

    class Sleeper(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(["sleep", "60"], **options)
            started.append(self)

    monkeypatch.setattr(dicom_decoder.subprocess, "Popen", Sleeper)
    monkeypatch.setattr(dicom_decoder, "START_S", 0)
    before = _descriptors()

    for _ in range(3):
        with pytest.raises(DecodeError, match="no answer"):
            decode_compressed(b"", 1)

    assert [process.returncode for process in started] == [-signal.SIGKILL] * 3
    assert _descriptors() == before


def test_an_interrupt_while_it_starts_leaks_nothing(monkeypatch) -> None:
    """Ctrl-C may come at any time."""
    before = _descriptors()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dicom_decoder._Helper, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decode_compressed(b"", 1)

    assert not dicom_decoder._HELPERS
    assert _descriptors() == before


def test_a_larger_file_may_follow(slices, monkeypatch) -> None:
    """The memory that one file may take does not bind the next."""
    monkeypatch.setattr(dicom_decoder, "SPARE_BYTES", 64 << 20)
    content, pixels = slices[0]
    np.testing.assert_array_equal(decode_compressed(content, pixels.nbytes), pixels)

    dataset = pydicom.dcmread(BytesIO(content))
    dataset.add_new(0x00091001, "OB", bytes(200 << 20))
    large = BytesIO()
    dataset.save_as(large)

    np.testing.assert_array_equal(decode_compressed(large.getvalue(), pixels.nbytes), pixels)
