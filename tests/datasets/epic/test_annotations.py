"""If this breaks, segments get wrong labels, or a damaged annotation file is read as it stands."""

import csv
import gzip
import io
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError
from ta3n.datasets.epic.annotations import Annotations, SegmentTable, read_annotations
from ta3n.datasets.epic.challenge import EPIC_SPLITS, PUBLISHED

from ...support.epic import LABELS, TIMES, write_table

SOURCE = PUBLISHED["source_train"].table


def only(folder: Path) -> SegmentTable:
    (table,) = read_annotations(folder).tables.values()
    return table


def changed(folder: Path, **values: object) -> None:
    """Write a table of two rows, the second with other values."""
    write_table(folder, "source_train", [("P91_01_0", 0, 3), ("P91_01_1", 5, 14)])
    file = folder / f"{SOURCE}.csv"
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    rows[1] |= {key: str(value) for key, value in values.items()}
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_plain_and_packed_tables_tell_the_same(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    write_table(plain, "target_val", [("P91_101_2", 5, 14), ("P91_101_10", 0, 299)])
    packed.mkdir()
    for file in plain.iterdir():
        (packed / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert only(plain).segments == only(packed).segments
    first, second = only(packed).segments
    assert (first.participant_id, first.video_id) == ("P91", "P91_101")
    assert (first.labels, second.labels) == ((5, 14), (0, 299))
    assert second.class_name == "0,299"
    assert only(packed).ids == ("P91_101_2", "P91_101_10")


def test_a_target_has_no_labels_and_may_have_some(tmp_path: Path) -> None:
    write_table(tmp_path / "none", "target_train", [("P91_101_0", None, None)])
    write_table(tmp_path / "some", "target_train", [("P91_101_0", 1, 2)])
    without, with_labels = only(tmp_path / "none"), only(tmp_path / "some")
    assert (without.labelled, with_labels.labelled) == (False, True)
    assert (without.segments[0].labels, without.segments[0].class_name) == ((-1, -1), "")
    assert with_labels.segments[0].labels == (1, 2)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"verb_class": 97}, "line 3: verb_class is 97, but classes are 0 to 96"),
        ({"noun_class": "14.0"}, r"line 3: noun_class is '14.0', not a number from 0"),
        ({"noun_class": 15}, r"all_noun_classes '\[14\]' does not begin with noun_class 15"),
        ({"verb_class": ""}, "verb_class is '', not a number"),
        ({"narration_id": "P91_01_0"}, "line 3: P91_01_0 is in line 2 already"),
        ({"narration_id": "P91_02_1"}, "narration_id 'P91_02_1' is not P91_01_ and a number"),
        ({"narration_id": "P91_01_\N{ARABIC-INDIC DIGIT ONE}"}, "is not P91_01_ and a number"),
        ({"participant_id": "P92"}, "participant_id 'P92' is not that of P91_01"),
        ({"video_id": "P91_101"}, "video_id 'P91_101' is not of the source, as P01_11 is"),
        ({"start_frame": 0}, "start_frame is '0', not a number from 1"),
        ({"start_frame": 900}, "P91_01_1 stops at frame [0-9]+ before it starts at 900"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, values: dict[str, object], told: str) -> None:
    changed(tmp_path, **values)
    with pytest.raises(DataConflictError, match=told) as caught:
        read_annotations(tmp_path)
    assert "\n" not in str(caught.value)
    assert f"{SOURCE}.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (",".join((*TIMES, *LABELS)).encode(), "lists no segment"),
        (",".join(TIMES).encode(), "lacks narration, verb, verb_class, noun, noun_class and 2"),
        (";".join((*TIMES, *LABELS)).encode(), "the heading 'narration_id;participant_id"),
        (",".join((*TIMES, *LABELS, "more")).encode(), "has unknown more"),
        (",".join((*TIMES, *LABELS, "verb")).encode(), "has twice verb"),
        (",".join((*TIMES, *LABELS)).encode() + b"\nP91_01_0,P91\n", "2 columns instead of 15"),
        (",".join((*TIMES, *LABELS)).encode() + b'\n"P91', "line 2: unexpected end of data"),
        (b"<!DOCTYPE html>\n<html>", "the heading '<!DOCTYPE html>'"),
    ],
)
def test_another_file_in_its_place_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / f"{SOURCE}.csv").write_bytes(content)
    with pytest.raises(DataConflictError, match=told):
        read_annotations(tmp_path)


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    write_table(tmp_path, "source_train", [("P91_01_0", 0, 3)])
    file = tmp_path / f"{SOURCE}.csv"
    packed = gzip.compress(file.read_bytes())
    file.unlink()
    for data in (packed[: len(packed) // 2], b"no archive", packed[:20] + b"\xff" * 40):
        (tmp_path / f"{SOURCE}.csv.gz").write_bytes(data)
        with pytest.raises(DataMissingError, match=rf"cannot read .*{SOURCE}.csv.gz"):
            read_annotations(tmp_path)


def test_a_segment_of_two_parts_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path, "source_train", [("P91_01_0", 0, 3)])
    write_table(tmp_path, "source_val", [("P91_01_0", 0, 3)])
    with pytest.raises(DataConflictError, match=r"P91_01_0 is in .* and in .*source_val"):
        read_annotations(tmp_path)


def test_what_is_missing_is_told_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="there is no such folder"):
        read_annotations(tmp_path / "none")
    with pytest.raises(DataMissingError, match="it holds none"):
        read_annotations(tmp_path)
    write_table(tmp_path, "source_train", [("P91_01_0", 0, 3)])
    found = read_annotations(tmp_path)
    with pytest.raises(DataMissingError, match=r"EPIC_100_uda_target_val\.csv, plain or \.gz"):
        found.table("target_val")
    nothing = (found.verb_names, found.noun_names, found.tail_verbs, found.tail_nouns)
    assert nothing == (None, None, None, None)


