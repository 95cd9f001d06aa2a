"""Help answers without loading what only the work needs."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch", "SimpleITK", "transformers", "pydicom", "distributed", "zarr", "numpy", "pyarrow",
    "httpx2",
)  # fmt: skip

PROGRAM = """
import sys
from typer.testing import CliRunner
from cli.{command} import app
result = CliRunner().invoke(app, {arguments!r})
assert result.exit_code == 0, result.output
assert {expected!r} in result.output, result.output
print(",".join(name for name in {heavy!r} if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("ctprep", ["--help"], "ingest"),
        ("ctprep", ["ingest", "--help"], "--grid"),
        ("ctprep", ["label-reports", "--help"], "--tokenizer"),
        ("ctprep", ["export", "--help"], "--original-grid"),
        ("ctprep", ["export-monai", "--help"], "--folds"),
        ("ctprep", ["describe", "--help"], "--about"),
        ("ctprep", ["filter-reports", "--help"], "--base-url"),
        ("ctprep", ["--version"], "ct-lite"),
        ("ctlite", ["--help"], "train"),
        ("ctlite", ["train", "--help"], "--set"),
        ("ctlite", ["convert-teacher", "--help"], "--tokenizer"),
        ("ctlite", ["experiment", "--help"], "--seeds"),
    ],
)
def test_help_loads_no_heavy_library(command: str, arguments: list[str], expected: str) -> None:
    """No array, model or imaging library is imported to print a page of text."""
    program = PROGRAM.format(command=command, arguments=arguments, expected=expected, heavy=HEAVY)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
