"""If this breaks, the report tells other figures of verb, noun and action than a run has."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.datasets.epic.challenge import TAIL_NOUNS, TAIL_VERBS
from ta3n.train.report.cli import main

from ....support.epic import write_table
from ....support.headed_features import make_epic_features
from ....support.small_runs import ta3n_train, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("actions")
    features = make_epic_features(folder / "features", 16)
    settings = {"recipe": "epic100", "learning_rate": 0.03, "benchmark": "epic100-tune"}
    for changes in ({"seeds": "2"}, {"method": "source-only"}, {"heads": "verb"}):
        out = folder / "runs"
        train("epic-source", "epic-target", features, out, batch_size=8, **settings | changes)
    write_table(folder / "annotations", "target_val", [("P02_101_0", 0, 0)])
    (folder / "annotations" / f"{TAIL_VERBS}.csv").write_text("verb\n1\n")
    (folder / "annotations" / f"{TAIL_NOUNS}.csv").write_text("noun\n2\n")
    return folder


def report(folder: Path, *options: object) -> tuple[str, list[dict[str, str]]]:
    """Return what is printed, and the lines of the table."""
    out = folder / "report"
    arguments = [folder / "runs", "--out", out, "--no-pictures", *options]
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    with (out / "tables" / "actions.csv").open(newline="") as file:
        return result.stdout, list(csv.DictReader(file))


def test_the_table_has_the_figures_that_an_evaluation_tells(folder: Path) -> None:
    printed, lines = report(folder, "--annotations", folder / "annotations")
    assert "Verb, noun and action" in printed
    (runs,) = (folder / "runs").glob("*/*/ta3n-*/seed-1")
    run = runs.parent
    evaluated = ta3n_train(
        "--evaluate", run, "--target", "epic-target", "--features", folder / "features", "--out",
        folder / "evaluated", "--device", "cpu", "--annotations", folder / "annotations",
    )  # fmt: skip
    assert evaluated.exit_code == 0, evaluated.stderr
    found = [json.loads(p.read_text())["figures"] for p in folder.glob("evaluated/seed-*/*.json")]
    assert len(found) == 2
    both = [line for line in lines if not line["direction"].endswith("alone)")]
    assert list(dict.fromkeys(line["segments"] for line in both)) == list(found[0])
    for group, figures in found[0].items():
        ours, floor = (
            next(li for li in both if (li["segments"], li["row"]) == (group, row))
            for row in ("TA3N, relation", "floor")
        )
        for name, figure in figures.items():
            mean = sum(each[group][name]["percent"] for each in found) / 2
            assert float(ours[f"{name}_percent"]) == pytest.approx(mean), (group, name)
            assert float(floor[f"{name}_percent"]) == pytest.approx(figure["floor"])
        assert int(float(ours["num_segments"])) == max(f["total"] for f in figures.values())


def test_one_head_alone_has_no_figures_of_the_other(folder: Path) -> None:
    printed, lines = report(folder)
    assert "Tail classes are not told" in printed
    alone = [line for line in lines if line["direction"].endswith("verb alone)")]
    assert {line["segments"] for line in alone} == {"all", "P02", "class means"}
    assert all(line["verb top-5_percent"] for line in alone)
    others = ("noun top-1", "action top-1", "action top-5 (baseline)")
    assert {line[f"{name}_percent"] for line in alone for name in others} == {""}
