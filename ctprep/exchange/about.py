"""What only its owner can say of a corpus: name, licence, authors, citation; from a TOML file."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from ctprep.store.attributes import Attributes
from ctprep.store.columns import check_faults
from ctprep.store.errors import TableError, located

KEYS_MEND = "say it in the file; docs/exports.md has an example, and nothing is made up here"


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text.strip()


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+\S*", text):
        raise ValueError("no http or https URL")
    return text


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Filled = Annotated[str, AfterValidator(_filled)]
Url = Annotated[str, AfterValidator(_url)]
Several = Annotated[tuple[Filled, ...], BeforeValidator(_listed), Field(min_length=1)]
"""One, or a list."""


class Creator(Attributes):
    """A person or an organization that made the corpus."""

    name: Filled
    kind: Annotated[str, Field(pattern="^(person|organization)$")] = "organization"
    url: Url | None = None


class ResponsibleAi(Attributes):
    """What the RAI vocabulary of Croissant asks of a data set; each only where it is given."""

    data_collection: Filled | None = None
    data_collection_type: Several | None = None
    data_collection_missing_data: Filled | None = None
    data_collection_raw_data: Filled | None = None
    data_imputation_protocol: Filled | None = None
    data_preprocessing_protocol: Several | None = None
    data_annotation_protocol: Several | None = None
    data_annotation_platform: Several | None = None
    data_annotation_analysis: Several | None = None
    annotations_per_item: Filled | None = None
    annotator_demographics: Several | None = None
    machine_annotation_tools: Several | None = None
    data_biases: Several | None = None
    data_use_cases: Several | None = None
    data_limitations: Several | None = None
    data_social_impact: Filled | None = None
    personal_sensitive_information: Several | None = None
    data_release_maintenance_plan: Filled | None = None


class About(Attributes):
    """A corpus in its owner's words. What Croissant requires has no default.

    Source:
        Croissant Format Specification 1.1, "Dataset-level Information".
    """

    name: Filled
    description: Filled
    license: Several
    """URLs, such as those of spdx.org/licenses; or terms in words where there is none."""
    url: Url
    """Page of the corpus."""
    creators: Annotated[tuple[Creator, ...], Field(min_length=1)]
    date_published: date
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] | None = None
    """Semantic: major, minor and patch."""
    cite_as: Filled | None = None
    """BibTeX, ideally."""
    keywords: Several | None = None
    language: Several | None = None
    """Of the reports, such as `en`."""
    publisher: Creator | None = None
    same_as: Several | None = None
    """URLs of other pages of the same corpus."""
    rai: ResponsibleAi = ResponsibleAi()

    @property
    def not_given(self) -> tuple[str, ...]:
        """What Croissant recommends, readers warn of, and the file leaves out."""
        return tuple(name for name in ("version", "cite_as") if getattr(self, name) is None)


def read_about(path: Path) -> About:
    """Read what is said of a corpus.

    Args:
        path: a TOML file with the keys of `About`.

    Raises:
        TableError: no such file, not TOML, or every missing, wrong or unknown key.
    """
    with located(path.name):
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise TableError("there is no such file", mend="check the path") from error
        except (ValueError, RecursionError) as error:
            raise TableError(f"not TOML: {error}", mend="mend the line named above") from error
        try:
            return About.model_validate(settings)
        except ValidationError as error:
            check_faults(
                [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()],
                mend=KEYS_MEND,
            )
            raise
