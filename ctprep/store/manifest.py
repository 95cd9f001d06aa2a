"""What a data set is: its files, tables, labels and conventions, from `data_manifests/*.toml`."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ctprep.store.attributes import Attributes
from ctprep.store.columns import check_faults
from ctprep.store.errors import TableError, located
from ctprep.store.labels import CT_LITE_LABELS, CT_RATE_LABELS

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
"""Beside the packages, in the repository and where they are installed."""

NOT_STATED = "not stated"
"""What a manifest says where no source of ours tells."""


class Layout(Attributes):
    """How the files of the data set lie in its folder."""

    format: Literal["dicom", "nifti", "npz", "jpeg", "mixed"]
    description: str = Field(min_length=1)
    globs: tuple[str, ...] = ()
    """Patterns of the volumes, relative to the folder of the data set."""


class TableDescription(Attributes):
    """A table that comes with the data set."""

    description: str = Field(min_length=1)
    key: str
    """Column that names the scan; empty for a first column without a name."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Columns we use, without the key."""


class LabelName(Attributes):
    """An abnormality, as the data set calls it and as we do."""

    name: str = Field(min_length=1)
    """Column in the label table of the data set."""
    ct_lite_name: str
    """The CT-RATE name, one of the 18."""
    in_subset_12: bool
    """Whether CT-Lite evaluates it at all, on any data set."""
    exact: bool = True
    """False where the data set's word means nearly, not exactly, ours."""

    @model_validator(mode="after")
    def _check_name(self) -> "LabelName":
        if self.ct_lite_name not in CT_RATE_LABELS:
            raise ValueError(f"{self.ct_lite_name!r} is none of the 18 CT-RATE labels")
        if self.in_subset_12 != (self.ct_lite_name in CT_LITE_LABELS):
            raise ValueError(f"in_subset_12 is wrong for {self.ct_lite_name!r}")
        return self


class HuRule(Attributes):
    """Whether slope and intercept still have to be applied."""

    policy: Literal["auto", "rescale", "already"]
    reason: str = Field(min_length=1)


