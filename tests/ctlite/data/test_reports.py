"""Reports become the tokens of the chosen text."""

from pathlib import Path
from typing import Any

import pytest

from ctlite.data.reports import Reports, ReportText, TextChoice, read_report_texts, reports_of_scans
from ctprep.store.errors import TableError
from ctprep.store.tables import ReportRow, ScanRow, write_reports


def words(texts: list[str], *, max_length: int, **_: Any) -> dict[str, list[list[int]]]:
    """Stand in for a tokenizer: a token is a word's length; cut and padded."""
    rows = [[len(word) for word in text.split()][:max_length] for text in texts]
    longest = max(map(len, rows))
    return {
        "input_ids": [row + [0] * (longest - len(row)) for row in rows],
        "attention_mask": [[1] * len(row) + [0] * (longest - len(row)) for row in rows],
    }


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A report table of two scans."""
    path = tmp_path / "reports.parquet"
    write_reports(
        path,
        [
            ReportRow(
                scan_id=f"s{index}",
                text_full=f"Heart is normal. {finding}",
                text_positive=finding,
                text_negative="Heart is normal.",
                kept_sentences=(1,),
                backend="rules",
                model="",
                prompt_hash="",
            )
            for index, finding in enumerate(["Effusion.", "Large nodule here."])
        ],
    )
    return path


@pytest.mark.parametrize(
    ("choice", "token_ids", "mask"),
    [
        ("positive", [[9, 0, 0], [5, 6, 5]], [[1, 0, 0], [1, 1, 1]]),
        ("full", [[5, 2, 7, 9, 0], [5, 2, 7, 5, 6]], [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]),
    ],
)
def test_tokens_of_the_chosen_text(
    table: Path, choice: TextChoice, token_ids: list[list[int]], mask: list[list[int]]
) -> None:
    """By hand: cut at five words, padded to the longest of the batch."""
    reports = Reports(read_report_texts(table), words, choice=choice, max_length=5)

    got_ids, got_mask = reports.tokenize(["s0", "s1"], epoch=0)

    assert got_ids.tolist() == token_ids
    assert got_mask.tolist() == mask


def test_mixed_draws_anew_every_epoch(table: Path) -> None:
    """Both texts are seen over the epochs, and an epoch is the same when repeated."""
    reports = Reports(read_report_texts(table), words, choice="mixed", seed=3)

    texts = [reports.texts("s0", epoch)[0] for epoch in range(64)]

    assert texts == [reports.texts("s0", epoch)[0] for epoch in range(64)]
    assert 16 < texts.count("Effusion.") < 48
    assert texts != [reports.texts("s1", epoch)[0] for epoch in range(64)]


def test_missing_reports_are_named(table: Path) -> None:
    """Every scan trained on needs a report."""
    with pytest.raises(TableError, match="1 of 2 scans have no report, the first are s9"):
        Reports(read_report_texts(table), words).check(["s0", "s9"])


def test_reconstructions_have_the_report_of_their_study() -> None:
    """Its own comes first; a report of accession 2024/A1 is in the table as 2024-a1."""
    texts = {name: ReportText(name, name, "") for name in ("2024-a1", "s2", "other")}
    row = {"patient_id": "p", "split": "train"}
    rows = [
        ScanRow(scan_id="s1", study_id="2024/A1", **row),
        ScanRow(scan_id="s2", study_id="2024/A1", **row),
        ScanRow(scan_id="s3", **row),
    ]

    found = reports_of_scans(texts, rows)

    assert {scan_id: text.full for scan_id, text in found.items()} == {"s1": "2024-a1", "s2": "s2"}


def test_the_report_of_another_patient_is_no_study_s() -> None:
    """A study spelled like another's scan is refused, and nobody is trained on a wrong text."""
    rows = [
        ScanRow(scan_id="s1", patient_id="p", split="train", study_id="S9"),
        ScanRow(scan_id="s9", patient_id="q", split="test", study_id="T"),
    ]

    with pytest.raises(TableError, match="'s1' has no row of its own, and its study is"):
        reports_of_scans({"s9": ReportText("s9", "s9", "")}, rows)


def test_sentences_are_drawn_without_repeats(table: Path) -> None:
    """Both sentences of a report come before any comes again, in an order drawn by epoch."""
    reports = Reports(read_report_texts(table), words, choice="sentences", per_scan=3)
    both = {"Effusion.", "Heart is normal."}

    draws = [reports.texts("s0", epoch) for epoch in range(32)]

    assert all(set(draw[:2]) == both for draw in draws)
    assert {draw[0] for draw in draws} == both
    assert draws == [reports.texts("s0", epoch) for epoch in range(32)]


def test_tokens_of_several_texts_come_text_by_text(table: Path) -> None:
    """Rows are the first text of every scan, then the second of every."""
    reports = Reports(read_report_texts(table), words, choice="sentences", per_scan=2)
    first, second = reports.texts("s0", 4), reports.texts("s1", 4)

    ids, _ = reports.tokenize(["s0", "s1"], epoch=4)

    want = [
        [len(word) for word in text.split()] for text in (first[0], second[0], first[1], second[1])
    ]
    assert [row[: len(lengths)] for row, lengths in zip(ids.tolist(), want, strict=True)] == want


def test_a_report_divides_into_its_sentences() -> None:
    """Decimals do not end a sentence, and a report without findings is one sentence."""
    text = ReportText("whole", "Nodule of 2.5 mm. Is it old?", "No effusion.")

    assert text.sentences() == ["Nodule of 2.5 mm.", "Is it old?", "No effusion."]
    assert ReportText("whole", "", "").sentences() == ["whole"]
    assert ReportText("whole", "Mass. Mass.", "No fluid.").sentences() == ["Mass.", "No fluid."]
