"""Word lists are data: a second language needs a file, and a wrong file is told."""

from pathlib import Path

import pytest

from ctprep.reports.filter import filter_reports
from ctprep.reports.reading.language import read_rules
from ctprep.reports.reading.rules import judge
from ctprep.reports.reading.sentences import split_sentences
from ctprep.store.errors import TableError
from ctprep.store.tables import read_reports

GERMAN = Path(__file__).with_name("small_german.toml")


@pytest.mark.parametrize(
    ("sentence", "is_normal"),
    [
        ("Das Herz ist unauffällig.", True),  # codespell:ignore
        ("Kein Erguss oder Pneumothorax.", True),  # codespell:ignore
        ("Ein Erguss ist nicht nachweisbar.", True),  # codespell:ignore
        ("Milz eingeschränkt beurteilbar.", True),
        ("Kein Erguss, aber ein Rundherd links.", False),
        ("Unveränderte Lunge, Herz normal.", False),
        ("Rundherd links.", False),
        ("Große Lunge.", False),
        ("The heart is normal.", False),
    ],
)
def test_a_second_language(sentence: str, is_normal: bool) -> None:
    """Letters beyond a to z are letters, and nothing English is left in the rules."""
    assert judge(sentence, read_rules(GERMAN)).is_normal == is_normal


def test_its_headings_and_abbreviations(tmp_path: Path) -> None:
    """They come from the file, through the whole filter, and name themselves in the table."""
    table, out = tmp_path / "raw.csv", tmp_path / "reports.parquet"
    table.write_text(
        "scan_id,report_text\n"
        'a,"Klinische Angaben: Husten\nBefund: Herz normal.Rundherd ca. 4 mm.\n'
        'Beurteilung: Rundherd"\n',
        encoding="utf-8",
    )

    list(filter_reports(table, out, language=GERMAN))

    row = read_reports(out).to_pylist()[0]
    assert row["text_positive"] == "Rundherd ca. 4 mm. Rundherd."
    assert row["model"] == "small_german-1"


def test_a_forgotten_space_before_a_letter_beyond_z() -> None:
    """The next sentence may begin with any capital."""
    texts = [sentence.text for sentence in split_sentences("Herz normal.Über der Lunge nichts")]

    assert texts == ["Herz normal.", "Über der Lunge nichts"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("version", "= version"), "no TOML"),
        (("verb =", "verbs ="), "'verb'"),
        (("'durch'", "'(durch'"), "no regular expression"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, change: tuple[str, str], what: str) -> None:
    """What is wrong with it, which file, and where a right one is."""
    path = tmp_path / "wrong.toml"
    path.write_text(GERMAN.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")

    with pytest.raises(TableError, match=what) as caught:
        read_rules(path)

    assert "wrong.toml" in str(caught.value)
    assert "English one" in str(caught.value)


def test_an_absent_language_is_told() -> None:
    """By name or by path."""
    for language in ("klingon", Path("klingon.toml")):
        with pytest.raises(TableError, match="no word lists"):
            read_rules(language)
