"""The headers of an archive on their way into series, on disk once they are many."""

import pickle
import sqlite3
from collections.abc import Iterator

from ctprep.sources.dicom_header import Header

MOST_IN_MEMORY_KIB = 64 * 1024


class HeaderIndex:
    """Collects headers, and gives them back a series at a time.

    An archive of 50,000 studies has millions of images. Their headers go into a temporary
    database, which its library keeps in memory while it is small, then in a file without a name
    that is gone with the process: headers identify people.
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute(f"PRAGMA cache_size = -{MOST_IN_MEMORY_KIB}")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(
            "CREATE TABLE headers (series TEXT, folder TEXT, name TEXT, header BLOB)"
        )
        self._connection.execute("BEGIN")

    def add(self, header: Header) -> None:
        """Take one header."""
        # Unpickled by this process alone, from what it has pickled itself.
        row = (series_of(header), header.file.folder, header.file.name, pickle.dumps(header))
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
            blobs = run("SELECT header FROM headers WHERE series = ? ORDER BY name", [series])
            headers = [pickle.loads(blob) for (blob,) in blobs]
            yield headers, self._is_alone_in(headers[0].file.folder)

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def _is_alone_in(self, folder: str) -> bool:
        query = "SELECT COUNT(DISTINCT series) FROM headers WHERE folder = ?"
        (count,) = self._connection.execute(query, [folder]).fetchone()
        return int(count) == 1


def series_of(header: Header) -> str:
    """Tell to which series an image belongs; without a UID the folder is the best guess."""
    return header.series_uid or f"folder:{header.file.folder}"
