"""If this breaks, a terminal shows a figure without what it rests on, or of another epoch."""

from dataclasses import replace
from pathlib import Path

import pytest

from ta3n.train.jobs.job import prepare_jobs
from ta3n.train.jobs.table import print_results, print_rows
from ta3n.train.runs.folder import RunFolder, RunResult

from ...support.made_runs import make_config, make_run
from ...support.small_runs import small_settings


def made_result(folder: Path, seed: int, *, scored: bool) -> RunResult:
    path = make_run(
        folder,
        make_config(),
        seed,
        (1, 3, 2),
        scores={"im": (1, 2, 3), **({"dev": (1, 3, 2)} if scored else {})},
        withheld={} if scored else {"dev": {"too few": 3}},
    )
    result = RunFolder(path).read_result()
    assert result is not None
    return result


def test_figures_of_label_free_rules_say_on_what_they_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config()
    on_train = replace(config, settings={**config.settings, "rules_on": "train"})
    results = [made_result(tmp_path, seed, scored=seed == 0) for seed in range(2)]
    print_results(on_train, results)
    text = capsys.readouterr().out
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines()]
    lines = {line[0]: line[1:5] for line in cells if len(line) > 4}
    # Of the seed that has a score alone, and counted as such.
    assert lines["dev"] == ["1", "15.00", "3.0 of 20", "2"]
    assert lines["im"] == ["2", "10.00 ± 0.00", "2.0 of 20", "3, 3"]
    told = " ".join(text.split())
    assert "rules that need no target label: looked at the target's training videos, not" in told
    assert "dev: score withheld in 3 epochs of 2 runs, in 1 of them in all" in told
    print_results(config, results[1:])
    told = " ".join(capsys.readouterr().out.split())
    assert "looked at the target's validation videos, the very ones that are tested" in told
    assert "│ dev │ 0 │ - │ - │ - │" in told
    # Records of older runs do not tell it.
    assert "mean of classes" not in told


def test_the_mean_of_classes_is_beside_the_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [made_result(tmp_path, seed, scored=True) for seed in range(2)]
    means = iter((30.0, 20.0))
    told = [
        replace(r, rules={n: replace(c, mean_class=mean) for n, c in r.rules.items()})
        for r, mean in zip(results, means, strict=True)
    ]
    print_results(make_config(), told)
    text = capsys.readouterr().out
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines()]
    lines = {line[0]: line[1:6] for line in cells if len(line) > 5}
    assert lines["im"] == ["2", "10.00 ± 0.00", "25.00 ± 7.07", "2.0 of 20", "3, 3"]
    assert "mean of classes: each class counts alike" in text


def test_a_seed_of_before_has_no_mean_of_classes_and_hides_no_other_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [made_result(tmp_path, seed, scored=True) for seed in range(2)]
    rules = {n: replace(c, mean_class=30.0) for n, c in results[0].rules.items()}
    print_results(make_config(), [replace(results[0], rules=rules), results[1]])
    text = capsys.readouterr().out
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines()]
    lines = {line[0]: line[1:6] for line in cells if len(line) > 5}
    assert lines["im"] == ["2", "10.00 ± 0.00", "-", "2.0 of 20", "3, 3"]


def test_rows_have_the_mean_of_classes_beside_each_accuracy(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = prepare_jobs(
        "ucf", "hmdb",
        small_settings(features, tmp_path, benchmark="ucf-hmdb-small", rows="table3"),
    )[:2]  # fmt: skip
    made = [made_result(tmp_path, seed, scored=True) for seed in range(2)]
    rules = {n: replace(c, mean_class=12.5) for n, c in made[0].rules.items()}
    print_rows(jobs, [[replace(made[0], rules=rules)], [made[1]]])
    text = capsys.readouterr().out
    table = [[c.strip() for c in line.split("│")[1:-1]] for line in text.splitlines()]
    first, second = [line[4:10] for line in table if len(line) > 5]
    assert first == ["10.00", "12.50", "15.00", "12.50", "10.00", "12.50"]
    assert second == ["10.00", "-", "15.00", "-", "10.00", "-"]
    assert text.count("of classes") == 4  # heads, and what it is


def test_figures_of_before_get_the_mean_of_classes_from_the_predictions(tmp_path: Path) -> None:
    path = make_run(tmp_path, make_config(), 0, (1, 3, 2))
    folder = RunFolder(path)
    recorded, told = folder.read_result(), folder.read_figures()
    assert recorded is not None
    assert told is not None
    # Two of 20 are right, one of each of two classes of five videos.
    assert recorded.rules["last"].mean_class is None
    assert told.rules["last"].mean_class == pytest.approx(10)
    assert told.rules["oracle"].mean_class == pytest.approx(15)
    lines = (path / "predictions.csv").read_text().splitlines(keepends=True)
    (path / "predictions.csv").write_text("".join([lines[0], *lines[5:]]))
    fewer = folder.read_figures()
    assert fewer is not None
    assert fewer.rules["last"].mean_class == 0
    (path / "predictions.csv").unlink()
    assert folder.read_figures() == recorded
