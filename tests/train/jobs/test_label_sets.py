"""If this breaks, figures of partial or open targets are wrong, or taken for others."""

import csv
import json
from pathlib import Path

import pytest
import torch

from ta3n.common.errors import DataMissingError, UsageError
from ta3n.train.data.streams import load_streams
from ta3n.train.inference.evaluation import evaluate, load_target
from ta3n.train.inference.trained import load_run
from ta3n.train.jobs.job import prepare_jobs
from ta3n.train.methods.rejection import Rejection
from ta3n.train.runs import session
from ta3n.train.runs.folder import RunFolder
from ta3n.train.runs.records import read_run
from ta3n.train.runs.selection import open_set_percents

from ...support.feature_folders import CLASSES, made_clips, make_features
from ...support.small_runs import run_job, small_settings, ta3n_train, train

KNOWN = ["golf", "ride_bike", "shoot_ball"]
OPEN = {"benchmark": "ucf-hmdb-small", "unknown": "pullup,ride_horse"}
PARTIAL = {"benchmark": "ucf-hmdb-small", "target_classes": ("golf", "pullup")}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, features: Path) -> Path:
    """Return the seeds of a run that has learned its three classes."""
    out = tmp_path_factory.mktemp("opened")
    return train("ucf", "hmdb", features, out, **OPEN, epochs=30, seeds="2")


def labels_of(path: Path) -> list[tuple[str, int]]:
    with (path / "predictions.csv").open(newline="") as file:
        return [(row["video"].partition("/")[0], int(row["label"])) for row in csv.DictReader(file)]


def test_measures_are_those_of_the_field() -> None:
    """Two known classes, 1/2 and 1/1 right; of four unknown videos three; 3 stands for unknown."""
    labels, told = [0, 0, 1, 3, 3, 3, 3], [0, 3, 1, 3, 3, 3, 0]
    found = open_set_percents(labels, told, 3)
    assert found == pytest.approx({"os_star": 75, "unk": 75, "os": 75, "h_score": 75})
    found = open_set_percents(labels, [0, 0, 1, 0, 0, 3, 0], 3)
    assert found == pytest.approx({"os_star": 100, "unk": 25, "os": 75, "h_score": 40})
    assert open_set_percents([0, 1, 3], [3, 3, 3], 3)["h_score"] == 0
    assert open_set_percents([0, 1], [0, 1], 3) == open_set_percents([3], [3], 3) == {}


def test_a_video_is_unknown_where_its_classes_are_nearly_alike() -> None:
    probabilities = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    # The entropies are 0, 1 and 1/2 of the highest there is.
    told = [Rejection(label=4, threshold=t).rejects(probabilities).tolist() for t in (0.49, 0.51)]
    assert told == [[False, True, True], [False, True, False]]


def test_an_open_run_is_no_run_of_the_closed_set(opened: Path, features: Path) -> None:
    assert opened.parents[1].name == "ucf-hmdb-small-open-pullup+ride_horse"
    run = read_run(opened / "seed-1")
    settings = run.config.settings
    assert settings["classes"] == KNOWN
    assert settings["label_sets"] == {
        "base": "ucf-hmdb-small", "target_classes": [], "unknown": ["pullup", "ride_horse"],
    }  # fmt: skip
    assert settings["rejection"] == {"label": 3, "threshold": 0.5}
    assert run.config.data["videos"]["ucf101"] == {"train": 18, "val": 9}
    assert run.config.data["videos"]["hmdb51"] == {"train": 30, "val": 15}
    (closed,) = prepare_jobs(
        "ucf", "hmdb", small_settings(features, opened, benchmark=OPEN["benchmark"])
    )
    assert not {"label_sets", "rejection"} & {*closed.config.identity, *closed.config.settings}
    assert closed.config.benchmark == "ucf-hmdb-small"


def test_unknown_videos_are_told_and_counted(opened: Path) -> None:
    run = read_run(opened / "seed-0")
    for folder, label in labels_of(opened / "seed-0"):
        assert label == (KNOWN.index(folder) if folder in KNOWN else 3)
    for name, rule in run.result.rules.items():
        labels = [p.label for p in run.predictions if isinstance(p.label, int)]
        told = [c for p in run.predictions if isinstance(c := p.chosen[name], int)]
        assert rule.open_set == open_set_percents(labels, told, 3)
        assert rule.mean_class == rule.open_set["os"]
    last = run.result.rules["last"]
    assert last.open_set["os_star"] == 100
    assert last.open_set["unk"] > 0
    assert run.epochs[-1]["target_open_set"] == last.open_set
    # Seen as anything else, the known would still be right.
    assert sum(p.label == p.last for p in run.predictions if p.label != 3) == 9


