"""If this breaks, a picture is missing from a report, or missing without a word."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.figures.look import Gallery
from ta3n.train.report.figures.pictures import draw_pictures

from ....support.feature_folders import made_clips
from ....support.made_runs import make_config, make_rows, make_run
from ....support.reports import Trained, collect_runs
from ....support.videos import WriteClip

ATTENTION = [[0.5, 0.45, 0.4, 0.6], [0.4, 0.35, 0.35, 0.5], [0.31, 0.31, 0.32, 0.4]]
TOLD = [{"frame": share - 0.2, "relation": share} for share in (0.9, 0.8, 0.7)]
MEASURED: dict[str, Sequence[Any]] = {"attention": ATTENTION, "domain_accuracy": TOLD}
SCORES = {"im": (0.1, 0.3, 0.2), "entropy": (-1.0, -0.5, -0.1)}


def direction(out: Path) -> DirectionRuns:
    (found,) = collect_runs(out).directions
    return found


def names(gallery: Gallery) -> list[str]:
    return [panel.name for picture in gallery.pictures for panel in picture.panels]


def alt(gallery: Gallery, name: str) -> str:
    panels = [panel for picture in gallery.pictures for panel in picture.panels]
    return next(panel.alt for panel in panels if panel.name == name)


def test_all_that_training_measured_is_drawn(tmp_path: Path) -> None:
    make_rows(tmp_path, {("source-only", "relation"): (5,)})
    for seed in range(2):
        make_run(tmp_path, make_config(), seed, (2, 9, 8 + seed), scores=SCORES, measured=MEASURED)
    gallery = draw_pictures(direction(tmp_path), None, "p-")
    assert names(gallery) == [
        "p-accuracy",
        "p-class-changes",
        "p-confusion",
        "p-learning-curves",
        "p-losses",
        "p-domain-accuracy",
        "p-attention-in-training",
        "p-selection",
    ]
    assert "relation from 90 to 70" in alt(gallery, "p-domain-accuracy")
    assert "2-frame relation from 0.50 to 0.31" in alt(gallery, "p-attention-in-training")
    (missing,) = gallery.missing
    assert "without features" in missing


def test_levels_are_called_levels(tmp_path: Path) -> None:
    measured = {"attention": [[0.5, 0.45, 0.4], [0.4, 0.35, 0.35], [0.31, 0.31, 0.32]]}
    make_run(tmp_path, make_config(temporal="tcn"), 0, (2, 9, 8), measured=measured)
    gallery = draw_pictures(direction(tmp_path), None, "p-")
    told = alt(gallery, "p-attention-in-training")
    assert "level 3 from 0.50 to 0.31" in told
    assert "level 1 from 0.40 to 0.32" in told
    assert "relation" not in told
    assert not any("Attention" in each for each in gallery.missing)
    caption = next(
        p.caption for p in gallery.pictures if p.heading == "The domain game in training"
    )
    assert "for each level" in caption


def test_what_earlier_runs_lack_is_named(tmp_path: Path) -> None:
    """One seed of TA3N alone, without any of the newer measurements."""
    make_run(tmp_path, make_config(epochs=1), 0, (3,))
    gallery = draw_pictures(direction(tmp_path), None)
    assert names(gallery) == ["accuracy", "confusion", "learning-curves", "losses"]
    told = "\n".join(gallery.missing)
    for what in (
        "no source-only row with relation",
        "Attention in training: the runs of TA3N, relation kept none",
        "Domain accuracy: the runs of TA3N, relation kept none",
        "kept no validator scores",
    ):
        assert what in told


def test_a_row_without_attention_is_named(tmp_path: Path) -> None:
    make_rows(tmp_path, {("source-only", "pooling"): (5,), ("revgrad", "pooling"): (9,)})
    told = "\n".join(draw_pictures(direction(tmp_path), None).missing)
    assert "TA3N was not run" in told
    assert "RevGrad, pooling has no attention" in told


def test_a_single_class_is_drawn(tmp_path: Path) -> None:
    make_rows(tmp_path, {("source-only", "relation"): (20,), ("ta3n", "relation"): (20,)})
    found = direction(tmp_path)
    rows = []
    for row in found.rows:
        config = replace(row.config, settings={**row.config.settings, "classes": ["only"]})
        runs = tuple(
            replace(
                run,
                predictions=tuple(replace(p, label=0, chosen={"last": 0}) for p in run.predictions),
            )
            for run in row.runs
        )
        rows.append(replace(row, config=config, runs=runs))
    gallery = draw_pictures(replace(found, rows=tuple(rows)), None)
    assert "only 100 to 100 % (20 videos)" in alt(gallery, "class-changes")


@pytest.fixture(scope="module")
def full(
    trained: Trained, tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip
) -> Gallery:
    """Return the pictures of trained rows, with features and the target's validation clips."""
    videos = tmp_path_factory.mktemp("videos")
    for number, clip in enumerate(made_clips("hmdb51")):
        if clip.role == "test":
            write_clip(videos / "hmdb51" / clip.path, clip.num_frames, seed=number)
    return draw_pictures(direction(trained.runs), trained.features, videos=videos)


def test_models_are_drawn_with_the_figures_that_speak_for_them(full: Gallery) -> None:
    assert {"tsne-before", "tsne-after", "attention", "attention-by-class"} <= set(names(full))
    (picture,) = (p for p in full.pictures if "feature space" in p.heading)
    assert picture.caption.count("proxy A-distance") == picture.caption.count("MMD²") == 2
    for panel in picture.panels:
        assert "proxy A-distance" in panel.alt
        assert "15 source and 15 target videos" in panel.alt
    assert "2-frame: source 0." in alt(full, "attention")


def test_frames_of_target_videos_are_shown(full: Gallery) -> None:
    shown = [alt(full, f"frames-{which}") for which in ("highest", "lowest")]
    clips = [word for text in shown for word in text.split() if word.endswith(".avi:")]
    assert len(set(clips)) == 6
    assert not [line for line in full.missing if "Frames" in line]