class AxisRule(Attributes):
    """Where orientation and spacing come from."""

    orientation: Literal["header", "fixed"]
    axis_codes: str | None = Field(default=None, pattern=r"^[LRAPSI]{3}$")
    """Direction in which each array index grows, when fixed."""
    spacing: Literal["header", "metadata-table", "sidecar", "fixed"]
    spacing_mm: tuple[float, float, float] | None = None
    """In array order, when fixed."""
    fallback_axis_codes: str | None = Field(default=None, pattern=r"^[LRAPSI]{3}$")
    """Of an array whose header tells none, slice, row, column; its spacing is then a table's."""
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check_fixed(self) -> "AxisRule":
        if (self.orientation == "fixed") != (self.axis_codes is not None):
            raise ValueError("axis_codes go with orientation 'fixed', and with nothing else")
        if (self.spacing == "fixed") != (self.spacing_mm is not None):
            raise ValueError("spacing_mm goes with spacing 'fixed', and with nothing else")
        for codes in (self.axis_codes, self.fallback_axis_codes):
            if codes is not None and len({"LRAPSI".index(code) // 2 for code in codes}) != 3:
                raise ValueError(f"axis_codes {codes!r} name an axis twice")
        return self


class Split(Attributes):
    """One part of the data set, as published or as the CT-Lite paper sampled it."""

    name: str = Field(min_length=1)
    used_as: Literal["train", "tune", "test"]
    patients: int | None = Field(default=None, ge=0)
    """None where not stated."""
    volumes: int | None = Field(default=None, ge=0)
    note: str = ""


class Prompts(Attributes):
    """Templates of the zero-shot prompt pair; `{label}` is the label in lower case."""

    positive: str = "{label}"
    negative: str = "no {label}"

    @model_validator(mode="after")
    def _check_place(self) -> "Prompts":
        for template in (self.positive, self.negative):
            if template.count("{label}") != 1 or template.replace("{label}", "").count("{"):
                raise ValueError(f"prompt {template!r} must hold {{label}} exactly once")
        if self.positive == self.negative:
            raise ValueError("the two prompts are equal")
        return self


class DatasetManifest(Attributes):
    """A data set, in one TOML file."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    """Equal to the stem of the file."""
    title: str = Field(min_length=1)
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    layout: Layout
    tables: dict[str, TableDescription] = Field(default_factory=dict)
    labels: tuple[LabelName, ...] = Field(min_length=1)
    evaluated: tuple[str, ...] = Field(min_length=1)
    """The labels scored on this data set, by their CT-RATE names."""
    patient_pattern: str | None = None
    """Regular expression on a scan id, whose one group is the patient; None where ids tell none."""
    study_pattern: str | None = None
    """Likewise, whose one group is the study: the id that its reconstructions have in common. It
    matches ids of studies, too."""
    hu: HuRule
    axes: AxisRule
    splits: tuple[Split, ...] = ()
    prompts: Prompts = Prompts()
    scans: str | None = None
    """File name of the scan table beside the manifest, where there is one."""
    notes: tuple[str, ...] = ()

    @field_validator("patient_pattern", "study_pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _check_labels(self) -> "DatasetManifest":
        counts = Counter(label.ct_lite_name for label in self.labels)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(f"labels map to {repeated[0]!r} twice")
        absent = [name for name in self.evaluated if name not in counts]
        if absent:
            raise ValueError(f"evaluated {absent[0]!r} is none of the labels")
        for key in ("patient_pattern", "study_pattern"):
            pattern = getattr(self, key)
            if pattern is not None and re.compile(pattern).groups != 1:
                raise ValueError(f"{key} {pattern!r} must have one group")
        if self.scans is not None and Path(self.scans).name != self.scans:
            raise ValueError(f"scans {self.scans!r} must be a file name without folders")
        return self

    def patient_of(self, scan_id: str) -> str | None:
        """Give the patient of a scan by its id; None where the id is of another form."""
        return _group(self.patient_pattern, scan_id)

    def study_of(self, scan_id: str) -> str | None:
        """Give the study of a scan by its id, likewise."""
        return _group(self.study_pattern, scan_id)


def _group(pattern: str | None, scan_id: str) -> str | None:
    found = None if pattern is None else re.search(pattern, scan_id)
    return found[1] if found else None


def load_manifest(name_or_path: str) -> DatasetManifest:
    """Find the manifest of a data set.

    Args:
        name_or_path: a name such as `ct_rate`, or a TOML file of the user's own.

    Raises:
        TableError: no data set of that name, or its manifest breaks the schema.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return read_manifest(path)
    known = sorted(path.stem for path in MANIFESTS.glob("*.toml"))
    if name_or_path not in known:
        raise TableError(
            f"no data set is called {name_or_path!r}",
            mend=f"use one of {', '.join(known)}, or a TOML file that describes your own",
        )
    return read_manifest(MANIFESTS / f"{name_or_path}.toml")


def read_manifest(path: Path) -> DatasetManifest:
    """Read and check a manifest.

    Args:
        path: a TOML file of `data_manifests/`.

    Raises:
        TableError: no such file, not TOML, or every wrong or unknown key with its path.
    """
    with located(path.name):
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise TableError("there is no such manifest", mend="check the path") from error
        except (ValueError, RecursionError) as error:
            raise TableError(f"not TOML: {error}", mend="mend the line named above") from error
        try:
            manifest = DatasetManifest.model_validate(settings)
        except ValidationError as error:
            check_faults(
                [
                    f"{'.'.join(map(str, fault['loc'])) or 'manifest'}: {fault['msg']}"
                    for fault in error.errors()
                ],
                mend="the keys are described in ctprep/store/manifest.py; "
                "compare data_manifests/ct_rate.toml",
            )
            raise
        if manifest.name != path.stem:
            raise TableError(
                f"name {manifest.name!r} is not that of the file",
                mend=f"set name = {path.stem!r}, or rename the file",
            )
    return manifest
