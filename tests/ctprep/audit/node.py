"""The page's scripts under node, where there is one."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.ctprep.audit.verdicts_files import PAGE, hash_text

REPORTS = [
    {
        "scanId": "b",
        "text": hash_text("b"),
        "flagged": False,
        "sentences": [
            {"number": "0", "decided": "split"},
            {"number": "1", "decided": "drop"},
            {"number": "2", "decided": "keep"},
        ],
    },
    {
        "scanId": "c",
        "text": hash_text("c"),
        "flagged": True,
        "sentences": [{"number": "0", "decided": "keep"}, {"number": "1", "decided": "drop"}],
    },
]


def evaluate(expression: str) -> Any:
    """Give the value of an expression that uses `Verdicts` and `REPORTS`."""
    return _run(f"{_read('verdicts.js')}\nprocess.stdout.write(JSON.stringify({expression}));")


def use_page(
    steps: Sequence[str], *, stored: dict[str, str] | None = None, can_store: bool = True
) -> Any:
    """Open the page of two reports, do these steps, and look at it."""
    fake = Path(__file__).with_name("fake_page.js").read_text(encoding="utf-8")
    return _run(
        f"const STORED = {json.dumps(stored)}, CAN_STORE = {json.dumps(can_store)};\n{fake}\n"
        f"{_read('verdicts.js')}\n{_read('page.js')}\n"
        f"{json.dumps(list(steps))}.forEach(act);\n"
        "process.stdout.write(JSON.stringify(look()));"
    )


def _read(name: str) -> str:
    return files("ctprep.audit").joinpath(name).read_text(encoding="utf-8")


def _run(program: str) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")
    head = f"const REPORTS = {json.dumps(REPORTS)}, PAGE = {json.dumps(PAGE)};\n"
    done = subprocess.run([node, "-e", head + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