def test_class_lists_are_read_and_checked(tmp_path: Path) -> None:
    write_table(tmp_path, "source_train", [("P91_01_0", 0, 3)])
    classes, tail = tmp_path / "EPIC_100_verb_classes.csv", tmp_path / "EPIC_100_tail_nouns.csv"
    lines = [f"{n},verb {n},\"['a', 'b']\",kind" for n in range(97)]
    classes.write_text("\n".join(["id,key,instances,category", *lines]) + "\n")
    tail.write_text("noun\n299\n7\n")
    found = read_annotations(tmp_path)
    assert found.verb_names is not None
    assert found.verb_names[96] == "verb 96"
    assert found.tail_nouns == frozenset({7, 299})
    classes.write_text("\n".join(["id,key,instances,category", *lines[:5], *lines[6:]]) + "\n")
    with pytest.raises(DataConflictError, match="line 7: id is 6, but 5 comes next"):
        read_annotations(tmp_path)
    classes.write_text("\n".join(["id,key,instances,category", *lines[:5]]) + "\n")
    with pytest.raises(DataConflictError, match="lists 5 classes instead of 97"):
        read_annotations(tmp_path)
    classes.unlink()
    for content, told in (("noun\n300\n", "noun is 300, but"), ("noun\n7\n7\n", "noun 7 twice")):
        tail.write_text(content)
        with pytest.raises(DataConflictError, match=told):
            read_annotations(tmp_path)


def test_the_annotation_repository_is_read_as_it_lies(tmp_path: Path) -> None:
    write_table(tmp_path / "UDA_annotations", "source_train", [("P91_01_0", 0, 3)])
    (tmp_path / "EPIC_100_tail_verbs.csv").write_text("verb\n5\n")
    for folder in (tmp_path, tmp_path / "UDA_annotations"):
        found = read_annotations(folder)
        assert (found.table("source_train").ids, found.tail_verbs) == (
            ("P91_01_0",),
            frozenset({5}),
        )


def test_other_counts_than_the_published_are_told_in_a_line(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    write_table(tmp_path, "source_train", [("P91_01_0", 0, 3)])
    write_table(tmp_path, "target_test", [("P91_101_0", None, None)])
    read_annotations(tmp_path)
    (record,) = log.records
    assert "are not those published: source_train has 1 rows for 16115, " in record.getMessage()
    assert "target_test has 1 rows for 5909" in record.getMessage()
    assert "1663" in record.getMessage()


@pytest.fixture(scope="module")
def published(shared: Path) -> Annotations:
    return read_annotations(shared / "epic" / "annotations")


@pytest.mark.shared
def test_the_published_files_have_the_published_counts(published: Annotations) -> None:
    assert tuple(published.tables) == EPIC_SPLITS
    assert not published.differences()
    labelled = {split for split, table in published.tables.items() if table.labelled}
    assert labelled == {"source_train", "source_val", "target_val"}
    assert published.tail_verbs is not None
    assert published.tail_nouns is not None
    assert (len(published.tail_verbs), len(published.tail_nouns)) == (86, 228)
    assert published.verb_names is not None
    assert published.noun_names is not None
    assert (published.verb_names[0], published.noun_names[299]) != ("", "")
    assert published.table("source_train").segments[0].labels == (3, 3)
