"""A model folder is factorized in little memory, goes on where it was killed, and is whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from cli import training
from cli.ctlite import app
from ctlite import factorize_model
from ctlite.factorize_model import Factorization
from ctlite.models import projection_init
from ctlite.models.approximated import load_approximated
from ctlite.models.ct_clip import CtClip, StoredModel
from ctlite.models.projection import SFP
from ctlite.recipe import Recipe, to_toml
from ctlite.trainer import train
from ctprep.store.errors import CheckpointError, PlaceError

BLOCKS = 4


@pytest.fixture
def dense(toy_recipe: Callable[..., Recipe], tmp_path: Path) -> Path:
    """Model of a short run: 64 inputs, 16 outputs, 4 blocks."""
    list(train(toy_recipe("clip", "schedule.steps=1", "stage.input=jpeg"), tmp_path / "dense"))
    return tmp_path / "dense"


@pytest.fixture(autouse=True)
def one_block_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four parts, so that there is something to be stopped between."""
    monkeypatch.setattr(projection_init, "NUMBERS_AT_ONCE", 16**2)


def weights(folder: Path) -> dict[str, Tensor]:
    """Tensors of a model folder."""
    return load_file(folder / "model.safetensors")


def test_the_folder_is_what_training_makes_by_itself(dense: Path, tmp_path: Path) -> None:
    """Every number, and the configuration."""
    work = Factorization(dense, tmp_path / "rank1", 1)
    done = list(work.run())
    expected = load_approximated(StoredModel.open(dense / "model"), 1, "svd")
    made = CtClip.from_pretrained(tmp_path / "rank1")

    assert done == [1, 2, 3, 4]
    assert made.config == expected.config
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(made.state_dict()[name], tensor, rtol=0, atol=0)
    error = (weights(dense / "model")["to_visual_latent.weight"] - made_dense(made)).norm() ** 2
    norm = weights(dense / "model")["to_visual_latent.weight"].norm() ** 2
    assert 1 - work.kept_share == pytest.approx(float(error / norm), rel=1e-4)


def made_dense(model: CtClip) -> Tensor:
    """The SFP written out."""
    to_dense: Callable[[], Tensor] = model.to_visual_latent.to_dense  # type: ignore[assignment]
    return to_dense()


@pytest.mark.parametrize("parts", [1, 3, 4])
def test_a_stopped_run_goes_on_and_ends_alike(dense: Path, tmp_path: Path, parts: int) -> None:
    """Stopped after any part: nothing is there under the name, and no block is done twice."""
    list(Factorization(dense, tmp_path / "whole", 1).run())
    stopped = Factorization(dense, tmp_path / "again", 1).run()
    for _ in range(parts):
        next(stopped)
    stopped.close()
    assert not (tmp_path / "again").exists()

    rest = Factorization(dense, tmp_path / "again", 1)
    done = list(rest.run())

    assert done == list(range(parts + 1, BLOCKS + 1))
    for name in ("model.safetensors", "config.json"):
        whole, again = (tmp_path / folder / name for folder in ("whole", "again"))
        assert again.read_bytes() == whole.read_bytes()
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        path.name for path in (tmp_path / "whole").iterdir()
    }


def test_what_was_begun_of_another_model_or_rank_is_begun_anew(dense: Path, tmp_path: Path) -> None:
    """Cores of two models in one file would load without an error."""
    stopped = Factorization(dense, tmp_path / "out", 1).run()
    next(stopped)
    stopped.close()
    assert Factorization(dense, tmp_path / "out", 1).done.blocks == 1
    with pytest.warns(UserWarning, match="saves no weights"):
        assert Factorization(dense, tmp_path / "out", 2).starts_over

    path = dense / "model" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)

    assert Factorization(dense, tmp_path / "out", 1).done.blocks == 0


def test_what_came_to_be_there_meanwhile_is_not_removed(dense: Path, tmp_path: Path) -> None:
    """Another folder of that name, put there while a run was stopped, or while it goes on."""
    stopped = Factorization(dense, tmp_path / "out", 1).run()
    next(stopped)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years")

    with pytest.raises(CheckpointError, match="nothing is overwritten"):
        list(stopped)
    with pytest.raises(CheckpointError, match="nothing is overwritten"):
        Factorization(dense, tmp_path / "out", 1)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years"


def test_a_run_killed_before_its_folder_has_its_name_loses_no_block(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All cores are on disk by then."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(factorize_model, "publish_folder", die)
        with pytest.raises(KeyboardInterrupt):
            list(Factorization(dense, tmp_path / "out", 1).run())
    again = Factorization(dense, tmp_path / "out", 1)

    assert again.done.blocks == BLOCKS
    assert list(again.run()) == []
    assert CtClip.from_pretrained(tmp_path / "out").config.rank == 1


def test_two_processes_do_not_write_one_folder(dense: Path, tmp_path: Path) -> None:
    """The second is told, and the first ends well."""
    first = Factorization(dense, tmp_path / "out", 1).run()
    next(first)

    with pytest.raises(PlaceError, match="another process"):
        list(Factorization(dense, tmp_path / "out", 1).run())
    list(first)
    assert (tmp_path / "out").is_dir()


def test_a_model_that_is_replaced_meanwhile_is_not_mixed_in(dense: Path, tmp_path: Path) -> None:
    """Neither under the name, nor in what a later call goes on with."""
    run = Factorization(dense, tmp_path / "out", 1).run()
    next(run)
    path = dense / "model" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, tmp_path / "new")
    (tmp_path / "new").replace(path)

    with pytest.raises(CheckpointError, match="was replaced"):
        list(run)
    assert not (tmp_path / "out").exists()
    assert Factorization(dense, tmp_path / "out", 1).starts_over


