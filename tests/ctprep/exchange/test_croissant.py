"""A Croissant description names what is there, says what its owner says, and quotes no report."""

import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import pytest

from ctprep.exchange.about import About, read_about
from ctprep.exchange.croissant import describe_corpus, write_description
from ctprep.store.columns import read_text_table
from ctprep.store.errors import StoreError, TableError
from ctprep.store.store import VolumeStore
from tests.stores import smooth_voxels, volume_attributes

ABOUT = """
name = "tiny"
description = "Four made-up scans."
license = "https://creativecommons.org/publicdomain/zero/1.0/"
url = "https://example.org/tiny"
date_published = 2026-01-02
version = "1.0.0"
cite_as = "@misc{tiny}"

[[creators]]
name = "Nobody"
kind = "person"
"""
TABLES = ("scans.csv", "labels.csv", "reports.parquet")


def about_of(text: str = ABOUT) -> About:
    """What a TOML text says."""
    return About.model_validate(tomllib.loads(text))


def described(corpus: Path, about: str = ABOUT, **tables: Path | None) -> dict:
    """The document of a corpus, by default with all its tables."""
    given = {Path(name).stem: corpus / name for name in TABLES}
    made = describe_corpus(
        corpus / "hifi.zarr", corpus / "croissant.json", about_of(about), **(given | tables)
    )
    return json.loads(made.content)


def by_id(nodes: list[dict]) -> dict[str, dict]:
    """Nodes by their identifier."""
    return {node["@id"]: node for node in nodes}


def fields_of(document: dict) -> dict[str, dict]:
    """All fields by their identifier."""
    return by_id([field for own in document["recordSet"] for field in own["field"]])


