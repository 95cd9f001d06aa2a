"""What the metadata documents of a store say, checked: the way back from `layout`."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ctprep.store.attributes import FORMAT_VERSION, StoreAttributes
from ctprep.store.errors import PlaceError, StoreError, StoreMismatchError, StoreVersionError
from ctprep.store.layout import METADATA, OURS
from ctprep.store.place import Place

Model = TypeVar("Model", bound=BaseModel)


def read_group(place: Place, key: str) -> dict[str, Any]:
    """Read the attributes of a group that ctprep has written, our part among them.

    Args:
        place: where the store lives.
        key: of the group's `zarr.json`.

    Raises:
        FileNotFoundError: it is not there.
        StoreError: it is damaged, cannot be read, or is none of ours.
        PlaceError: the bucket cannot be reached.
    """
    try:
        document = json.loads(bytes(place.read(key)))
    except (FileNotFoundError, NotADirectoryError, PlaceError):
        raise
    except OSError as error:
        raise StoreError(
            f"its {METADATA} cannot be read: {error.strerror}",
            mend="check the disk, or make it again",
        ) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"its {METADATA} is not JSON", mend="make it again") from error
    attributes = document.get("attributes") if isinstance(document, dict) else None
    if not isinstance(attributes, dict) or not isinstance(attributes.get(OURS), dict):
        raise StoreError("not a ctprep store", mend="give a store that ctprep has written")
    return attributes


def read_store_attributes(place: Place) -> StoreAttributes:
    """Read what a store says about itself.

    Raises:
        StoreError: there is no store, or it is damaged.
        StoreVersionError: it is of another format version.
    """
    try:
        ours = read_group(place, METADATA)[OURS]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"there is no store here: {METADATA} is missing",
            mend="check the path: a store is what `ctprep ingest` or `ctprep compress` wrote",
        ) from error
    version = ours.get("format_version")
    if version is not None and version != FORMAT_VERSION:
        raise StoreVersionError(
            f"format version {version!r}, where this program knows {FORMAT_VERSION!r}",
            mend="install the ctprep that wrote it, or make the store again",
        )
    if "scan_id" in ours:
        raise StoreError(
            "it is a volume of a store, and no store", mend="give the folder that it lies in"
        )
    return validated(StoreAttributes, ours)


def validated(model: type[Model], values: dict[str, Any]) -> Model:
    """Check attributes against their model.

    Raises:
        StoreError: with every fault and its path.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise StoreError(f"its attributes are not valid: {faults}", mend="make it again") from error


def check_same(found: StoreAttributes, wanted: StoreAttributes) -> None:
    """Refuse a store that was made with other parameters.

    Raises:
        StoreMismatchError: names each differing field.
    """
    here, there = _flat(wanted.model_dump()), _flat(found.model_dump())
    differing = [
        f"{name} is {there.get(name)!r}, not {here.get(name)!r}"
        for name in here | there
        if here.get(name) != there.get(name)
    ]
    if differing:
        raise StoreMismatchError(
            f"a store with other parameters is there: {'; '.join(differing)}",
            mend="use the same parameters, or write to another store",
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name == "versions":
            continue
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
