"""If this breaks, a run of two streams is given a clip otherwise than its training clips were."""

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.extract.cli import main as extract
from ta3n.train import load_run, predict

from ...support.small_runs import train
from ...support.two_domains import CLASSES, write_domain
from ...support.videos import WriteClip


def test_new_clips_are_seen_by_both_backbones(tmp_path: Path, write_clip: WriteClip) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for domain in "ab":
        write_domain(tmp_path / domain, domain, write_clip)
        for folder, seed in zip(folders, (0, 1), strict=True):
            done = CliRunner().invoke(
                extract,
                [
                    "--dataset", f"synthetic-{domain}", "--root", str(tmp_path / domain),
                    "--classes", ",".join(CLASSES), "--out", str(folder),
                    "--backbone", "resnet18", "--weights", f"random:{seed}", "--frames", "all",
                    "--device", "cpu", "--no-supervise",
                ],
            )  # fmt: skip
            assert done.exit_code == 0, done.output
    seeds = train(
        "syn-a", "syn-b", list(folders), tmp_path / "runs",
        segments=2, epochs=2, views=2, fusion="late",
    )  # fmt: skip
    run = load_run(seeds, device="cpu")
    assert [made.weights for made in run.streams] == ["random:0", "random:1"]
    with (run.path / "predictions.csv").open(newline="") as file:
        recorded = list(csv.DictReader(file))
    assert recorded
    found = predict(run, [tmp_path / "b" / row["video"] for row in recorded], top_k=12)
    for row, each in zip(recorded, found, strict=True):
        assert run.classes.index(each.top[0].name) == int(row["last"])
        assert each.top[0].probability == pytest.approx(float(row["last_probability"]), abs=1e-5)
