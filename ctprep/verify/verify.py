"""Verify a store: every byte of every volume, the catalog, and whatever else lies there."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from ctprep.engine import run
from ctprep.jobs import PROCESS_BYTES, Item, VolumeJob
from ctprep.store.commit import PARTIAL
from ctprep.store.errors import StoreError
from ctprep.store.layout import CATALOG, DTYPE, METADATA, is_scan_id, is_unaltered
from ctprep.store.listing import Leftover
from ctprep.store.place import Where, absolute, find_place, paths_of
from ctprep.store.store import VolumeStore
from ctprep.verify.catalog import find_catalog_faults
from ctprep.verify.finding import Finding, Verdict
from ctprep.verify.repair import Repairs, command_to_make
from ctprep.verify.volume import IN_WORK, IN_WORK_TOLD, verify_volume

BROKEN = ("damaged", "altered", "mismatched")
"""Volumes that `repair` moves out of the store."""
CATALOG_ONLY = ("no-catalog", "catalog-damaged", "unlisted", "stale")
"""What a new catalog settles."""


def verify_store(
    where: Where,
    *,
    repair: bool = False,
    hifi: Where | None = None,
    workers: int = 1,
    scheduler: str | None = None,
) -> Iterator[Finding]:
    """Read a store again, and tell what is not as it was written.

    It may run while others read and write the store; `repair` is for a store at rest.

    Args:
        where: the store: a folder, or a URL in a bucket.
        repair: rebuild the catalog, remove what dead writers have left, and move what is damaged
            or unknown into `<store>.quarantine` beside the store.
        hifi: with `repair` of a JPEG store, the hi-fi store from which damaged and missing volumes
            are made again.
        workers: processes; 1 stays in this one.
        scheduler: address of a running dask cluster to use instead.

    Yields:
        A finding for every volume, sound or not, and for everything else that is wrong.

    Raises:
        StoreError: there is no store, its own metadata cannot be read, or `hifi` does not fit it.
        PlaceError: a repair cannot be written, or the bucket cannot be reached.
    """
    # Workers of a running cluster have folders of their own that they are in.
    store = VolumeStore.open(absolute(find_place(where)))
    if is_unaltered(bytes(store.place.read(METADATA))) is False:
        # By it everything else is judged, so nothing else can be.
        yield Finding(
            None,
            "store-altered",
            "the zarr.json of the store itself was altered",
            "put it back from a backup, or make the store again; nothing else was looked at",
        )
        return
    repairs = Repairs(store, hifi) if repair else None
    if hifi is not None and repairs is None:
        raise StoreError("a store to restore from, but no repair", mend="add --repair")
    findings = _find(store, repairs, workers, scheduler)
    yield from findings if repairs is None else _repaired(findings, repairs, workers)


def _find(
    store: VolumeStore, repairs: Repairs | None, workers: int, scheduler: str | None
) -> Iterator[Finding]:
    told: set[str] = set()
    for finding in _find_in_folders(store, repairs, workers, scheduler):
        if finding.scan_id and finding.verdict in (*BROKEN, "not-verified"):
            told.add(finding.scan_id)
        yield finding
    again = "`ctprep verify --repair` rebuilds it"
    for scan_id, verdict, what in find_catalog_faults(store):
        # A volume that is broken, and by now perhaps moved away, is a finding already.
        if scan_id not in told:
            mend = f"{command_to_make(store)}; or drop its row with --repair"
            yield Finding(scan_id, verdict, what, mend if verdict == "missing" else again)


def _find_in_folders(
    store: VolumeStore, repairs: Repairs | None, workers: int, scheduler: str | None
) -> Iterator[Finding]:
    leftovers = store.place.leftovers()
    yield from map(_leftover, leftovers)
    if repairs is not None and leftovers:
        # Before the volumes: it may put one back.
        repairs.clean()
    yield from _strays(store)
    voxels = int(np.prod(store.attributes.grid.shape))
    # The shard, the same put together again, and room for one decoded chunk.
    peak_bytes = PROCESS_BYTES + 3 * voxels * DTYPE[store.attributes.kind].itemsize
    jobs = (VolumeJob(scan_id, peak_bytes) for scan_id in store.scan_ids())
    work = partial(verify_volume, store=store)
    places = paths_of(store.place)
    for item in run(work, jobs, workers=workers, scheduler=scheduler, places=places):
        yield _finding(store, item)


def _finding(store: VolumeStore, item: Item) -> Finding:
    if item.status == "unchanged":
        return Finding(item.scan_id, "sound", settled=True)
    if item.verdict in ("worker-killed", "too-large", IN_WORK):
        return Finding(item.scan_id, "not-verified", item.what, item.mend)
    verdict: Verdict = item.verdict  # type: ignore[assignment]
    if verdict == "unknown-file":
        mend = "move it out of the volume, as --repair does"
    elif verdict == "unchecked":
        mend = "nothing is known to be wrong; a store made anew has checksums everywhere"
    else:
        mend = f"move it away with `ctprep verify --repair`, then {command_to_make(store)}"
    return Finding(item.scan_id, verdict, item.what, mend)


def _leftover(leftover: Leftover) -> Finding:
    what = f"{leftover.name} was left by a writer that is gone"
    if leftover.put_back:
        what += ", and holds the only copy of a volume"
    return Finding(None, "leftover", what, "the next ingest or compress, or --repair, mends it")


def _strays(store: VolumeStore) -> Iterator[Finding]:
    # Names before volumes: one that comes in between is a volume, and nothing else.
    names = set(store.place.names())
    known = {METADATA, CATALOG, PARTIAL, *store.scan_ids()}
    for name in sorted(names - known):
        keys = store.place.below(name)
        if all(key.endswith("/") for key in keys):
            yield Finding(None, "empty", name, "remove the empty folder")
        elif keys == [name] or not is_scan_id(name):
            mend = "move it out of the store, as --repair does"
            yield Finding(None, "unknown", name, mend)
        elif store.place.is_in_work(name):
            yield Finding(name, "not-verified", *IN_WORK_TOLD)
        else:
            mend = f"move it away with `ctprep verify --repair`, then {command_to_make(store)}"
            yield Finding(name, "damaged", f"its {METADATA} is missing", mend)


def _repaired(findings: Iterator[Finding], repairs: Repairs, workers: int) -> Iterator[Finding]:
    """Mend what can be mended at once; hold back the volumes that are to be made again."""
    lost: dict[str, Finding] = {}
    for finding in findings:
        if finding.verdict == "sound":
            yield finding
            continue
        mended = _mend(finding, repairs)
        repairs.record(mended)
        if mended.scan_id and finding.verdict in (*BROKEN, "missing"):
            lost[mended.scan_id] = mended
        else:
            yield mended
    for item in repairs.restore(tuple(lost), workers):
        if item.name not in lost:
            continue  # the catalog's own rows, which it is told of below
        finding = lost.pop(item.name)
        if item.status == "refused":
            finding = replace(finding, mend=item.mend, mended=_and(finding, f"but {item.what}"))
        else:
            finding = replace(finding, mended=_and(finding, "made again"), settled=True)
        yield finding
    yield from lost.values()
    repairs.rebuild_catalog()


def _mend(finding: Finding, repairs: Repairs) -> Finding:
    name = finding.scan_id or str(finding.what)
    if finding.verdict in (*BROKEN, "unknown"):
        settled = finding.verdict == "unknown"
        mend = finding.mend if settled else repairs.command_to_make
        return replace(finding, mended=repairs.move_away(name), mend=mend, settled=settled)
    if finding.verdict == "unknown-file":
        return replace(finding, mended=repairs.move_unknown_files(name), settled=True)
    if finding.verdict == "empty":
        return replace(finding, mended=repairs.remove_empty(name), settled=True)
    if finding.verdict == "leftover":
        return replace(finding, mended="removed, or put back", settled=True)
    if finding.verdict == "missing":
        return replace(finding, mended="dropped from the catalog")
    if finding.verdict in CATALOG_ONLY:
        return replace(finding, mended="catalog rebuilt", settled=True)
    return finding


def _and(finding: Finding, then: str) -> str:
    return f"{finding.mended}; {then}" if finding.mended else then
