"""The headers of an archive on their way into series, on disk once they are many."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ctprep.sources.archives import Member
from ctprep.sources.dicom_header import Header
from ctprep.sources.files import SourceFile
from ctprep.store.names import name_bytes

MOST_IN_MEMORY_KIB = 64 * 1024


class HeaderIndex:
    """Collects headers, and gives them back a series at a time.

    An archive of 50,000 studies has millions of images. Their headers go into a temporary
    database, which its library keeps in memory while it is small, then in a file without a name
    that is gone with the process: headers identify people.
    """

    def __init__(self) -> None:
        # One thread uses it, and any may close it: a run that fails leaves it to the collector.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA cache_size = -{MOST_IN_MEMORY_KIB}")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(
            "CREATE TABLE headers (series BLOB, folder BLOB, name BLOB, header TEXT)"
        )
        self._connection.execute("BEGIN")

    def add(self, header: Header) -> None:
        """Take one header."""
        names = (series_of(header), header.file.folder, header.file.name)
        row = (*map(name_bytes, names), _encode(header))
        self._connection.execute("INSERT INTO headers VALUES (?, ?, ?, ?)", row)

    def series(self) -> Iterator[tuple[list[Header], bool]]:
        """Yield the headers of each series, in the order of their first files.

        Yields:
            Its headers by file and frame, and whether the first one's folder is its own.
        """
        run = self._connection.execute
        run("CREATE INDEX by_series ON headers (series, name)")
        run("CREATE INDEX by_folder ON headers (folder, series)")
        order = "SELECT series, MIN(name) FROM headers GROUP BY series ORDER BY 2"
        for series, _ in run(order):
            rows = run("SELECT header FROM headers WHERE series = ? ORDER BY name", [series])
            headers = [_decode(text) for (text,) in rows]
            yield headers, self._is_alone_in(headers[0].file.folder)

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def _is_alone_in(self, folder: str) -> bool:
        query = "SELECT COUNT(DISTINCT series) FROM headers WHERE folder = ?"
        (count,) = self._connection.execute(query, [name_bytes(folder)]).fetchone()
        return int(count) == 1


def series_of(header: Header) -> str:
    """Tell to which series an image belongs; without a UID the folder is the best guess."""
    return header.series_uid or f"folder:{header.file.folder}"


def patient_of(headers: Sequence[Header]) -> str:
    """Tell whose images these are; where none says, the series stands for the patient."""
    return next((h.patient_key for h in headers if h.patient_key), series_of(headers[0]))


def _encode(header: Header) -> str:
    # Not pickled: what is read back from a disk must not be able to run.
    return json.dumps(astuple(header), default=str)


def _decode(text: str) -> Header:
    (name, place, member), *values = json.loads(text)
    file = SourceFile(name, Path(place), None if member is None else Member(*member))
    return Header(file, *(_to_tuples(value) for value in values))


def _to_tuples(value: Any) -> Any:  # noqa: ANN401 - any value of a header
    return tuple(_to_tuples(part) for part in value) if isinstance(value, list) else value
