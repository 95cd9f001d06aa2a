"""The parts of a Croissant document: files, record sets and their fields."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctprep.exchange.tables import TableFile

Node = dict[str, Any]

TEXT = "sc:Text"
INTEGER = "sc:Integer"
FLOAT = "sc:Float"
LABEL = [INTEGER, "cr:Label"]


def file_object(file: TableFile, description: str) -> Node:
    """Describe a file.

    Args:
        file: whose path is relative to the document.
        description: what it is.
    """
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": Path(file.url).name,
        "description": description,
        "contentUrl": file.url,
        "contentSize": f"{file.nbytes} B",
        "encodingFormat": file.encoding,
        "sha256": file.sha256,
    }


def record_set(name: str, description: str, fields: Sequence[Node]) -> Node:
    """Describe the rows of a table, the first field being their key."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": fields[0]["@id"]},
        "field": list(fields),
    }


def inline_set(name: str, description: str, types: dict[str, str], rows: Sequence[Node]) -> Node:
    """Describe a few rows that the document itself holds.

    Args:
        name: of the record set.
        description: what the rows are.
        types: of each field, by its name; the first one is the key.
        rows: by the names of the fields.
    """
    fields = [
        {"@type": "cr:Field", "@id": f"{name}/{field}", "name": field, "dataType": own}
        for field, own in types.items()
    ]
    data = [{f"{name}/{field}": value for field, value in row.items()} for row in rows]
    return record_set(name, description, fields) | {"data": data}


def column(
    table: str,
    name: str,
    data_type: str | list[str],
    description: str,
    *,
    source: str | None = None,
    references: str | None = None,
    regex: str | None = None,
    is_list: bool = False,
) -> Node:
    """Describe a column of a table.

    Args:
        table: record set and file, which have one name.
        name: of the field; its id is that of letters and digits alone.
        data_type: of a cell.
        description: what it holds.
        source: name of the column, where the field has another.
        references: id of the field whose values these are.
        regex: of a cell, whose first group is the value.
        is_list: a cell holds several.
    """
    field: Node = {
        "@type": "cr:Field",
        "@id": f"{table}/{slug(name)}",
        "name": name,
        "description": description,
        "dataType": data_type,
    }
    if is_list:
        field |= {"isArray": True, "arrayShape": "-1"}
    field["source"] = {
        "fileObject": {"@id": f"{table}-file"},
        "extract": {"column": name if source is None else source},
    }
    if regex is not None:
        field["source"]["transform"] = {"regex": regex}
    if references is not None:
        field["references"] = {"field": {"@id": references}}
    return field


def slug(name: str) -> str:
    """Give a name without what an identifier cannot hold."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-") or "-"
