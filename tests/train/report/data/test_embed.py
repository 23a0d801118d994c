"""If this breaks, pictures show another model than the one whose accuracy is reported."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common.errors import DataConflictError, DataMissingError, FeatureStoreError
from ta3n.train.report.data.collect import DirectionRuns, RunGroup, collect_runs
from ta3n.train.report.data.embed import SUBSETS, embed_row, load_subsets

from ....support.feature_folders import made_clips, make_features
from ..conftest import Trained, train


@pytest.fixture(scope="module")
def direction(trained: Trained) -> DirectionRuns:
    return collect_runs(trained.runs).directions[0]


def row(direction: DirectionRuns, method: str) -> RunGroup:
    return next(
        r for r in direction.rows if (r.config.method, r.config.temporal) == (method, "relation")
    )


def test_parts_hold_features_attention_and_the_recorded_predictions(
    trained: Trained, direction: DirectionRuns
) -> None:
    subsets = load_subsets(direction, trained.features)
    assert tuple(subsets) == SUBSETS
    ours = row(direction, "ta3n")
    embedded = embed_row(ours, subsets)
    assert [run.seed for run in embedded] == [0, 1]
    first = embedded[0]
    assert first.subsets["source train"].features.shape == (30, 256)
    assert first.source.features.shape == (15, 256)
    assert first.target.attention is not None
    assert first.target.attention.shape == (15, 4)
    assert (first.target.attention >= 1 - np.log(2) - 1e-6).all()
    recorded = [prediction.last for prediction in ours.runs[0].predictions]
    assert first.target.predicted.tolist() == recorded
    assert not np.array_equal(first.target.features, embedded[1].target.features)


def test_rows_without_attention_have_none(trained: Trained, direction: DirectionRuns) -> None:
    subsets = load_subsets(direction, trained.features, subsets=("target val",))
    embedded = embed_row(row(direction, "source-only"), subsets)
    assert embedded[0].target.attention is None


def test_each_domain_keeps_to_its_own_statistics(trained: Trained, tmp_path: Path) -> None:
    """AdaBN normalises by domain: other statistics of the source leave the target alone."""
    train(trained.features, tmp_path, method="adabn", epochs=1)
    (found,) = collect_runs(tmp_path).directions
    subsets = load_subsets(found, trained.features, subsets=("source val", "target val"))
    (before,) = embed_row(found.rows[0], subsets)
    checkpoint = found.rows[0].runs[0].path / "checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True)
    state["trainer"]["model"]["frame_norm.running"][0, 0] -= 1
    torch.save(state, checkpoint)
    (after,) = embed_row(found.rows[0], subsets)
    assert np.array_equal(after.target.features, before.target.features)
    assert not np.array_equal(after.source.features, before.source.features)


def test_other_features_are_refused(tmp_path: Path, direction: DirectionRuns) -> None:
    for dataset in ("ucf101", "hmdb51"):
        make_features(tmp_path, dataset, made_clips(dataset), seed=7)
    with pytest.raises(DataConflictError, match="not those that the runs used"):
        load_subsets(direction, tmp_path)


def test_missing_foreign_and_damaged_checkpoints_are_named(
    trained: Trained, direction: DirectionRuns
) -> None:
    subsets = load_subsets(direction, trained.features, subsets=("target val",))
    ours = row(direction, "ta3n")
    checkpoint = ours.runs[0].path / "checkpoint.pt"
    whole = checkpoint.read_bytes()
    try:
        state = torch.load(checkpoint, weights_only=True)
        weight = state["trainer"]["model"]["video_classifier.weight"]
        state["trainer"]["model"]["video_classifier.weight"] = -100 * weight
        torch.save(state, checkpoint)
        with pytest.raises(FeatureStoreError, match="otherwise than the run recorded"):
            embed_row(ours, subsets)
        checkpoint.write_bytes(whole[:100])
        with pytest.raises(FeatureStoreError, match="cannot be used"):
            embed_row(ours, subsets)
        checkpoint.unlink()
        with pytest.raises(DataMissingError, match=r"no checkpoint\.pt"):
            embed_row(ours, subsets)
    finally:
        checkpoint.write_bytes(whole)
