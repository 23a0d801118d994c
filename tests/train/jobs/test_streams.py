"""If this breaks, a run on several streams of features is not what it says, or is lost later."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ta3n.common.errors import UsageError
from ta3n.train import load_run
from ta3n.train.data.features import load_part
from ta3n.train.data.streams import load_streams
from ta3n.train.inference.evaluation import evaluate, load_target
from ta3n.train.jobs.job import TrainingJob, prepare_jobs
from ta3n.train.report.write import write_report

from ...support.feature_folders import DIM, made_clips, make_features
from ...support.small_runs import run_job, small_settings, ta3n_train


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return features of two backbones."""
    made = []
    for name, backbone, first in (("rgb", "resnet18", 0), ("flow", "resnet34", 2)):
        made.append(tmp_path_factory.mktemp(name))
        for seed, dataset in enumerate(("ucf101", "hmdb51"), first):
            make_features(
                made[-1], dataset, made_clips(dataset), frames="all", backbone=backbone, seed=seed
            )
    return made[0], made[1]


def job(features: Any, out: Path, **changes: Any) -> TrainingJob:
    (made,) = prepare_jobs(
        "ucf", "hmdb", small_settings(features, out, benchmark="ucf-hmdb-small", **changes)
    )
    return made


LATE: dict[str, Any] = {"fusion": "late", "stream_loss": 0.33}


def test_streams_are_part_of_what_a_run_is(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rgb, flow = folders
    one, same, both, other = (
        job(features, tmp_path) for features in (rgb, [rgb], [rgb, flow], [flow, rgb])
    )
    assert one.config == same.config
    assert "streams" not in one.config.data
    assert "fusion" not in one.config.settings["recipe"]
    assert len({each.config.hash for each in (one, both, other)}) == 3
    assert [s["features"]["backbone"] for s in both.config.data["streams"]] == ["resnet34"]
    late = job([rgb, flow], tmp_path, **LATE)
    assert late.config.identity["recipe"]["fusion"] == "late"
    assert late.config.hash != both.config.hash


@pytest.mark.parametrize("fusion", [{}, LATE])
def test_a_run_on_two_streams_is_trained_evaluated_and_reported(
    folders: tuple[Path, Path], tmp_path: Path, fusion: dict[str, Any]
) -> None:
    made = job(list(folders), tmp_path / "runs", seeds="2", **fusion)
    results = run_job(made)
    run = load_run(made.folder(0).path)
    assert run.feature_dim == 2 * DIM
    assert [each.backbone for each in run.streams] == ["resnet18", "resnet34"]
    side = load_target(run, folders, "hmdb", allow_missing=True)
    assert evaluate(run, side, "val").correct() == results[0].rules["last"].correct
    features = load_part(side, "val")
    assert run.predict_features(features).shape == (15, 5)  # type: ignore[arg-type]
    report = write_report([tmp_path / "runs"], tmp_path / "out", features=folders, command="x")
    page = report.page.read_text()
    assert page.count("<dt>Backbone</dt>") == 2
    assert page.count("has random weights (random:0)") == 1
    assert any("attention" in figure.name for figure in report.figures)
    line = [
        "--evaluate", made.folder(0).path, "--target", "hmdb", "--allow-missing", "--device", "cpu",
        "--out", tmp_path / "evaluation",
    ]  # fmt: skip
    told = ta3n_train(*line, "--features", folders[0], "--features", folders[1])
    assert told.exit_code == 0, told.stderr
    refused = ta3n_train(*line, "--features", folders[0])
    assert refused.exit_code == 1
    assert "1 streams (--features), in the run 2" in refused.stderr
    swapped = ta3n_train(*line, "--features", folders[1], "--features", folders[0])
    assert "stream 1: backbone is resnet34, in the run resnet18" in swapped.stderr


def test_stacked_seeds_of_late_streams_are_their_single_runs(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    losses = []
    for stack in ("on", "off"):
        made = job(
            list(folders), tmp_path / stack, stack=stack, seeds="2", recipe="paper",
            norm="adabn", sampling="random", **LATE,
        )  # fmt: skip
        run_job(made)
        text = (made.folder(1).path / "metrics.jsonl").read_text()
        losses.append([json.loads(line)["losses"] for line in text.splitlines()])
    for stacked, alone in zip(*losses, strict=True):
        assert stacked == pytest.approx(alone, rel=1e-3)
        assert "streams" in alone


def test_late_streams_see_their_own_features_and_sum_their_logits(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    made = job(list(folders), tmp_path, **LATE)
    run_job(made)
    run = load_run(made.folder(0).path)
    assert made.target.widths == (DIM, DIM)
    features = load_part(made.target, "val")
    assert isinstance(features, torch.Tensor)
    model: Any = run.model
    from ta3n.train.model.prediction import NO_REVERSAL

    whole = model(features, NO_REVERSAL)
    assert whole.stream_logits.shape == (2, 15, 5)
    torch.testing.assert_close(whole.stream_logits.sum(dim=0), whole.logits)
    other = features.clone()
    other[..., DIM:] = other[..., DIM:].flip(0)
    changed = model(other, NO_REVERSAL)
    width = model.spec.video_dim // 2
    # The spatial module and the encoder of the first stream never see the second: without the
    # attention over both, which weighs all of them.
    assert torch.equal(
        model.frame_fc(features)[..., : model.spec.hidden_dim],
        model.frame_fc(other)[..., : model.spec.hidden_dim],
    )
    assert torch.equal(whole.parts[..., :width], changed.parts[..., :width])
    assert not torch.equal(whole.parts[..., width:], changed.parts[..., width:])
    assert np.isfinite(F.cross_entropy(whole.stream_logits[0], torch.zeros(15).long()).item())


def test_what_has_no_streams_has_no_fusion(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--fusion late is for streams"):
        job(folders[0], tmp_path, fusion="late")
    with pytest.raises(UsageError, match="--stream-loss is of streams"):
        job(list(folders), tmp_path, stream_loss=0.33)


def test_a_stream_lost_later_is_refused_in_a_line(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folders[1], tmp_path / "flow"))
    shutil.rmtree(copy / "hmdb51")
    done = ta3n_train(
        "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small", "--allow-missing",
        "--features", folders[0], "--features", copy, "--out", tmp_path / "runs",
    )  # fmt: skip
    assert done.exit_code == 1
    assert f"no features of hmdb51: no manifest.json in {copy / 'hmdb51'}" in done.stderr


def test_source_free_adaptation_keeps_the_streams(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    start = job(list(folders), tmp_path / "runs", method="source-only", **LATE)
    run_job(start)
    adapted = job(
        list(folders), tmp_path / "adapted", source_free=True,
        init_from=start.folder(0).path.parent, **LATE | {"stream_loss": 0.0},
    )  # fmt: skip
    run_job(adapted)
    streams = [each.config.data["streams"][0]["manifests"] for each in (start, adapted)]
    assert streams[0] == streams[1]
    load_run(adapted.folder(0).path)
    assert load_streams(
        folders, start.benchmark, "hmdb51", num_segments=5, allow_missing=True
    ).widths == (DIM, DIM)
