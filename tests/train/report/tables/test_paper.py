"""If this breaks, our figures stand beside the wrong figure of the paper, or beside none."""

from pathlib import Path

import pytest

from ta3n.train.paper.rows import ROWS
from ta3n.train.report.contents import Contents
from ta3n.train.report.tables.sheet import Block, Sheet

from ....support.made_runs import make_config, make_run
from ....support.reports import build_contents, collect_runs

Lines = list[list[str]]


def contents(folder: Path) -> Contents:
    return build_contents(collect_runs(folder))


def sheet(found: Contents, name: str) -> Sheet:
    return next(sheet for sheet in found.sheets if sheet.name == name)


def block(found: Contents, name: str, start: str) -> Block:
    (block,) = [b for b in sheet(found, name).blocks if b.label.startswith(start)]
    return block


def lines(block: Block) -> Lines:
    return [[cell.text for cell in line] for line in block.lines]


def make_paper_row(folder: Path, name: str, *corrects: int, **config: str) -> None:
    """Train nothing, write the runs of a row of the paper on ucf-hmdb-full."""
    method = ROWS[name].method
    for seed, correct in enumerate(corrects):
        made = make_config(
            method.name,
            method.temporal,
            switches=method,
            benchmark="ucf-hmdb-full",
            epochs=30,
            **config,
        )
        make_run(folder, made, seed, [*[1] * 28, min(correct + 1, 20), correct])


def test_rows_stand_in_printed_order_and_empty_where_not_run(tmp_path: Path) -> None:
    make_paper_row(tmp_path, "table3/ta3n", 15, 14)
    found = contents(tmp_path)
    forth = lines(block(found, "table3", "ucf101 → hmdb51"))
    assert [line[:2] for line in forth] == [
        [title, temporal]
        for title in ("Target only", "Source only", "RevGrad", "JAN", "AdaBN", "MCD")
        for temporal in ("pooling", "relation")
    ] + [["TA2N", "relation"], ["TA3N", "relation"]]
    assert [line[3] for line in forth[:4]] == ["80.56", "82.78", "70.28", "71.67"]
    assert all(not any(line[4:]) and not line[2] for line in forth[:-1])
    # The paper took the best epoch on test labels: against it stands the oracle, then `last`.
    heads = [column.head for column in sheet(found, "table3").columns]
    assert heads[6:8] == ["oracle − paper", "last − paper"]  # noqa: RUF001
    assert forth[-1][2:10] == [
        "official (a)",
        "78.33",
        "72.50 ± 3.54",
        "77.50 ± 3.54",
        "−0.83",  # noqa: RUF001
        "−5.83",  # noqa: RUF001
        "14.5 of 20",
        "2",
    ]
    assert "(a) with source_batch 8." in block(found, "table3", "ucf101").notes
    back = block(found, "table3", "hmdb51 → ucf101")
    assert not back.has_runs
    assert len(back.lines) == 14
    table4 = lines(block(found, "table4", "ucf101 → hmdb51"))
    assert [line[:2] for line in table4] == [
        [title, temporal]
        for title in ("G_sd", "G_td", "all G_d")
        for temporal in ("pooling", "relation")
    ]
    assert not sheet(found, "table2").has_runs
    assert "others" not in [sheet.name for sheet in found.sheets]


def test_a_run_stands_in_every_table_whose_switches_it_has(tmp_path: Path) -> None:
    make_paper_row(tmp_path, "table4/relation/all", 12, 11)
    make_paper_row(tmp_path, "table4/pooling/gtd", 9, 9)
    found = contents(tmp_path)
    here = "ucf101 → hmdb51"
    ran = {
        name: [tuple(line[:2]) for line in lines(block(found, name, here)) if line[2]]
        for name in ("table3", "table4")
    }
    assert ran == {
        "table3": [("TA2N", "relation")],
        "table4": [("G_td", "pooling"), ("all G_d", "relation")],
    }


def test_recipes_are_variants_of_a_row(tmp_path: Path) -> None:
    for recipe in ("official", "paper"):
        make_paper_row(tmp_path, "table3/mcd/relation", 12, 11, recipe=recipe)
    rows = [x for x in lines(block(contents(tmp_path), "table3", "ucf101")) if x[0] == "MCD"]
    assert [line[2] for line in rows] == ["", "official (a)", "paper (a)"]
    assert [line[3] for line in rows] == ["71.67", "73.89", "73.89"]


