"""A text tower comes with the words it was trained on, or not at all."""

from pathlib import Path

import pytest

from ctlite.models.text_encoder import (
    build_small_bert,
    load_text_tower,
    restore_text_tower,
    save_text_tower,
)
from ctprep.store.disk import writing
from ctprep.store.errors import CheckpointError, PlaceError
from tests.ctlite.test_bad_runs import small_files

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole tower of a small BERT, weights and all."""
    tower = build_small_bert(["No nodule.", "Emphysema."], width=16, layers=1)
    save_text_tower(tmp_path, tower)
    tower.encoder.save_pretrained(tmp_path)
    return tmp_path


def test_a_whole_folder_is_taken(folder: Path) -> None:
    """Both ways, with the words it was made of."""
    for tower in (restore_text_tower(folder), load_text_tower(str(folder))):
        assert tower.tokenizer.tokenize("emphysema") == ["emphysema"]


def test_a_folder_without_its_vocabulary_is_refused(folder: Path) -> None:
    """Transformers makes a tokenizer of five special tokens there, and every report is alike."""
    for name in TOKENIZER_FILES:
        (folder / name).unlink(missing_ok=True)

    with pytest.raises(CheckpointError, match="knows no word"):
        restore_text_tower(folder)
    with pytest.raises(CheckpointError, match="knows no word"):
        load_text_tower(str(folder))


def test_a_disk_that_is_full_at_the_words_is_told_as_any_other(tmp_path: Path) -> None:
    """The tokenizers library raises a bare `Exception` of its own for it."""
    tower = build_small_bert(["No nodule.", "Emphysema."], width=16, layers=1)

    # Room for the encoder's configuration, but not for the words.
    with small_files(1000), pytest.raises(PlaceError, match="may not grow so large"), writing("m"):
        save_text_tower(tmp_path, tower)
