"""Two reports, and how tests ask a server about them."""

from pathlib import Path
from typing import Any

from ctprep.reports.backends.server import OpenAiBackend
from ctprep.reports.filter import filter_reports
from ctprep.store.tables import read_reports
from tests.ctprep.reports.chat_server import Reply, Seen, says

KEY = "sk-very-secret-0123456789"
REPORTS = """scan_id,report_text
sick,The heart is normal. No effusion. A 4.5 mm nodule is seen. Dr. Jones was told on 12.03.2019.
well,Lungs are clear. No effusion or mass is seen.
"""


def connect(url: str, **options: Any) -> OpenAiBackend:
    """Give a backend that is soon out of patience."""
    return OpenAiBackend("m", base_url=url, backoff_s=0.01, **{"timeout_s": 5.0, **options})


def filter_both(folder: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """Filter the reports, and give the rows of the table by scan."""
    (folder / "raw.csv").write_text(REPORTS)
    list(filter_reports(folder / "raw.csv", folder / "reports.parquet", **options))
    return {row["scan_id"]: row for row in read_reports(folder / "reports.parquet").to_pylist()}


def keep_the_nodule(seen: Seen, _: int) -> Reply:
    """Answer as a good model does."""
    return says('{"keep": [2]}' if "nodule" in seen.question else "[]")