def test_another_threshold_is_another_run_of_the_same_weights(
    opened: Path, features: Path, tmp_path: Path
) -> None:
    strict = train(
        "ucf", "hmdb", features, tmp_path, **OPEN, epochs=30, unknown_threshold=0, method="ta3n"
    )
    assert strict.name != opened.name
    result = RunFolder(strict / "seed-0").read_result()
    assert result is not None
    assert result.rules["last"].open_set == {
        "os_star": 0, "unk": 100, "os": pytest.approx(25), "h_score": 0,
    }  # fmt: skip
    ours, theirs = (load_run(path / "seed-0", device="cpu") for path in (strict, opened))
    weights = theirs.model.state_dict()
    assert all(torch.equal(v, weights[name]) for name, v in ours.model.state_dict().items())


def test_a_partial_target_has_its_classes_alone_and_the_classifier_all(
    features: Path, tmp_path: Path
) -> None:
    path = train("ucf", "hmdb", features, tmp_path, **PARTIAL, method="mcc", epochs=8) / "seed-0"
    run = read_run(path)
    assert run.config.benchmark == "ucf-hmdb-small-partial-golf+pullup"
    assert len(run.config.settings["classes"]) == 5
    assert "untested_classes" not in run.config.settings
    assert {folder for folder, _ in labels_of(path)} == {"golf", "pullup"}
    assert run.config.data["videos"] == {
        "ucf101": {"train": 30, "val": 15}, "hmdb51": {"train": 12, "val": 6},
    }  # fmt: skip
    assert all(not rule.open_set for rule in run.result.rules.values())
    assert run.epochs[0]["target_videos"] == 12


def test_a_class_that_the_target_should_have_and_has_not_is_still_refused(
    features: Path, tmp_path: Path
) -> None:
    clips = [clip for clip in made_clips("hmdb51") if clip.class_name != "pullup"]
    (tmp_path / "ucf101").symlink_to(features / "ucf101")
    make_features(tmp_path, "hmdb51", clips)
    (job,) = prepare_jobs("ucf", "hmdb", small_settings(tmp_path, tmp_path / "runs", **PARTIAL))
    assert job.config.settings["untested_classes"] == ["pullup"]
    with pytest.raises(DataMissingError) as caught:
        load_streams(tmp_path, job.benchmark, "hmdb51", num_segments=5, allow_missing=False)
    # Of the classes that it is not to have nothing is missing.
    assert "4 unknown to the manifest" in str(caught.value)
    assert "70 train videos of pullup" in str(caught.value)
    assert "ride_bike" not in str(caught.value)


def test_folders_that_the_benchmark_leaves_out_are_unknown_where_they_have_features(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CLASSES, "hmdb51", (*CLASSES["hmdb51"], "dive", "wave"))
    (tmp_path / "ucf101").symlink_to(features / "ucf101")
    make_features(tmp_path, "hmdb51", made_clips("hmdb51"))
    settings = {"benchmark": "ucf-hmdb-small", "unknown": ["others"]}
    path = train("ucf", "hmdb", tmp_path, tmp_path / "runs", **settings) / "seed-0"
    assert [label for folder, label in labels_of(path) if folder in ("dive", "wave")] == [5] * 6
    assert read_run(path).config.settings["label_sets"]["unknown"] == ["dive", "wave"]


def test_target_only_learns_from_what_is_known(features: Path, tmp_path: Path) -> None:
    path = train("ucf", "hmdb", features, tmp_path, **OPEN, method="target-only", epochs=30)
    result = RunFolder(path / "seed-0").read_result()
    assert result is not None
    assert result.coverage == {"source": (18, 18)}
    assert result.rules["last"].open_set["os_star"] == 100


@pytest.mark.parametrize("method", ["source-only", "coral+mcc", "shot", "gfk-nn", "dan", "mcd"])
def test_methods_for_closed_sets_run_all_the_same(
    features: Path, tmp_path: Path, method: str
) -> None:
    more = {}
    if method == "shot":
        more["init_from"] = train("ucf", "hmdb", features, tmp_path, **OPEN, method="source-only")
    path = train("ucf", "hmdb", features, tmp_path, **OPEN, **more, method=method)
    run = read_run(path / "seed-0")
    assert {label for _, label in labels_of(path / "seed-0")} == {0, 1, 2, 3}
    assert run.result.rules["last"].open_set


def test_a_partial_target_may_start_from_a_run_of_the_whole_source(
    features: Path, tmp_path: Path
) -> None:
    start = train(
        "ucf", "hmdb", features, tmp_path, benchmark="ucf-hmdb-small", method="source-only"
    )
    path = train("ucf", "hmdb", features, tmp_path, **PARTIAL, init_from=start, source_free=True)
    assert read_run(path / "seed-0").config.settings["init_from"]["method"] == "source-only"
    with pytest.raises(Exception, match="5 there, 3 here; give the same --unknown") as caught:
        train("ucf", "hmdb", features, tmp_path, **OPEN, init_from=start, source_free=True)
    assert "\n" not in str(caught.value)


