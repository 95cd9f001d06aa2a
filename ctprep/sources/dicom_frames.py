"""Enhanced and Legacy Converted Enhanced CT: one flat data set for each frame of an object."""

from collections.abc import Collection, Iterator

from pydicom.dataset import Dataset

from ctprep.store.errors import SourceError


def frame_datasets(dataset: Dataset, frames: int, keywords: Collection[str]) -> Iterator[Dataset]:
    """Flatten the functional groups of a multi-frame object.

    Args:
        dataset: of the object; both sequences of groups are in it.
        frames: how many it promises.
        keywords: the elements that are wanted.

    Yields:
        For each frame, the elements as a single-frame image would hold them. What a frame says
        for itself goes before what all share, and that before the object's own elements.

    Raises:
        SourceError: there are not as many groups as frames (`bad-header`).

    Source:
        DICOM PS3.3 C.7.6.16, multi-frame functional groups.
    """
    shared, per_frame = (
        dataset.SharedFunctionalGroupsSequence,
        dataset.PerFrameFunctionalGroupsSequence,
    )
    if len(per_frame) != frames or frames < 1:
        raise SourceError(
            f"NumberOfFrames is {frames}, and {len(per_frame)} frames are described",
            verdict="bad-header",
            mend="export the series again from its archive",
        )
    common = Dataset()
    for element in dataset:
        if element.VR != "SQ":
            common.add(element)
    for group in shared:
        _flatten(group, keywords, common)
    for group in per_frame:
        flat = Dataset()
        flat.update(common)
        _flatten(group, keywords, flat)
        yield flat


def _flatten(group: Dataset, keywords: Collection[str], flat: Dataset) -> None:
    for macro in group:
        if macro.VR != "SQ" or not macro.value:
            continue
        for element in macro.value[0]:
            if element.keyword in keywords and element.VR != "SQ":
                # A new element: the one that may be there belongs to all frames.
                flat.add_new(element.keyword, element.VR, element.value)
