"""Tables of benchmarks are named by what was measured, on what, and when."""

from pathlib import Path

import pytest

from benchmarks.results import accelerator_slug, publish


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm4"),
        ("NVIDIA GeForce RTX 4090", "geforce-rtx-4090"),
        ("Tesla T4", "tesla-t4"),
    ],
)
def test_a_card_is_named_without_its_vendor_and_memory(name, slug):
    """Cards of one chip that differ in speed keep names that differ."""
    assert accelerator_slug(name) == slug


def test_a_table_of_a_card_is_named_by_it_and_one_of_a_processor_by_its_cores(tmp_path: Path):
    """Figures of two machines never share a file."""
    publish("step", ["| a |"], tmp_path)
    publish("step", ["| b |"], tmp_path, accelerator="NVIDIA H100 80GB HBM3")

    of_card, of_processor = sorted(tmp_path.iterdir(), key=lambda path: "-core-" in path.name)
    assert of_card.name.startswith("step_h100_20")
    assert of_card.read_text() == "| b |\n"
    assert "-core-" in of_processor.name
    assert of_processor.read_text() == "| a |\n"
