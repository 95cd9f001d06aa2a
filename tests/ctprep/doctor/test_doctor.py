"""The doctor tries things, and notices when one does not work."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import simplejpeg

from ctprep.doctor import sources as doctor_sources
from ctprep.doctor import stores as doctor_stores
from ctprep.doctor.check import Check, attempt
from ctprep.doctor.doctor import fails
from ctprep.doctor.machine import check_extras, check_machine
from ctprep.doctor.samples import dicom_samples, jpeg_sample
from ctprep.doctor.sources import check_sources
from ctprep.doctor.stores import check_stores
from ctprep.store.errors import StoreError

ELSEWHERE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = ["ctprep", "doctor", "--json"]
from cli.ctprep import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def by_name(checks) -> dict[str, Check]:
    """Checks by what they tried; no two try the same."""
    found = {}
    for check in checks:
        assert check.name not in found
        found[check.name] = check
    return found


def test_every_decoder_works_here() -> None:
    """The development environment has all that preparing needs; each row tells a version."""
    checks = by_name(check_sources())

    assert [check for check in checks.values() if fails(check)] == []
    assert len([check for check in checks.values() if check.group == "DICOM"]) == 15
    assert {check.name for check in checks.values() if check.group == "files"} == {
        "NIfTI, gzip", "NRRD", "MetaImage", "NPZ", "PNG pictures", "JPEG pictures",
    }  # fmt: skip
    assert "pyjpegls" in checks["JPEG-LS lossless"].detail
    assert all(check.required for check in checks.values())


def test_a_damaged_sample_does_not_decode(monkeypatch) -> None:
    """Each sample is needed whole: a check that any data passes would check nothing."""
    cut = [dataclasses.replace(s, data=s.data[: len(s.data) // 4]) for s in dicom_samples()]
    monkeypatch.setattr(doctor_sources, "dicom_samples", lambda: cut)
    monkeypatch.setattr(doctor_sources, "UNCOMPRESSED", {})

    checks = by_name(check_sources())

    for sample in cut:
        assert checks[sample.name].status == "broken"
        assert checks[sample.name].mend.startswith(f"pip install {sample.package}")
    assert checks["RLE"].status == "ok"


def test_other_pixels_are_noticed(monkeypatch) -> None:
    """A decoder that gives wrong values is broken, however well it ends."""
    one = next(sample for sample in dicom_samples() if sample.name == "JPEG 2000 lossless")
    monkeypatch.setattr(doctor_sources, "dicom_samples", lambda: [one])
    monkeypatch.setattr(doctor_sources, "UNCOMPRESSED", {})
    monkeypatch.setattr(type(one), "pixels", property(lambda _: doctor_sources.ramp() + 1))

    check = by_name(check_sources())["JPEG 2000 lossless"]

    assert (check.status, check.detail) == ("broken", "decoded to values off by up to 1")
    assert fails(check)


def test_an_absent_library_is_missing(monkeypatch) -> None:
    """Not broken: there is a command that brings it."""
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    monkeypatch.setattr(doctor_sources, "dicom_samples", list)
    monkeypatch.setattr(doctor_sources, "UNCOMPRESSED", {})

    checks = by_name(check_sources())

    assert (checks["NRRD"].status, checks["NRRD"].mend) == (
        "missing",
        "pip install 'ct-lite[prep]'",
    )
    assert checks["NPZ"].status == "ok"


def test_stores_work_here() -> None:
    """JPEG both ways, and plain zarr with our codecs found by name."""
    checks = by_name(check_stores())

    assert [check for check in checks.values() if check.status != "ok"] == []
    assert "jpeg of ctprep" in checks["jpeg store through plain zarr"].detail
    assert "blosc of zarr" in checks["hifi store through plain zarr"].detail


def test_the_fast_transform_is_noticed(monkeypatch) -> None:
    """It changes pixels, so stores read with it would not be those that were measured."""
    data, gray = jpeg_sample()
    fast = simplejpeg.decode_jpeg(data, colorspace="GRAY", fastdct=True)[:, :, 0]
    assert (fast != gray).any()

    def decode_fast(_data, out):
        out[...] = fast

    monkeypatch.setattr(doctor_stores, "decode_gray", decode_fast)
    check = by_name(check_stores())["JPEG decoder, accurate DCT"]

    assert check.status == "broken"
    assert "off by up to" in check.detail


def test_a_shape_is_compared_too() -> None:
    """A decoder that returns something smaller is not forgiven."""

    def shrink() -> str:
        doctor_sources.check_equal(np.zeros((2, 2)), np.zeros((2, 3)), 9)
        return "equal"

    assert attempt("files", "x", shrink, mend="none").status == "broken"


def test_faults_are_told_in_one_line() -> None:
    """Whatever is raised; its kind and its first line."""

    def fail() -> str:
        raise RuntimeError("first\nsecond")

    def refuse() -> str:
        raise StoreError("told", mend="so")

    assert attempt("files", "x", fail, mend="pip").detail == "RuntimeError: first"
    assert attempt("files", "x", refuse, mend="pip").detail == "told"


def test_without_libraries_the_doctor_still_answers(tmp_path) -> None:
    """Where nothing but the store is installed: a row each, what is missing, exit code 1."""
    absent = (
        "pydicom",
        "nibabel",
        "SimpleITK",
        "isal",
        "torch",
        "transformers",
        "matplotlib",
        "obstore",
    )
    program = ELSEWHERE.format(absent=absent)

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )

    assert done.returncode == 1, done.stderr
    checks = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert checks["RLE"]["status"] == checks["NPZ"]["status"] == "missing"
    assert checks["RLE"]["mend"] == "pip install 'ct-lite[prep]'"
    assert checks["pictures"]["mend"] == "pip install 'ct-lite[plot]'"
    assert checks["object stores"]["mend"] == "pip install 'ct-lite[s3]'"
    assert checks["training"]["mend"] == "pip install 'ct-lite[train]'"
    assert checks["jpeg store through plain zarr"]["status"] == "ok"
    assert int(checks["cores"]["detail"]) > 0
    assert done.stderr.strip() == "False"
    assert list(tmp_path.iterdir()) == []


def test_the_machine_is_measured(tmp_path) -> None:
    """Cores, memory and the disk of the folder; none of it is a fault."""
    checks = by_name(check_machine(tmp_path))

    assert set(checks) == {"Python", "cores", "memory for workers", "free disk here"}
    assert not any(fails(check) for check in checks.values())
    assert float(checks["free disk here"].detail.split()[0]) > 0


def test_torch_is_asked_in_a_process_of_its_own(monkeypatch) -> None:
    """Its version and its devices come from what that process says."""
    monkeypatch.setattr(
        "ctprep.doctor.machine.ASK_TORCH",
        'print(\'{"torch": "9.9", "cuda": "13.0", "devices": ["A100"]}\')',
    )
    checks = by_name(check_extras())

    assert checks["training"].detail == "torch 9.9"
    assert checks["CUDA"].detail == "CUDA 13.0: A100"

    monkeypatch.setattr("ctprep.doctor.machine.ASK_TORCH", "raise SystemExit('no kernel')")
    checks = by_name(check_extras())
    assert (checks["training"].status, checks["training"].detail) == (
        "broken", "RuntimeError: no kernel",
    )  # fmt: skip
    assert "CUDA" not in checks
