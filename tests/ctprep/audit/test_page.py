"""The page: text as text, the same bytes every time, nothing from elsewhere."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from ctprep.audit.audit import write_audit
from ctprep.reports.filter import REWRITTEN
from ctprep.store.errors import TableError
from ctprep.store.tables import write_reports
from tests.ctprep.audit.tables import FIRST, SECOND, TEXTS, make_row, write_table


class Elements(HTMLParser):
    """All start tags of a page, and the text of its sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._is_text = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the tag."""
        self.tags.append((tag, dict(attrs)))
        self._is_text = ("class", "text") in attrs

    def handle_data(self, data: str) -> None:
        """Remember the text of a sentence."""
        if self._is_text:
            self.texts.append(data)
            self._is_text = False

    def of(self, look: str) -> list[dict[str, str | None]]:
        """Give the attributes of all elements of a class."""
        return [a for _, a in self.tags if look in (a.get("class") or "").split()]


def _write(folder: Path, *kept: dict[str, list[int]], **options: object) -> tuple[str, Elements]:
    tables = [write_table(folder / f"{n}.parquet", each) for n, each in enumerate(kept)]
    write_audit(tables, folder / "page.html", **options)  # type: ignore[arg-type]
    html = (folder / "page.html").read_text(encoding="utf-8")
    elements = Elements()
    elements.feed(html)
    return html, elements


def test_report_text_is_shown_as_text(tmp_path: Path) -> None:
    """A report with markup adds no element and runs nothing."""
    html, elements = _write(tmp_path, FIRST, SECOND)

    assert "<script>alert(1)" not in html
    assert "<script>alert(1)</script> & 'scar' <b>." in elements.texts
    assert [tag for tag, _ in elements.tags].count("script") == 1
    assert "b" not in [tag for tag, _ in elements.tags]


def test_names_of_tables_and_models_are_escaped(tmp_path: Path) -> None:
    """They are foreign text, too."""
    path = write_table(tmp_path / "<i>.parquet", FIRST, model='"><img src=x>', backend="<u>")
    write_audit([path], tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert not re.search("<i>|<img|<u>", html)
    assert "&lt;i&gt;.parquet" in html


def test_same_input_same_bytes(tmp_path: Path) -> None:
    """Also with the rows in another order."""
    one, two = tmp_path / "one", tmp_path / "two"
    html, _ = _write(one, FIRST, SECOND)
    again, _ = _write(two, *(dict(reversed(each.items())) for each in (FIRST, SECOND)))

    assert html == again


def test_another_decision_is_another_page(tmp_path: Path) -> None:
    """Verdicts are remembered by the page's name, which changes with what is shown."""
    names = [
        re.search('data-page="([0-9a-f]{16})"', _write(tmp_path / str(n), *kept, **more)[0])[1]
        for n, (kept, more) in enumerate(
            [
                ((FIRST,), {}),
                ((SECOND,), {}),
                ((FIRST, SECOND), {}),
                ((FIRST,), {"seed": 1}),
                ((SECOND, FIRST), {}),
            ]
        )
    ]

    assert len(set(names)) == 5


def test_nothing_is_loaded_and_the_policy_forbids_it(tmp_path: Path) -> None:
    """No element names an address; style and script are allowed by their hashes alone."""
    html, elements = _write(tmp_path, FIRST)
    policy = next(a["content"] for t, a in elements.tags if t == "meta" and "http-equiv" in a)

    assert not [a for _, a in elements.tags if {"src", "href", "action"} & set(a)]
    assert not re.search(r"https?:|@import|url\(", html)
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        body = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_one_table(tmp_path: Path) -> None:
    """Kept, dropped and not read are told apart by class, mark and word, not color alone."""
    html, elements = _write(tmp_path, {"a": FIRST["a"]})

    looks = [a["class"].split()[-1] for a in elements.of("sentence")]
    assert looks == ["dropped", "kept", "dropped", "dropped"]
    assert [a["data-decided"] for a in elements.of("sentence")] == ["drop", "keep", "drop", "drop"]
    assert html.count('<s class="text">') == 2
    assert html.count('<span class="sr">kept: ') == 1
    assert html.count('<span class="sr">dropped: ') == 2
    assert "<h3>technique, not read by the filter</h3>" in html
    assert html.count('<span class="tag">negated</span>') == 1
    assert "Agreement of" not in html


def test_two_tables(tmp_path: Path) -> None:
    """Both decisions of each sentence, and where they part; agreement is of all reports."""
    html, elements = _write(tmp_path, FIRST, SECOND)
    small, few = _write(tmp_path, FIRST, SECOND, sample=1)

    table = "<td>all</td>" + "".join(
        f'<td class="count">{cell}</td>' for cell in (2, 2, 1, 3, "62.50 %", "0.250")
    )
    assert html.count('<span class="tag">disagree</span>') == 3
    assert len(elements.of("mark")) == 2 * 8
    assert (len(elements.of("report")), len(few.of("report"))) == (3, 1)
    assert table in html
    assert table in small


