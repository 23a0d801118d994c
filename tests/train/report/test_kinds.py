"""If this breaks, figures on different features are mixed, or one kind of them hides another."""

import csv
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, UsageError
from ta3n.train.report.contents import direction_stems, file_stems
from ta3n.train.report.data.collect import collect_kinds, kind_of, name_kinds
from ta3n.train.report.tables.sheet import to_csv
from ta3n.train.report.write import Report, build_kinds, write_report
from ta3n.train.runs.folder import RunConfig

from ...support.feature_folders import made_clips, make_features
from ...support.made_runs import make_config, make_rows, make_run
from ...support.reports import Trained, page_of
from ...support.small_runs import train

TA3N, SOURCE = ("ta3n", "relation"), ("source-only", "relation")


def made(**features: object) -> RunConfig:
    config = make_config()
    config.data["features"].update(features)
    return config


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        (
            [{"backbone": "resnet101", "feature_dim": 2048, "weights": "w"}, {}],
            ["resnet101", "resnet18"],
        ),
        ([{"frames": "all"}, {}], ["frames all", "frames segments:5"]),
        ([{"weights": "a:1"}, {"weights": "b:2"}], ["weights a:1", "weights b:2"]),
        (
            [{"frames": "all"}, {"frames": "all", "backbone": "tsn"}, {}],
            ["resnet18, frames all", "tsn, frames all", "resnet18, frames segments:5"],
        ),
        ([{"window": 16}, {}], ["windows of 16 frames", "no windows"]),
    ],
)
def test_kinds_are_named_by_what_tells_them_apart(
    kinds: list[dict[str, object]], names: list[str]
) -> None:
    assert name_kinds([kind_of(made(**features)) for features in kinds]) == names


def test_streams_are_named_together() -> None:
    both = made()
    both.data["streams"] = [  # type: ignore[index]
        {"features": {**both.data["features"], "backbone": "flow"}, "manifests": {}}
    ]
    assert name_kinds([kind_of(made()), kind_of(both)]) == ["resnet18", "resnet18 + flow"]


