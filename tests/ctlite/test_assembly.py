"""What a shipped recipe lacks is told with what makes it, before anything is built."""

from pathlib import Path

import pytest
import torch

from ctlite.assembly import assemble, choose_threads
from ctlite.models.build import build_config
from ctlite.recipe import load_recipe
from ctprep.store.errors import RecipeError
from ctprep.store.grids import load_grid
from tests.stores import store_attributes


@pytest.mark.parametrize("recipe", ["paper-fast", "demo-fast"])
def test_a_missing_teacher_is_told_with_what_makes_it(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published weights have to be converted first, others to be trained."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RecipeError, match=r"init\.from: ") as caught:
        assemble(load_recipe(recipe))

    assert "`ctlite convert-teacher`" in caught.value.mend
    assert "training the stage before" in caught.value.mend


def test_other_files_have_nothing_to_do_with_a_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that begins from nothing."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RecipeError, match=r"data\.hifi_store") as caught:
        assemble(load_recipe("demo-teacher"))

    assert "convert-teacher" not in caught.value.mend


def test_a_model_for_another_grid_is_refused() -> None:
    """The demo's 6 x 5 x 5 tokens would be 27,000 on the grid of CT-CLIP, which nobody meant."""
    recipe = load_recipe("demo-teacher").model
    other = load_recipe("demo-teacher", ["model.grid=ct-clip"]).model
    assert recipe is not None
    assert other is not None
    store = store_attributes("hifi", load_grid("ct-clip"))

    assert build_config(recipe, store_attributes("hifi", load_grid("phantom"))).vision.frames == 48
    assert build_config(other, store).vision.frames == 240
    with pytest.raises(RecipeError, match="meant for the grid 'phantom', and the store's is") as no:
        build_config(recipe, store)
    assert "--set model.grid=ct-clip" in no.value.mend


@pytest.mark.parametrize(
    ("device", "has_gpu", "cores", "processes", "expected"),
    [
        ("auto", False, 64, 1, 2),
        ("cpu", True, 64, 1, 2),
        ("auto", True, 12, 1, 12),
        ("cuda:0", True, 64, 1, 16),
        ("cuda", True, 32, 4, 8),
        ("cuda", True, 4, 4, 2),
    ],
)
def test_cores_that_a_gpu_leaves_free_decode(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    has_gpu: bool,
    cores: int,
    processes: int,
    expected: int,
) -> None:
    """Shared among the processes of a machine; two where a CPU computes the steps."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr("ctlite.assembly.count_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))

    assert choose_threads(device) == expected
