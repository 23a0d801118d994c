"""If this breaks, --feature-scale trains on one scale and evaluates on another."""

from pathlib import Path

import pytest
import torch

from ta3n.common.errors import UsageError
from ta3n.train import load_run
from ta3n.train.jobs.job import prepare_jobs
from ta3n.train.layers.feature_scale import FeatureScale
from ta3n.train.runs.folder import RunFolder

from ...support.feature_folders import made_clips, make_features
from ...support.small_runs import small_settings, ta3n_train, train


def test_standard_is_by_the_mean_and_spread_of_the_source() -> None:
    features = torch.randn(40, 5, 6, generator=torch.Generator().manual_seed(0)) * 1e-3 + 7
    features[..., 2] = 4.0  # the same in all frames
    scale = FeatureScale("standard", [6])
    scale.fit(torch.split(features, 7))
    scaled = scale(features).flatten(0, 1)
    assert scaled.mean(dim=0).abs().max() < 1e-3
    varying = [0, 1, 3, 4, 5]
    assert torch.allclose(scaled[:, varying].std(dim=0, correction=0), torch.ones(5), atol=1e-3)
    assert torch.equal(scaled[:, 2], torch.zeros(200))


def test_l2_is_each_stream_by_itself_and_leaves_zeros() -> None:
    features = torch.rand(3, 5, 6)
    features[0, 0] = 0
    scaled = FeatureScale("l2", [2, 4])(features)
    norms = torch.stack([part.norm(dim=-1) for part in torch.split(scaled, [2, 4], dim=-1)])
    assert torch.equal(norms[:, 0, 0], torch.zeros(2))
    norms[:, 0, 0] = 1
    assert torch.allclose(norms, torch.ones_like(norms))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    for dataset in ("ucf101", "hmdb51"):
        make_features(folder, dataset, made_clips(dataset))
    return folder


@pytest.mark.parametrize("kind", ["l2", "standard"])
def test_runs_keep_how_features_were_scaled(features: Path, tmp_path: Path, kind: str) -> None:
    """Stacked runs are those trained alone; what is kept classifies as training did."""
    seeds = {"seeds": "2", "method": "dan", "feature_scale": kind}
    out = train("ucf", "hmdb", features, tmp_path / "stacked", stack="on", **seeds)
    alone = train("ucf", "hmdb", features, tmp_path / "alone", stack="off", **seeds)
    for seed in ("seed-0", "seed-1"):
        names = [path / seed / "predictions.csv" for path in (out, alone)]
        rows = [[line.split(",")[:3] for line in n.read_text().splitlines()] for n in names]
        assert rows[0] == rows[1]
    run = load_run(out / "seed-0")
    assert run.config.settings["recipe"]["feature_scale"] == kind
    tested = ("--target", "hmdb", "--features", features, "--allow-missing")
    result = ta3n_train("--evaluate", out / "seed-0", *tested)
    assert result.exit_code == 0, result.stderr
    correct = RunFolder(out / "seed-0").read_result()
    assert correct is not None
    assert f"{correct.rules['last'].percent:.2f}" in result.stdout


def test_features_as_they_are_change_no_run_and_other_scales_are_other_runs(
    features: Path, tmp_path: Path
) -> None:
    def hash_of(**changes: str) -> str:
        (job,) = prepare_jobs("ucf", "hmdb", small_settings(features, tmp_path, **changes))
        assert ("feature_scale" in job.config.settings["recipe"]) == bool(changes)
        return job.config.hash

    hashes = {hash_of(), hash_of(feature_scale="l2"), hash_of(feature_scale="standard")}
    assert len(hashes) == 3


def test_a_closed_form_takes_features_as_they_are(features: Path, tmp_path: Path) -> None:
    settings = small_settings(features, tmp_path, method="sa-nn", feature_scale="l2")
    with pytest.raises(UsageError, match="sa-nn is a closed form"):
        prepare_jobs("ucf", "hmdb", settings)
