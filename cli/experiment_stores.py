"""Makes what an experiment reads and is not there: the synthetic corpus and its stores."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli.progress import follow
from ctlite.experiments.corpus import Corpus, jpeg_quality
from ctlite.experiments.definition import CLEAN
from ctprep.compress import compress_store
from ctprep.store.errors import CtError, RecipeError
from ctprep.store.layout import CATALOG
from ctprep.store.machine import count_cores
from ctprep.store.place import find_place

if TYPE_CHECKING:
    from ctprep.jobs import Item

MARKER = "made.json"
"""Beside a synthetic corpus that is whole."""


def missing_stores(corpus: Corpus, names: Iterable[str]) -> list[str]:
    """Tell which stores have to be made.

    Args:
        corpus: where they lie.
        names: of the stores.

    Returns:
        The names of those without a catalog, which is written last.
    """
    return [name for name in names if not _is_whole(corpus.path(name))]


def make_missing(corpus: Corpus, names: Iterable[str]) -> Iterator[str]:
    """Make stores, and first the synthetic corpus.

    Args:
        corpus: where everything lies, or is to lie.
        names: of the stores, such as `hifi` and `q90`.

    Yields:
        What has been made.

    Raises:
        CtError: real data is not there, or a scan was refused.
    """
    if corpus.patients:
        yield from _make_source(corpus)
    for name in sorted(missing_stores(corpus, names), key=lambda name: name != CLEAN):
        _make_store(corpus, name)
        yield corpus.path(name)
    if corpus.patients and not corpus.reports.is_file():
        from ctprep.reports.filter import filter_reports

        raw = corpus.scans.with_name("reports.csv")
        for _ in follow(filter_reports(raw, corpus.reports), "filter-reports"):
            pass
        yield str(corpus.reports)


def _make_source(corpus: Corpus) -> Iterator[str]:
    from ctprep.phantom.corpus import write_corpus

    source = corpus.scans.parent
    wanted = {"patients": corpus.patients, "seed": corpus.seed}
    marker = source / MARKER
    if marker.is_file():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != wanted:
            raise RecipeError(
                f"the synthetic corpus has {found['patients']} patients of seed {found['seed']}, "
                f"not {corpus.patients} of seed {corpus.seed}",
                mend="give another --out, or the numbers it was made with",
                where=str(source),
            )
        return
    scans = write_corpus(source, patients=corpus.patients, seed=corpus.seed, workers=count_cores())
    for _ in follow(scans, "phantom"):
        pass
    marker.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    yield str(source)


def _make_store(corpus: Corpus, name: str) -> None:
    if name == CLEAN:
        _check_archive(corpus, name)
        _through(_ingest(corpus, corpus.hifi, None), "ingest")
        return
    quality, is_native = jpeg_quality(name)
    if is_native:
        _check_archive(corpus, name)
        _through(_ingest(corpus, corpus.path(name), quality), "ingest")
        return
    items = compress_store(corpus.hifi, corpus.path(name), quality=quality, workers=count_cores())
    _through(items, f"compress {name}")


def _ingest(corpus: Corpus, store: str, quality: int | None) -> "Iterable[Item]":
    from ctprep.ingest import ingest
    from ctprep.native import NativeJpeg
    from ctprep.pseudonym import load_key
    from ctprep.store.grids import load_grid

    return ingest(
        Path(str(corpus.archive)),
        store,
        grid=load_grid(corpus.grid),
        scans=corpus.scans,
        key=load_key(store=store),
        workers=count_cores(),
        native=None if quality is None else NativeJpeg(quality=quality),
    )


def _check_archive(corpus: Corpus, name: str) -> None:
    if corpus.archive is None:
        raise RecipeError(
            f"the store {name} is not there, and nothing is known that it can be made from",
            mend="make it with `ctprep ingest`, or --set corpus.archive=FOLDER",
            where=corpus.path(name),
        )


def _through(items: "Iterable[Item]", verb: str) -> None:
    refused = [item for item in follow(items, verb) if item.status == "refused"]
    if refused:
        first = refused[0]
        raise CtError(
            f"{len(refused)} scans were refused by {verb}, the first is {first.name}: {first.what}",
            mend=first.mend or "correct them, or take them out of the scan table",
        )


def _is_whole(where: str) -> bool:
    try:
        find_place(where).read(CATALOG)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
