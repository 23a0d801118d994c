"""If this breaks, pictures show another model than the one whose accuracy is reported."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common.errors import DataConflictError, DataMissingError, FeatureStoreError
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.embed import SUBSETS, embed_row, load_subsets

from ....support.feature_folders import made_clips, make_features
from ....support.reports import Trained, collect_runs
from ....support.small_runs import train


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
    same = {"benchmark": "ucf-hmdb-small", "method": "adabn", "epochs": 1}
    train("ucf", "hmdb", trained.features, tmp_path, **same)
    (found,) = collect_runs(tmp_path).directions
    subsets = load_subsets(found, trained.features, subsets=("source val", "target val"))
    (before,) = embed_row(found.rows[0], subsets)
    weights = found.rows[0].runs[0].path / "weights.pt"
    kept = torch.load(weights, weights_only=True)
    kept["epochs"][1]["frame_norm.running"][0, 0] -= 1
    torch.save(kept, weights)
    (after,) = embed_row(found.rows[0], subsets)
    assert np.array_equal(after.target.features, before.target.features)
    assert not np.array_equal(after.source.features, before.source.features)


def test_other_features_are_refused(tmp_path: Path, direction: DirectionRuns) -> None:
    for dataset in ("ucf101", "hmdb51"):
        make_features(tmp_path, dataset, made_clips(dataset), seed=7)
    with pytest.raises(DataConflictError, match="not those that the runs used"):
        load_subsets(direction, tmp_path)


def test_missing_foreign_and_damaged_weights_are_named(
    trained: Trained, direction: DirectionRuns
) -> None:
    subsets = load_subsets(direction, trained.features, subsets=("target val",))
    ours = row(direction, "ta3n")
    weights = ours.runs[0].path / "weights.pt"
    whole = weights.read_bytes()
    try:
        kept = torch.load(weights, weights_only=True)
        kept["epochs"][kept["rules"]["last"]]["video_classifier.weight"] *= -100
        torch.save(kept, weights)
        with pytest.raises(FeatureStoreError, match="otherwise than the run recorded"):
            embed_row(ours, subsets)
        weights.write_bytes(whole[:100])
        with pytest.raises(FeatureStoreError, match="cannot be used"):
            embed_row(ours, subsets)
        weights.unlink()
        with pytest.raises(DataMissingError, match=r"no weights\.pt"):
            embed_row(ours, subsets)
    finally:
        weights.write_bytes(whole)
