"""The labels that are scored on a data set, out of a label table in its own names."""

from ctprep.store.columns import check_faults
from ctprep.store.manifest import DatasetManifest
from ctprep.store.tables import LabelTable


def choose_evaluated(table: LabelTable, manifest: DatasetManifest) -> LabelTable:
    """Take the labels that the CT-Lite paper scores on a data set, by their CT-RATE names.

    Args:
        table: with the columns of the data set, or with those of CT-RATE.
        manifest: of the data set.

    Returns:
        The evaluated labels, in the order of the manifest.

    Raises:
        TableError: a label has no column, or two.

    Source:
        CT-Lite (arXiv 2605.00448), section IV: 12 labels on CT-RATE, 8 on NIDCH, 11 on RAD-ChestCT.
    """
    own = {label.ct_lite_name: label.name for label in manifest.labels}
    places: list[int] = []
    faults: list[str] = []
    for name in manifest.evaluated:
        found = [column for column in dict.fromkeys((own[name], name)) if column in table.names]
        if len(found) == 1:
            places.append(table.names.index(found[0]))
        elif found:
            faults.append(f"columns {found[0]!r} and {found[1]!r} are one label")
        else:
            spelled = own[name] if own[name] == name else f"{own[name]!r} or {name!r}"
            faults.append(f"there is no column {spelled}")
    check_faults(
        faults,
        mend=f"the columns are those of {manifest.title}, or of CT-RATE; `ctprep label-reports "
        f"--dataset {manifest.name}` writes them",
    )
    return LabelTable(table.scan_ids, manifest.evaluated, table.values[:, places])