def test_the_draw_is_told(tmp_path: Path) -> None:
    """How many of how many, of which, by which seed, and who filtered."""
    html, _ = _write(tmp_path, FIRST, SECOND, only="nothing-abnormal", seed=7)

    assert "1 of 1 reports that are in every table and flagged nothing-abnormal in one" in html
    assert "seed 7" in html
    assert 'data-only="nothing-abnormal"' in html
    assert "hand, me, prompt or lists 0123456789ab" in html
    assert "Flags of B: nothing-abnormal" in html


def test_rewrites_are_shown_beside_their_sources(tmp_path: Path) -> None:
    """With the number of each source."""
    path = tmp_path / "1.parquet"
    written = {"text_positive": "6 mm nodule.", "flags": (REWRITTEN,)}
    write_reports(path, [make_row("a", TEXTS["a"], [1], **written)])
    write_audit([path], tmp_path / "page.html", only="flagged")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert '<li><span class="number">1</span> 6 mm nodule.</li>' in html
    assert 'data-flagged="yes"' in html


@pytest.mark.parametrize(
    ("only", "tables", "message"),
    [
        ("disagreeing", 1, "disagrees with none"),
        ("disagreeing", 2, "not kept alike"),
        ("flagged", 1, "flagged"),
    ],
)
def test_nothing_to_draw(tmp_path: Path, only: str, tables: int, message: str) -> None:
    """Is an error, and leaves no page behind."""
    with pytest.raises(TableError, match=message):
        _write(tmp_path, *[FIRST] * tables, only=only)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("all", {"a", "b", "c"}),
        ("disagreeing", {"a"}),
        ("flagged", {"b"}),
        ("nothing-abnormal", {"c"}),
        ("answered-by-rules", {"b"}),
    ],
)
def test_which_reports_are_drawn_from(tmp_path: Path, only: str, expected: set[str]) -> None:
    """All, those of one flag or of any that tells more, or where tables part."""
    tables = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for number, path in enumerate(tables):
        rows = [
            make_row("a", TEXTS["a"], [1, 3] if number else [1]),
            make_row("b", TEXTS["b"], [0], flags=("answered-by-rules",)),
            make_row("c", TEXTS["c"], []),
        ]
        write_reports(path, rows)
    write_audit(tables, tmp_path / "page.html", only=only)  # type: ignore[arg-type]
    elements = Elements()
    elements.feed((tmp_path / "page.html").read_text(encoding="utf-8"))

    assert {a["data-scan"] for a in elements.of("report")} == expected


def test_a_forgotten_page_overwrites_no_table(tmp_path: Path) -> None:
    """The last argument is the page, so a table there is refused and stays."""
    one = write_table(tmp_path / "1.parquet", FIRST)
    two = write_table(tmp_path / "2.parquet", SECOND)
    before = two.read_bytes()

    with pytest.raises(TableError, match=r"'2\.parquet' is not called \.html") as caught:
        write_audit([one], two)
    assert "name the page last" in caught.value.mend
    assert two.read_bytes() == before


def _luminance(color: str) -> float:
    digits = "".join(digit * 2 for digit in color) if len(color) == 3 else color
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("number", [0, 1, 2], ids=["light", "dark", "print"])
@pytest.mark.parametrize(
    "pair",
    [
        ("ink", "paper"), ("pale", "paper"), ("ink", "bar"), ("pale", "bar"), ("ink", "keep"),
        ("ink", "split"), ("keep-ink", "paper"), ("drop-ink", "paper"), ("drop-ink", "bar"),
        ("mark", "paper"), ("mark", "bar"),
    ],
)  # fmt: skip
def test_text_stands_out(number: int, pair: tuple[str, str]) -> None:
    """Every color of text on every ground it stands on has a contrast of 4.5 (WCAG 2.2, 1.4.3)."""
    css = files("ctprep.audit").joinpath("page.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colors = dict(re.findall("--([a-z-]+): #([0-9a-f]+);", "".join([roots[0], roots[number]])))
    light, dark = sorted((_luminance(colors[name]) for name in pair), reverse=True)

    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_real_reports(tmp_path: Path, shared_data: Path) -> None:
    """Of 40 real reports every sentence is on the page, once, in order."""
    from ctprep.reports.filter import filter_reports, read_sentences
    from ctprep.store.tables import read_reports

    lines = (shared_data / "reports/01_chest_ct_18_labels/train.csv").read_bytes().splitlines(True)
    (tmp_path / "raw.csv").write_bytes(b"".join(lines[:41]))
    list(filter_reports(tmp_path / "raw.csv", tmp_path / "r.parquet"))
    made = write_audit([tmp_path / "r.parquet"], tmp_path / "page.html", sample=10)
    elements = Elements()
    elements.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    texts = {r["scan_id"]: r["text_full"] for r in read_reports(tmp_path / "r.parquet").to_pylist()}

    assert (made.drawn, made.candidates, made.reports) == (10, 40, 40)
    drawn = [a["data-scan"] for a in elements.of("report")]
    assert elements.texts == [t for scan in drawn for t, _ in read_sentences(texts[scan])]