def test_ablations_and_other_benchmarks_have_a_table_of_their_own(tmp_path: Path) -> None:
    make_paper_row(tmp_path, "table3/ta3n", 15, 14)
    ablation = make_config("ta3n-attention-none", benchmark="ucf-hmdb-full")
    make_run(tmp_path, ablation, 0, (1, 2, 3))
    make_run(tmp_path, make_config("ta3n", source="a", target="b", benchmark="own"), 0, (1, 2, 3))
    others = sheet(contents(tmp_path), "others")
    assert [(b.label, [line[0] for line in lines(b)]) for b in others.blocks] == [
        ("a → b (own)", ["TA3N"]),
        ("ucf101 → hmdb51 (ucf-hmdb-full)", ["ta3n-attention-none"]),
    ]


def test_cited_rows_of_table_two_are_marked_and_never_ours(tmp_path: Path) -> None:
    make_run(tmp_path, make_config("ta3n", source="hmdb51", target="ucf101"), 0, (1, 2, 15))
    found = contents(tmp_path)
    rows = lines(block(found, "table2", "hmdb51 → ucf101 (ucf-hmdb-small)"))
    assert [line[0] for line in rows] == [
        "W. Sultani et al.",
        "T. Xu et al.",
        "AMLS (GFK)",
        "AMLS (SA)",
        "TemPooling",
        "TemPooling + RevGrad",
        "TA2N",
        "TA3N",
    ]
    assert rows[0][3] == "68.67‡"
    assert not any(rows[0][4:])
    assert rows[-1][3:5] == ["99.47", "75.00"]
    notes = sheet(found, "table2").notes
    assert any(note.startswith("‡ Cited by the paper from earlier work") for note in notes)


def test_a_figure_that_no_count_of_videos_gives_has_a_footnote(tmp_path: Path) -> None:
    make_paper_row(tmp_path, "table3/ta3n", 15, 14)
    found = contents(tmp_path)
    for name, title in (("table3", "RevGrad"), ("table4", "G_sd")):
        marked = [
            (x[0], b.label.split(" (")[0], x[3])
            for b in sheet(found, name).blocks
            for x in lines(b)
            if "†" in x[3]
        ]
        assert marked[0] == (title, "hmdb51 → ucf101", "74.44†")
        assert any(
            "no number of correct videos out of 571 is 74.44 %" in note and "74.96" in note
            for note in block(found, name, "hmdb51 → ucf101").notes
        )
    # The same figure in the other direction is 268 of 360.
    forth = lines(block(found, "table3", "ucf101 → hmdb51"))
    assert [line[3] for line in forth if line[0] == "RevGrad"] == ["71.11", "74.44"]


def test_figures_on_other_videos_than_the_papers_are_told(tmp_path: Path) -> None:
    make_paper_row(tmp_path, "table3/ta3n", 15, 14)
    notes = block(contents(tmp_path), "table3", "ucf101").notes
    assert any("Ours were tested on 20 videos, the paper's on 360" in note for note in notes)


@pytest.mark.parametrize(("backbone", "is_told"), [("resnet18", True), ("resnet101", False)])
def test_features_of_another_network_than_the_papers_are_told(
    tmp_path: Path, backbone: str, is_told: bool
) -> None:
    """Else the difference to the paper's figure reads as if the method made it."""
    make_paper_row(tmp_path, "table3/ta3n", 15, 14, backbone=backbone)
    notes = block(contents(tmp_path), "table3", "ucf101").notes
    told = f"Ours are on features of {backbone}, the paper's on those of resnet101"
    assert any(told in note for note in notes) == is_told


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_seed_has_an_interval_over_videos_and_no_p(tmp_path: Path, seeds: int) -> None:
    make_paper_row(tmp_path, "table3/ta3n", *[15, 14][:seeds])
    make_paper_row(tmp_path, "table3/ta2n", *[9, 8][:seeds])
    found = contents(tmp_path)
    ta2n, ta3n = lines(block(found, "table3", "ucf101"))[-2:]
    assert [ta2n[9], ta3n[9]] == [str(seeds)] * 2
    assert [bool(ta2n[10]), bool(ta2n[11])] == [True, seeds > 1]
    assert ta3n[11] == ""
    told = (
        "Rows of one seed have no standard deviation and no test; their interval is over videos "
        "only and says nothing of other seeds."
    )
    assert (told in sheet(found, "table3").notes) == (seeds == 1)
