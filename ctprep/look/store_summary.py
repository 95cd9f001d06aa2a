"""Inspect a store: what holds for all of it, and what its volumes say, counted."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ctprep.store.attributes import StoreAttributes, VolumeAttributes
from ctprep.store.errors import StoreError
from ctprep.store.layout import METADATA
from ctprep.store.place import Where, find_place
from ctprep.store.store import VolumeStore

Counts = dict[str, int]


@dataclass(frozen=True)
class StoreSummary:
    """What is in a store.

    Args:
        attributes: what holds for every volume.
        volumes: how many there are.
        patients: of how many people.
        damaged: scan ids whose attributes cannot be read.
        catalog: `current`, `stale`, `missing` or `damaged`.
        nbytes: of all shards; None where only the catalog would tell, and it does not.
        mean_ratio: int16 over stored bytes, mean over volumes; None in a hi-fi store.
        mean_psnr_db: mean over the volumes that differ at all; likewise.
        exact: volumes that compression did not change.
        mean_ssim: likewise.
        formats: volumes by the format they came in.
        hu_decisions: volumes by what was done to their values.
        verdicts: warnings, by how many volumes have them.
        mends: what was put right, likewise.
    """

    attributes: StoreAttributes
    volumes: int
    patients: int
    damaged: tuple[str, ...]
    catalog: str
    nbytes: int | None
    mean_ratio: float | None
    mean_psnr_db: float | None
    exact: int
    mean_ssim: float | None
    formats: Counts
    hu_decisions: Counts
    verdicts: Counts
    mends: Counts


def is_store(where: Where) -> bool:
    """Tell whether a path or URL is meant as a store, whole or not; sources lie in no bucket."""
    place = find_place(where)
    return place.path is None or place.has(METADATA)


def inspect_store(where: Where) -> StoreSummary:
    """Read what a store and each of its volumes say about themselves; no voxel is read.

    Args:
        where: its folder, or its URL in a bucket.

    Raises:
        StoreError: there is no store.
    """
    store = VolumeStore.open(where)
    tally = _Tally()
    scan_ids = store.scan_ids()
    for scan_id in scan_ids:
        try:
            tally.add(store.read_attributes(scan_id))
        except StoreError:
            tally.damaged.append(scan_id)
    catalog, nbytes = _catalog(store, scan_ids)
    if nbytes is None and store.attributes.kind == "jpeg" and not tally.damaged:
        nbytes = tally.nbytes
    return StoreSummary(
        attributes=store.attributes,
        volumes=len(scan_ids),
        patients=len(tally.patients),
        damaged=tuple(tally.damaged),
        catalog=catalog,
        nbytes=nbytes,
        mean_ratio=_mean(tally.ratios),
        mean_psnr_db=_mean(tally.psnrs_db),
        exact=tally.exact,
        mean_ssim=_mean(tally.ssims),
        formats=_sorted(tally.formats),
        hu_decisions=_sorted(tally.hu_decisions),
        verdicts=_sorted(tally.verdicts),
        mends=_sorted(tally.mends),
    )


class _Tally:
    """Counts over volumes."""

    def __init__(self) -> None:
        self.patients: set[str] = set()
        self.damaged: list[str] = []
        self.formats: Counter[str] = Counter()
        self.hu_decisions: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.mends: Counter[str] = Counter()
        self.ratios: list[float] = []
        self.psnrs_db: list[float] = []
        self.ssims: list[float] = []
        self.exact = self.nbytes = 0

    def add(self, volume: VolumeAttributes) -> None:
        self.patients.add(volume.patient_id)
        self.formats[volume.source_format] += 1
        self.hu_decisions[volume.hu.decision] += 1
        self.verdicts.update(volume.verdicts)
        self.mends.update(volume.mends)
        quality = volume.quality
        if quality is None:
            return
        self.nbytes += quality.nbytes
        self.ratios.append(quality.ratio)
        self.ssims.append(quality.ssim)
        if quality.psnr_db is None:
            self.exact += 1
        else:
            self.psnrs_db.append(quality.psnr_db)


def _catalog(store: VolumeStore, scan_ids: Iterable[str]) -> tuple[str, int | None]:
    try:
        table = store.catalog()
    except StoreError as error:
        absent = isinstance(error.__cause__, FileNotFoundError)
        return "missing" if absent else "damaged", None
    if table.column("scan_id").to_pylist() != list(scan_ids):
        return "stale", None
    return "current", sum(table.column("nbytes").to_pylist())


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _sorted(counts: Counter[str]) -> Counts:
    return dict(counts.most_common())