def test_an_open_run_goes_on_after_an_interruption(
    opened: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(run: session.SeedRun, _: float) -> None:
        run.save()
        raise KeyboardInterrupt

    (job,) = prepare_jobs("ucf", "hmdb", small_settings(features, tmp_path, **OPEN, epochs=30))
    with monkeypatch.context() as patch:
        patch.setattr(session.SeedRun, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            run_job(job)
    (result,) = run_job(job)
    theirs = RunFolder(opened / "seed-0").read_result()
    assert theirs is not None
    assert result.rules == theirs.rules


def test_stacked_seeds_tell_the_unknown_as_single_ones_do(
    opened: Path, features: Path, tmp_path: Path
) -> None:
    stacked = train("ucf", "hmdb", features, tmp_path, **OPEN, epochs=30, seeds="2", stack="on")
    for seed in ("seed-0", "seed-1"):
        ours, theirs = (
            RunFolder(stacked / seed).read_result(),
            RunFolder(opened / seed).read_result(),
        )
        assert ours is not None
        assert theirs is not None
        assert ours.rules["last"].open_set == theirs.rules["last"].open_set


def test_an_evaluation_gives_the_measures_of_the_run(
    opened: Path, features: Path, tmp_path: Path
) -> None:
    common = ("--features", features, "--allow-missing", "--device", "cpu", "--out", tmp_path)
    told = ta3n_train("--evaluate", opened / "seed-0", "--target", "hmdb", *common)
    assert told.exit_code == 0, told.stderr
    figures = json.loads((tmp_path / "evaluation-hmdb51-val-last.json").read_text())
    recorded = json.loads((opened / "seed-0" / "result.json").read_text())["rules"]["last"]
    assert figures["open_set_percent"] == recorded["open_set"]
    assert figures["correct"] == recorded["correct"]
    by_class = {each["name"]: each["total"] for each in figures["classes"]}
    assert by_class == {"golf": 3, "ride_bike": 3, "shoot_ball": 3, "unknown": 6}
    text = " ".join(told.stdout.split())
    assert f"│ H-score │ 1 │ {recorded['open_set']['h_score']:.2f} │" in text
    assert "above 0.5 of the highest there is, the logarithm of 3 classes" in text
    rejected = sum(
        line.split(",")[2] == "3"
        for line in (tmp_path / "evaluation-hmdb51-val-last.csv").read_text().splitlines()[1:]
    )
    assert f"told unknown: {rejected} of 15 videos, which have no class" in text
    # Of the source nothing is unknown, so that there is no measure of it.
    source = ta3n_train("--evaluate", opened / "seed-0", "--target", "ucf", *common)
    assert source.exit_code == 0, source.stderr
    assert "H-score │" not in source.stdout
    assert json.loads((tmp_path / "evaluation-ucf101-val-last.json").read_text())["total"] == 9


def test_a_video_that_is_rejected_is_not_among_its_likeliest_classes_either(
    opened: Path, features: Path
) -> None:
    run = load_run(opened / "seed-0", device="cpu")
    evaluation = evaluate(run, load_target(run, features, "hmdb", allow_missing=True), "val")
    unknown = int((evaluation.predicted == 3).sum())
    right = int(((evaluation.predicted == 3) & (evaluation.labels == 3)).sum())
    assert unknown > 0
    assert evaluation.correct(3) == 9 - (unknown - right) + right


def test_names_and_thresholds_that_make_no_sense_are_told_in_a_line(
    features: Path, tmp_path: Path
) -> None:
    common = (
        "--source", "ucf", "--target", "hmdb", "--benchmark", "ucf-hmdb-small", "--features",
        features, "--allow-missing", "--device", "cpu", "--out", tmp_path,
    )  # fmt: skip
    for options, told in (
        (("--target-classes", "golf,pulup"), "no class 'pulup' (did you mean 'pullup'?)"),
        (("--unknown", "ride-horse"), "has the class 'ride-horse' (did you mean 'ride_horse'?)"),
        (("--unknown-threshold", 0.3), "--unknown-threshold is for an open set"),
        (("--unknown-threshold", 3, "--unknown", "golf"), "unknown_threshold = 3.0"),
    ):
        result = ta3n_train(*common, *options)
        assert result.exit_code == 2
        assert told in result.stderr
        assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="hmdb51 has no features of a class"):
        prepare_jobs(
            "ucf", "hmdb", small_settings(features, tmp_path, **{**OPEN, "unknown": "others"})
        )


def test_no_source_of_several_has_what_is_unknown(tmp_path: Path) -> None:
    for seed, dataset in enumerate(("synthetic-a", "synthetic-b", "synthetic-c")):
        make_features(tmp_path / "features", dataset, made_clips(dataset, 2, 1), seed=seed)
    path = train(
        "syn-a,syn-c", "syn-b", tmp_path / "features", tmp_path, unknown="Rise,Fall", epochs=1
    )  # fmt: skip
    videos = read_run(path / "seed-0").config.data["videos"]
    assert {name: each["train"] for name, each in videos.items()} == {
        "synthetic-a": 20, "synthetic-c": 20, "synthetic-b": 24,
    }  # fmt: skip
