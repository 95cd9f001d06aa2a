"""A recipe is checked whole, and told apart from another by its keys."""

from pathlib import Path

import pytest

from ctlite.recipe import (
    Recipe,
    check_recipe,
    differing_keys,
    load_recipe,
    recipe_names,
    to_toml,
)
from ctprep.store.errors import RecipeError


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_whole(name: str) -> None:
    """Every recipe in the package loads, and its run folder carries its name."""
    folder = "demo-out" if name.startswith("demo-") else f"runs/{name}"
    assert str(load_recipe(name).out).startswith(folder)


def test_a_stage_needs_its_stores() -> None:
    """The paper's four runs are there, by stage."""
    assert load_recipe("demo-fast").stage.needs == {"hu", "gray"}
    assert load_recipe("demo-finetune").stage.needs == {"gray", "text"}


def test_resolved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    """What the run folder keeps gives the same recipe, defaults and all."""
    recipe = load_recipe("demo-teacher", ["optimizer.lr=3e-4"])
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe))

    assert load_recipe(str(path)) == recipe


def test_overrides_are_toml_values_or_plain_text() -> None:
    """Numbers, booleans and lists are parsed; a path needs no quotes."""
    recipe = load_recipe(
        "demo-teacher",
        [
            "optimizer.lr=3e-4",
            "stage.freeze_text=true",
            "model.hu_range=[-1000, 200]",
            "data.scans=my/scans.csv",
        ],
    )

    assert recipe.optimizer.lr == 3e-4
    assert recipe.stage.freeze_text is True
    assert recipe.model is not None
    assert recipe.model.hu_range == (-1000, 200)
    assert recipe.data.scans == Path("my/scans.csv")


def test_all_faults_are_told_at_once() -> None:
    """Unknown keys and wrong values come in one error, each with its path."""
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo-fast", ["optimizer.lr=-1", "stage.styel=true", "data.batch_size=many"])

    for path in ("optimizer.lr", "stage.styel", "data.batch_size"):
        assert path in caught.value.what
    assert caught.value.where == "demo-fast"


def test_missing_inputs_are_told_by_key() -> None:
    """A stage without its stores or its teacher names the keys."""
    with pytest.raises(RecipeError, match=r"data\.jpeg_store.*init\.from"):
        check_recipe(
            {
                "stage": {"name": "fast"},
                "data": {"scans": "scans.csv", "hifi_store": "hifi.zarr"},
                "schedule": {"steps": 1},
                "out": "runs/x",
            }
        )


@pytest.mark.parametrize("override", ["optimizer.lr", "=3", "out.lr=3"])
def test_an_override_that_sets_nothing_is_refused(override: str) -> None:
    """A forgotten value, or a key below a value."""
    with pytest.raises(RecipeError, match=r"sets nothing"):
        load_recipe("demo-fast", [override])


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    """The mend names what there is."""
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo-fats")

    assert "did you mean demo-fast?" in caught.value.mend
    with pytest.raises(RecipeError) as caught:
        load_recipe("mine")
    assert "demo-fast" in caught.value.mend


def test_differing_keys_show_both_values() -> None:
    """Only what differs is shown."""
    one: Recipe = load_recipe("demo-fast")
    other = load_recipe("demo-fast", ["optimizer.lr=0.5"])

    assert differing_keys(one, other) == ["optimizer.lr: 0.001, not 0.5"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.batchsize=4", "data.batchsize: there is no such key; did you mean data.batch_size?"),
        ("optimiser.lr=1", "optimiser: there is no such key; did you mean optimizer?"),
        ("batch_size=4", "batch_size: there is no such key; did you mean data.batch_size?"),
        ("stage.rank=4", "stage.rank: there is no such key; [stage] has name, style, dual"),
        ("model.text.lairs=1", "did you mean model.text.layers?"),
        ("optimizer.learning_rate=1", "[optimizer] has lr, weight_decay"),
        ("stage.name=fats", "stage.name: there is no stage 'fats'; did you mean fast?"),
        ("stage.name=word", "there are clip, fast, sfp"),
        ("optimizer.lr=inf", "optimizer.lr: Input should be a finite number"),
        ("model.hu_range=[1000,-1000]", "model.hu_range: the first must be less"),
        (f"seed={2**32}", "seed: Input should be less than"),
        ("data.batch_size=" + "x" * 99, "x" * 50 + "...)"),
    ],
)
def test_a_fault_names_the_key_that_was_meant(override: str, told: str) -> None:
    """The nearest key of the section, a key of that name elsewhere, or what the section has."""
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo-fast", [override])

    assert told in caught.value.what


def test_a_stage_without_its_name_is_told(tmp_path: Path) -> None:
    """Of the stages there are, and of a misspelt section together with the missing one."""
    path = tmp_path / "recipe.toml"
    path.write_text('out = "x"\n[stage]\n[dta]\nscans = "x"\n[schedule]\nsteps = 1\n')
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))

    for told in (
        "stage.name: it is missing; there are clip, fast, sfp",
        "data: it is missing",
        "dta: there is no such key; did you mean data?",
    ):
        assert told in caught.value.what


def test_a_recipe_without_its_suffix_is_told(tmp_path: Path) -> None:
    """Otherwise it would be looked for among the shipped ones."""
    path = tmp_path / "recipe"
    path.write_text("")

    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert "ends with .toml" in caught.value.mend
