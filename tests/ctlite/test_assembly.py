"""What a shipped recipe lacks is told with what makes it, before anything is built."""

from pathlib import Path

import pytest

from ctlite.assembly import assemble
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