def test_weights_that_are_no_numbers_are_told_by_their_block(dense: Path, tmp_path: Path) -> None:
    """Before the decomposition, which would say something of convergence."""
    path = dense / "model" / "model.safetensors"
    weights = load_file(path)
    weights["to_visual_latent.weight"][3, 40] = float("nan")
    save_file(weights, path)

    with pytest.raises(CheckpointError, match="not finite in blocks 2 to 2"):
        list(Factorization(dense, tmp_path / "out", 1).run())


def test_half_a_journal_is_not_trusted(dense: Path, tmp_path: Path) -> None:
    """A disk that lost its end costs time, never numbers."""
    stopped = Factorization(dense, tmp_path / "out", 1).run()
    next(stopped)
    stopped.close()
    journal = tmp_path / ".out.partial" / factorize_model.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-9])

    assert Factorization(dense, tmp_path / "out", 1).done.blocks == 0


def test_only_some_blocks_are_in_memory(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The widest tensor that is decomposed is one block, whatever the layer has."""
    seen: list[int] = []
    find = projection_init.METHODS["svd"]

    def watch(blocks: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
        seen.append(blocks.numel())
        return find(blocks, rank)

    monkeypatch.setitem(projection_init.METHODS, "svd", watch)
    list(Factorization(dense, tmp_path / "out", 1).run())

    assert seen == [16**2] * BLOCKS


def test_an_sfp_is_not_factorized_again(dense: Path, tmp_path: Path) -> None:
    """Nor is anything written over."""
    list(Factorization(dense, tmp_path / "out", 1).run())

    with pytest.raises(CheckpointError, match="rank 1 already"):
        Factorization(tmp_path / "out", tmp_path / "more", 1)
    with pytest.raises(CheckpointError, match="nothing is overwritten"):
        Factorization(dense, tmp_path / "out", 1)


def test_training_takes_the_folder_as_it_is(
    dense: Path, tmp_path: Path, toy_recipe: Callable[..., Recipe]
) -> None:
    """A run from the folder has the losses of one that factorizes by itself."""
    list(Factorization(dense, tmp_path / "out", 1).run())
    runs = [
        list(train(toy_recipe("sfp", f"init.from={init}", "stage.rank=1"), tmp_path / name))
        for name, init in (("from-folder", tmp_path / "out"), ("by-itself", dense))
    ]

    first, second = ([report.losses for report in run] for run in runs)
    assert first == second


def test_training_tells_that_it_factorizes(
    dense: Path, tmp_path: Path, toy_recipe: Callable[..., Recipe]
) -> None:
    """It may take minutes; one line where no terminal shows a bar."""
    recipe = toy_recipe("sfp", f"init.from={dense}", "stage.rank=1", "schedule.steps=1")
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    run = tmp_path / "run"
    result = CliRunner().invoke(app, ["train", str(tmp_path / "recipe.toml"), "--out", str(run)])

    assert result.exit_code == 0, result.output
    told = "finding the SFP nearest to a dense projection of 4 blocks\n"
    assert result.stderr.startswith(told)
    assert run.is_dir()


def test_a_plan_waits_for_no_factorization(
    dense: Path,
    tmp_path: Path,
    toy_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Groups and memory follow from sizes; it is told what training will do first."""

    def plan(*options: str) -> str:
        recipe = toy_recipe("sfp", f"init.from={dense}", "stage.rank=1", *options)
        (tmp_path / "recipe.toml").write_text(to_toml(recipe))
        arguments = ["train", str(tmp_path / "recipe.toml"), "--dry-run", "--out"]
        result = CliRunner().invoke(app, [*arguments, str(tmp_path / "run")])
        assert result.exit_code == 0, result.output
        return result.stdout

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the projection is looked at")

    for name in ("approach", "reset_parameters"):
        monkeypatch.setattr(SFP, name, refuse)
    told = plan()
    assert "projection: training first finds its SFP, of 4 blocks\n" in told
    assert "group to_visual_latent, 512 parameters: lr 0.048" in told
    assert "projection: training" not in plan("stage.projection_init=random")
    assert not (tmp_path / "run").exists()
    # One process of each machine looks; a second would need the memory of a teacher once more.
    monkeypatch.setattr(training, "assemble", refuse)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert plan() == ""


def test_the_command_tells_counts_and_what_is_kept(dense: Path, tmp_path: Path) -> None:
    """By hand: 64 inputs, 16 = 4 x 4 outputs, rank 1: 1 * 64 * 8 weights, exact and ideal."""
    arguments = ["factorize", str(dense), str(tmp_path / "out"), "--rank", "1", "--json"]
    result = CliRunner().invoke(app, arguments)
    told = json.loads(result.stdout)

    assert result.exit_code == 0, result.output
    assert told["parameters"] == {"dense": 1024, "exact": 512, "ideal": 512}
    assert 0.3 < told["kept_share"] < 0.9
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_dry_run_writes_nothing(dense: Path, tmp_path: Path) -> None:
    """It checks and counts."""
    arguments = ["factorize", str(dense), str(tmp_path / "out"), "--rank", "1", "--dry-run"]
    result = CliRunner().invoke(app, arguments)

    assert "would write" in result.stdout
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