def test_names_of_files_cannot_leave_the_folder_or_meet() -> None:
    assert file_stems([["../x"], ["a b"], ["a_b"], [".."], ["…"]]) == [
        "_x", "a_b", "a_b.2", ".2", "_",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a report of two kinds, of which one lacks a row, and has another direction."""
    folder = tmp_path_factory.mktemp("kinds")
    make_rows(folder / "runs", {TA3N: (15, 14, 15), SOURCE: (9, 8, 8)})
    make_rows(folder / "runs", {TA3N: (19, 20)}, backbone="<b>i3d</b>", manifest="f" * 64)
    back = make_config(source="hmdb51", target="ucf101")
    make_run(folder / "runs", back, 0, (1, 2, 3))
    return write_report(
        [folder / "runs"], folder / "out", features=None, command="x", pictures=False
    )


def test_kinds_stand_side_by_side_and_are_never_averaged(two: Report) -> None:
    with (two.csv.parent / "tables" / "kinds.csv").open(newline="") as file:
        rows = {(r["method"], r["rule"]): r for r in csv.DictReader(file)}
    ta3n, source = rows["TA3N", "last"], rows["Source only", "last"]
    assert ta3n["direction"] == "ucf101 → hmdb51 (ucf-hmdb-small)"
    assert float(ta3n["resnet18_percent"]) == pytest.approx(100 * 44 / 60)
    assert ta3n["<b>i3d</b>_percent"] == "97.5"
    assert source["<b>i3d</b>_percent"] == source["<b>i3d</b>_sd"] == ""
    assert {name for name in ta3n if "mean" in name} == set()
    (sheet,) = two.found.beside
    assert to_csv(sheet).count("\n") == 1 + 4  # two rows, last and oracle
    assert "no test compares them" in sheet.notes[0]


def test_every_kind_has_tables_of_its_own(two: Report) -> None:
    tables = two.csv.parent / "tables"
    assert {path.name for path in tables.iterdir() if path.is_dir()} == {"_b_i3d__b_", "resnet18"}
    text = (tables / "resnet18" / "table2.csv").read_text()
    assert "ucf101 → hmdb51 (ucf-hmdb-small, resnet18)" in text
    assert "i3d" not in text
    # Only this kind has two directions.
    assert (tables / "resnet18" / "directions.md").is_file()
    assert not (tables / "_b_i3d__b_" / "directions.md").exists()
    for contents in two.found.kinds:
        for analysis in contents.analyses:
            rows = {id(row) for row in analysis.direction.rows}
            assert {id(c.reference) for c in analysis.comparisons} <= rows
    with two.csv.open(newline="") as file:
        lines = [*csv.DictReader(file)]
    assert {line["features"] for line in lines} == {"<b>i3d</b>", "resnet18"}
    assert len(lines) == 2 * (6 + 2 + 1)


def test_page_and_terminal_tell_every_kind(two: Report, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(two)
    assert "Kinds of features side by side" in page.text
    for kind in ("<b>i3d</b>", "resnet18"):
        assert f"ucf101 → hmdb51 (ucf-hmdb-small, {kind})" in page.text
        assert f"Features: {kind}" in page.text
    two.print()
    printed = capsys.readouterr().out
    assert "Kinds of features side by side" in printed
    assert "ucf101 → hmdb51 (ucf-hmdb-small, <b>i3d</b>): TA3N (97.5 %" in printed


def test_tables_of_kinds_that_are_gone_do_not_stay(two: Report, tmp_path: Path) -> None:
    runs = make_rows(tmp_path / "runs", {TA3N: (15,)})
    make_rows(tmp_path / "more", {TA3N: (16,)}, backbone="tsn")
    for folders in ([runs, tmp_path / "more"], [runs]):
        write_report(folders, tmp_path / "out", features=None, command="x", pictures=False)
    left = {path.name for path in (tmp_path / "out" / "tables").iterdir()}
    assert "table2.csv" in left
    assert not {"kinds.csv", "tsn", "resnet18"} & left


def test_a_rule_or_row_need_not_be_of_every_kind(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(), 0, (1, 2, 3), scores={"im": (0.1, 0.9, 0.2)})
    make_run(tmp_path, make_config("dan", backbone="tsn"), 0, (1, 2, 3))
    kinds = collect_kinds(tmp_path)
    found = build_kinds(kinds, ["im"], ["dan"])
    assert [each.runs.kind for each in found.kinds] == ["resnet18", "tsn"]
    assert [bool(each.analyses[0].rows) for each in found.kinds] == [True, False]
    with pytest.raises(UsageError, match="no run has the rule"):
        build_kinds(kinds, ["imm"])
    with pytest.raises(UsageError, match="no such row"):
        build_kinds(kinds, [], ["mcd"])


def test_videos_that_one_kind_lacks_are_told(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(), 0, (1, 2, 3))
    path = make_run(tmp_path, make_config(backbone="tsn"), 0, (1, 2, 3))
    text = (path / "predictions.csv").read_text()
    (path / "predictions.csv").write_text(text.replace("19.avi", "20.avi"))
    (sheet,) = build_kinds(collect_kinds(tmp_path)).beside
    (note,) = (note for note in sheet.notes if "same videos" in note)
    assert "resnet18 lacks 1 (class/20.avi); tsn lacks 1 (class/19.avi)" in note


def test_features_of_one_kind_that_differ_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(backbone="tsn"), 0, (1, 2, 3))
    make_run(tmp_path, make_config("source-only"), 0, (1, 2, 3))
    make_run(tmp_path, make_config(manifest="f" * 64), 0, (1, 2, 3))
    with pytest.raises(DataConflictError, match="the manifest of hmdb51 is aaaaaaaaaaaa in"):
        collect_kinds(tmp_path)


def test_every_kind_finds_its_features_among_those_given(trained: Trained, tmp_path: Path) -> None:
    """Runs of both kinds lie in one folder, as `ta3n-train --out` leaves them."""
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for number, (folder, backbone) in enumerate(zip(folders, ("tsn", "i3d", "tsn"), strict=True)):
        for seed, dataset in enumerate(("ucf101", "hmdb51")):
            clips = made_clips(dataset)
            make_features(folder, dataset, clips, backbone=backbone, seed=seed + 9 * number)
    for folder in folders[:2]:
        for method in ("source-only", "ta3n"):
            train(
                "ucf", "hmdb", folder, tmp_path / "runs", benchmark="ucf-hmdb-small", method=method
            )
    report = write_report(
        [tmp_path / "runs"], tmp_path / "out", features=folders[::-1], command="x"
    )
    stems = direction_stems(report.found.directions)
    assert stems == ["i3d-ucf-hmdb-small-ucf101-hmdb51", "tsn-ucf-hmdb-small-ucf101-hmdb51"]
    names = {path.name for path in report.figures}
    for stem in stems:
        assert {f"{stem}-tsne-before.svg", f"{stem}-attention.png"} <= names
    lost = write_report([tmp_path / "runs"], tmp_path / "out", features=folders[2:], command="x")
    assert any("are not those that the runs used" in note for note in lost.notes)