def test_files_are_named_by_their_way_and_digest(corpus: Path) -> None:
    """The whole table, so that a reader can tell whether it has the same one."""
    files = by_id(described(corpus)["distribution"])

    for name, url in (
        ("scans-file", "scans.csv"),
        ("labels-file", "labels.csv"),
        ("reports-file", "reports.parquet"),
        ("volumes-file", "hifi.zarr/catalog.parquet"),
        ("store-metadata", "hifi.zarr/zarr.json"),
    ):
        content = (corpus / url).read_bytes()
        assert files[name]["contentUrl"] == url
        assert files[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert files[name]["contentSize"] == f"{len(content)} B"


def test_the_file_set_is_every_file_of_every_volume(corpus: Path) -> None:
    """And nothing that a writer has left behind."""
    (corpus / "hifi.zarr" / ".partial" / "a1~x~new").mkdir(parents=True)
    (corpus / "hifi.zarr" / ".partial" / "a1~x~new" / "zarr.json").write_text("{}")
    files = by_id(described(corpus)["distribution"])["store-files"]

    found = {path for glob in files["includes"] for path in corpus.glob(glob)}

    volumes = [corpus / "hifi.zarr" / scan_id for scan_id in ("a1", "a2", "b1", "c1")]
    there = {path for own in volumes for path in own.rglob("*") if path.is_file()}
    assert found == there
    assert len(there) == 12
    assert files["encodingFormat"] == "application/vnd.zarr"


def test_every_reference_has_its_target(corpus: Path) -> None:
    """Files, columns and fields are there; ids are unique; each key is a field of its own set."""
    document = described(corpus)
    files, fields = by_id(document["distribution"]), fields_of(document)

    ids = [*files, *fields, *(own["@id"] for own in document["recordSet"])]
    assert len(ids) == len(set(ids))
    for own in document["recordSet"]:
        assert own["key"]["@id"] in {field["@id"] for field in own["field"]}
    for field in fields.values():
        assert field.get("references", {}).get("field", {}).get("@id", "scans/split") in fields
        if "source" in field:
            path = corpus / files[field["source"]["fileObject"]["@id"]]["contentUrl"]
            assert field["source"]["extract"]["column"] in read_text_table(path).column_names
    assert fields["labels/scan_id"]["references"] == {"field": {"@id": "scans/scan_id"}}
    assert fields["reports/scan_id"]["references"] == {"field": {"@id": "scans/scan_id"}}
    assert fields["scans/scan_id"]["references"] == {"field": {"@id": "volumes/scan_id"}}
    assert fields["scans/split"]["references"] == {"field": {"@id": "splits/name"}}


def test_every_word_is_one_of_croissant(corpus: Path) -> None:
    """Each key is in the context, of schema.org, or of JSON-LD."""
    document = described(corpus)
    schema = {
        "license", "url", "creator", "datePublished", "version", "distribution", "contentUrl",
        "contentSize", "encodingFormat", "sha256", "name", "description",
    }  # fmt: skip
    known = {*document["@context"], *schema}

    def keys(node: object) -> set[str]:
        if isinstance(node, list):
            return set().union(*map(keys, node))
        if not isinstance(node, dict):
            return set()
        inner = [keys(value) for key, value in node.items() if key not in ("data", "@context")]
        return {key for key in node if not key.startswith("@")}.union(*inner)

    assert keys(document) <= known


def test_what_does_not_fit_is_told(corpus: Path) -> None:
    """By the description, and to who asks for it."""
    made = describe_corpus(
        corpus / "hifi.zarr",
        corpus / "croissant.json",
        about_of(),
        scans=corpus / "scans.csv",
        labels=corpus / "labels.csv",
    )

    assert made.volumes == 4
    assert made.absent == {"scans": ("gone",), "labels": ("gone",)}
    assert made.unlisted == {"scans": (), "labels": ("c1",)}
    sets = by_id(json.loads(made.content)["recordSet"])
    told = "4 rows, 1 of scans that the store does not have; 1 volumes of the store have no row."
    assert sets["labels"]["description"].endswith(told)


def test_no_row_of_a_table_is_quoted(corpus: Path) -> None:
    """Reports and ids of patients stay in their tables."""
    text = json.dumps(described(corpus), ensure_ascii=False)

    assert not any(word in text for word in ("Nodule", "Émphysème", "heart is normal", '"pa"'))


def test_the_owner_is_quoted_and_nothing_is_added(corpus: Path) -> None:
    """No RAI where none is given; no citation, version or licence of our own."""
    plain = described(corpus)
    rai = '[rai]\npersonal_sensitive_information = "Sex and age."\n'
    more = described(corpus, ABOUT + rai)
    less = described(corpus, ABOUT.replace('version = "1.0.0"', "").replace("cite_as", "#"))

    assert plain["license"] == "https://creativecommons.org/publicdomain/zero/1.0/"
    assert plain["creator"] == [{"@type": "sc:Person", "name": "Nobody"}]
    assert plain["datePublished"] == "2026-01-02"
    assert plain["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert not any(key.startswith("rai:") for key in plain)
    assert more["rai:personalSensitiveInformation"] == "Sex and age."
    assert "http://mlcommons.org/croissant/RAI/1.0" in more["conformsTo"]
    assert not {"version", "citeAs"} & less.keys()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('license = "https://creativecommons.org/publicdomain/zero/1.0/"', "", "license: Field"),
        ("license = ", "licence = ", "licence: Extra"),
        ('name = "tiny"', 'name = " "', "name: Value error, it is empty"),
        ('url = "https://example.org/tiny"', 'url = "here"', "url: Value error, no http"),
        ("2026-01-02", '"soon"', "date_published: "),
        ('version = "1.0.0"', 'version = "new"', "version: "),
        ('kind = "person"', 'kind = "dog"', "creators.0.kind: "),
        ("[[creators]]", "[[nobody]]", "creators: Field required"),
        ('name = "tiny"', "name = ", "not TOML"),
    ],
)
def test_what_croissant_requires_must_be_given(tmp_path: Path, old: str, new: str, told: str):
    """Every fault is named; nothing is made up in its place."""
    assert old in ABOUT
    (tmp_path / "about.toml").write_text(ABOUT.replace(old, new))

    with pytest.raises(TableError) as caught:
        read_about(tmp_path / "about.toml")

    assert told in caught.value.what
    assert caught.value.where == "about.toml"


