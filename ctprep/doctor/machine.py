"""Check what is optional here, and how much of a machine it is."""

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ctprep.doctor.check import Check, attempt, tell_versions
from ctprep.jobs import memory_budget
from ctprep.store.machine import count_cores

TORCH_TIMEOUT_S = 180
ASK_TORCH = """
import json, torch
names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "devices": names}))
"""


def check_extras() -> Iterator[Check]:
    """Try the libraries that only some commands need."""
    plot, bucket, train = (f"pip install 'ct-lite[{name}]'" for name in ("plot", "s3", "train"))
    yield attempt("extras", "pictures", _draw, mend=plot, required=False)
    yield attempt("extras", "object stores", _use_bucket, mend=bucket, required=False)
    yield attempt("extras", "text models", _find_transformers, mend=train, required=False)
    yield from _check_torch(train)


def check_machine(folder: Path) -> Iterator[Check]:
    """Measure the machine.

    Args:
        folder: whose disk is looked at.
    """
    free = shutil.disk_usage(folder).free
    for name, detail in (
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("cores", f"{count_cores()}"),
        ("memory for workers", f"{memory_budget() / 1e9:.1f} GB"),
        ("free disk here", f"{free / 1e9:.1f} GB"),
    ):
        yield Check("machine", name, "ok", False, detail)


def _draw() -> str:
    import matplotlib  # noqa: F401 - so that its absence is told as such

    from ctprep.look.plotting import encode_png, new_figure

    encode_png(new_figure(1.0, 1.0))
    return tell_versions("matplotlib", "scikit-learn")


def _use_bucket() -> str:
    import obstore
    from obstore.store import MemoryStore

    store = MemoryStore()
    obstore.put(store, "doctor", b"well")
    if bytes(obstore.get(store, "doctor").bytes()) != b"well":
        raise ValueError("gave back other bytes than it was given")
    return tell_versions("obstore")


def _find_transformers() -> str:
    if find_spec("transformers") is None:
        raise ModuleNotFoundError(name="transformers")
    return tell_versions("transformers", "safetensors")


def _check_torch(mend: str) -> Iterator[Check]:
    """Ask torch in a process of its own: preparing never loads it."""

    def ask() -> dict[str, object]:
        if find_spec("torch") is None:
            raise ModuleNotFoundError(name="torch")
        done = subprocess.run(
            [sys.executable, "-c", ASK_TORCH],
            capture_output=True,
            text=True,
            timeout=TORCH_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or "it ended without a word").splitlines()[-1])
        answer: dict[str, object] = json.loads(done.stdout)
        return answer

    answers: list[dict[str, object]] = []

    def tell() -> str:
        answers.append(ask())
        return f"torch {answers[0]['torch']}"

    yield attempt("extras", "training", tell, mend=mend, required=False)
    if not answers:
        return
    devices = answers[0]["devices"]
    if isinstance(devices, list) and devices:
        detail = f"CUDA {answers[0]['cuda']}: {', '.join(map(str, devices))}"
        yield Check("extras", "CUDA", "ok", False, detail)
    else:
        detail = "torch sees no device; training runs on the CPU"
        mend = "pip install --force-reinstall torch  # a build with CUDA, beside a driver"
        yield Check("extras", "CUDA", "missing", False, detail, mend)