def test_the_same_corpus_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    """Wherever it lies; another voxel is another digest, of the same catalog."""
    first = described(corpus)
    other = shutil.copytree(corpus, tmp_path / "elsewhere" / "corpus")

    assert described(other) == first
    store = VolumeStore.open(other / "hifi.zarr")
    voxels = store.read("b1")
    voxels[4, 4, 4] += 1
    store.write("b1", voxels, store.read_attributes("b1"))
    (store_row,), (changed,) = (
        by_id(document["recordSet"])["store"]["data"] for document in (first, described(other))
    )
    assert {key for key in store_row if store_row[key] != changed[key]} == {"store/volumes_sha256"}


def test_the_digest_is_the_one_that_is_told(corpus: Path) -> None:
    """By hand: a line a volume, of its id and the digests of its two documents."""
    (row,) = by_id(described(corpus)["recordSet"])["store"]["data"]

    whole = hashlib.sha256()
    for scan_id in ("a1", "a2", "b1", "c1"):
        volume = corpus / "hifi.zarr" / scan_id
        parts = [(volume / name).read_bytes() for name in ("zarr.json", "0/zarr.json")]
        digests = " ".join(hashlib.sha256(part).hexdigest() for part in parts)
        whole.update(f"{scan_id} {digests}\n".encode())
    assert row["store/volumes_sha256"] == whole.hexdigest()
    assert row["store/shape"] == "8 x 16 x 24"
    assert "store/quality" not in row


def test_names_of_files_give_scan_ids(corpus: Path) -> None:
    """As CT-RATE names volumes, by leaving out the suffix; other ways to an id are refused."""
    plain = fields_of(described(corpus))["labels/scan_id"]
    assert "transform" not in plain["source"]
    names = "VolumeName,Emphysema\na1.nii.gz,1\nb1.nii.gz,0\n"
    (corpus / "labels.csv").write_text(names)

    field = fields_of(described(corpus))["labels/scan_id"]

    assert field["source"]["extract"] == {"column": "VolumeName"}
    assert "nii" in field["source"]["transform"]["regex"]
    for bad in (names.replace("a1", "A1"), names.replace("VolumeName", "")):
        (corpus / "labels.csv").write_text(bad)
        with pytest.raises(TableError, match="not named by their scan ids"):
            described(corpus)


def test_labels_of_like_names_are_fields_of_their_own(corpus: Path) -> None:
    """Identifiers hold letters and digits alone, which two names may share."""
    (corpus / "labels.csv").write_text("scan_id,Lung nodule,Lung-nodule\na1,1,0\n")

    fields = fields_of(described(corpus))

    assert fields["labels/Lung-nodule"]["name"] == "Lung nodule"
    assert fields["labels/Lung-nodule--2"]["source"]["extract"] == {"column": "Lung-nodule"}


def test_tables_refer_to_the_catalog_without_a_scan_table(corpus: Path) -> None:
    """There is always something that has every scan once."""
    fields = fields_of(described(corpus, scans=None))

    assert fields["labels/scan_id"]["references"] == {"field": {"@id": "volumes/scan_id"}}
    assert "splits/name" not in fields


def test_only_what_lies_below_can_be_named(corpus: Path, tmp_path_factory) -> None:
    """A description outside, in the store, or in place of a table is refused."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(corpus / "labels.csv", elsewhere / "labels.csv")
    with pytest.raises(TableError, match="outside the folder"):
        described(corpus, labels=elsewhere / "labels.csv")
    with pytest.raises(TableError, match="outside the folder"):
        describe_corpus(corpus / "hifi.zarr", elsewhere / "c.json", about_of())
    with pytest.raises(TableError, match="in the store"):
        describe_corpus(corpus / "hifi.zarr", corpus / "hifi.zarr" / "c.json", about_of())
    labels = corpus / "labels.csv"
    with pytest.raises(TableError, match=r"does not end in '.csv'"):
        describe_corpus(corpus / "hifi.zarr", labels, about_of(), labels=labels)
    (corpus / "labels.csv").rename(corpus / "labels.txt")
    with pytest.raises(TableError, match="ends in"):
        described(corpus, labels=corpus / "labels.txt")


def test_a_store_in_a_bucket_is_refused(corpus: Path, bucket: str) -> None:
    """Its files cannot be named by their way from the description."""
    attributes = VolumeStore.open(corpus / "hifi.zarr").attributes
    VolumeStore.create(f"{bucket}/hifi.zarr", attributes)

    with pytest.raises(StoreError, match="no folder"):
        describe_corpus(f"{bucket}/hifi.zarr", corpus / "croissant.json", about_of())


def test_a_stale_catalog_and_a_damaged_volume_are_refused(corpus: Path) -> None:
    """The description would not be of what is there."""
    store = VolumeStore.open(corpus / "hifi.zarr")
    grid = store.attributes.grid
    store.write("d1", smooth_voxels("hifi", grid.shape), volume_attributes("d1", grid))
    with pytest.raises(StoreError, match="catalog is not that"):
        described(corpus)
    store.remove("d1")
    (corpus / "hifi.zarr" / "b1" / "0" / "zarr.json").unlink()
    with pytest.raises(StoreError, match="damaged") as caught:
        described(corpus)
    assert caught.value.where == "b1"


def test_another_file_is_not_replaced_unasked(corpus: Path) -> None:
    """The same one is left alone."""
    out = corpus / "croissant.json"
    made = describe_corpus(corpus / "hifi.zarr", out, about_of())
    other = describe_corpus(corpus / "hifi.zarr", out, about_of(ABOUT.replace("tiny", "other")))

    assert write_description(out, made)
    assert not write_description(out, made)
    with pytest.raises(TableError, match="another file"):
        write_description(out, other)
    assert out.read_bytes() == made.content
    assert write_description(out, other, overwrite=True)
    assert out.read_bytes() == other.content


@pytest.mark.slow  # importing pandas and rdflib takes seconds
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("jsonld_tables", [TABLES, TABLES[1:]])
def test_mlcroissant_reads_every_row(corpus: Path, jsonld_tables: tuple[str, ...]) -> None:
    """Without an error or a warning; a missing label is None."""
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    out = corpus / "croissant.json"
    given = {Path(name).stem: corpus / name for name in jsonld_tables}
    write_description(out, describe_corpus(corpus / "hifi.zarr", out, about_of(), **given))

    def rows(name: str) -> list[dict]:
        # One data set a record set: read after another that it refers to, it fails in 1.1.1.
        return list(mlcroissant.Dataset(out).records(name))

    issues = mlcroissant.Dataset(out).metadata.issues
    assert not issues.errors
    assert not issues.warnings
    assert rows("labels") == [
        {"labels/scan_id": b"a1", "labels/Lung-nodule": 1, "labels/Emphysema": 0},
        {"labels/scan_id": b"a2", "labels/Lung-nodule": 0, "labels/Emphysema": None},
        {"labels/scan_id": b"b1", "labels/Lung-nodule": None, "labels/Emphysema": 1},
        {"labels/scan_id": b"gone", "labels/Lung-nodule": 1, "labels/Emphysema": 1},
    ]
    reports = rows("reports")
    assert [row["reports/text_positive"].decode() for row in reports][1] == "Émphysème."
    assert list(reports[0]["reports/kept_sentences"]) == [0]
    assert [row["volumes/scan_id"] for row in rows("volumes")] == [b"a1", b"a2", b"b1", b"c1"]
    assert rows("store")[0]["store/volumes"] == 4
    if "scans" in given:
        assert [row["scans/split"] for row in rows("scans")][:3] == [b"train", b"train", b"tune"]


def test_rows_of_studies_are_of_their_volumes(corpus: Path) -> None:
    """They are neither lost nor missing, and, being no scans, refer to none."""
    (corpus / "labels.csv").write_text("scan_id,Emphysema\ns1,1\nb1,0\ngone,1\n")

    made = describe_corpus(
        corpus / "hifi.zarr",
        corpus / "croissant.json",
        about_of(),
        scans=corpus / "scans.csv",
        labels=corpus / "labels.csv",
        reports=corpus / "reports.parquet",
    )

    assert (made.absent["labels"], made.unlisted["labels"]) == (("gone",), ("c1",))
    assert (made.absent["scans"], made.unlisted["scans"]) == (("gone",), ())
    fields = fields_of(json.loads(made.content))
    assert "references" not in fields["labels/scan_id"]
    assert fields["reports/scan_id"]["references"] == {"field": {"@id": "scans/scan_id"}}
