"""If this breaks, a run trains on other videos than its benchmark says, without a word."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, DataMissingError
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.train.data.videos import DomainVideos, check_same_features, load_videos, untested_classes

from ...support.feature_folders import ROLES, MadeClip, made_clips, make_features

SMALL = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small")


def load(
    features: Path, dataset: str = "ucf101", *, segments: int = 5, allow_missing: bool = True
) -> DomainVideos:
    return load_videos(features, SMALL, dataset, num_segments=segments, allow_missing=allow_missing)


def test_videos_have_label_role_and_sampled_rows(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"))
    side = load(tmp_path)
    assert (len(side.train), len(side.val)) == (30, 15)
    golf = [v for v in side.train if v.clip.class_name == "GolfSwing"]
    assert {video.label for video in golf} == {0}
    assert side.train[0].rows == (0, 1, 2, 3, 4)


def test_all_frames_serve_any_number_of_segments(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"), frames="all")
    assert load(tmp_path).train[0].rows == (1, 3, 6, 8, 10)
    assert load(tmp_path, segments=3).train[0].rows == (2, 6, 10)


def test_frames_kept_at_a_fixed_distance_are_sampled_like_a_clip(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"), frames="every:2")
    assert load(tmp_path).train[0].rows == (0, 1, 3, 4, 5)


def test_short_clips_repeat_their_last_row(tmp_path: Path) -> None:
    clips = [MadeClip(class_name="GolfSwing", number=0, role="train", num_frames=3)]
    make_features(tmp_path, "ucf101", clips)
    assert load(tmp_path).train[0].rows == (0, 1, 2, 2, 2)


def test_segments_that_were_not_kept_are_refused(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"))
    with pytest.raises(DataConflictError, match="train with --segments 5, or extract with"):
        load(tmp_path, segments=8)


def test_missing_videos_are_listed_by_kind_and_name(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    clips = made_clips("ucf101")
    clips.append(MadeClip(class_name="Biking", number=99, role="train", status="failed"))
    make_features(tmp_path, "ucf101", clips, absent=["PullUps"], pending=["HorseRiding"])
    with pytest.raises(DataMissingError) as caught:
        load(tmp_path, allow_missing=False)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "1 failed in extraction (Biking/train_99.avi: made up)",
        "1 not extracted yet (HorseRiding/waiting.avi)",
        "1 not on disk (PullUps/gone)",
        "unknown to the manifest (94 train videos of golf",
        "--allow-missing",
    ):
        assert part in message
    side = load(tmp_path)
    assert len(side.train) == 30
    assert any("not on disk (PullUps/gone)" in line for line in log.messages)


def test_class_of_an_own_benchmark_without_training_videos_needs_consent(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """How many there should be nobody says; of none at all nothing can be learned."""
    sides = {name: replace(side, expected=None) for name, side in SMALL.sides.items()}
    own = replace(SMALL, sides=sides)
    clips = [c for c in made_clips("ucf101") if (c.class_name, c.role) != ("Biking", "train")]
    make_features(tmp_path, "ucf101", clips)
    with pytest.raises(DataMissingError, match="all train videos of ride_bike"):
        load_videos(tmp_path, own, "ucf101", num_segments=5, allow_missing=False)
    side = load_videos(tmp_path, own, "ucf101", num_segments=5, allow_missing=True)
    assert len(side.train) == 24
    assert any("all train videos of ride_bike" in line for line in log.messages)


def test_mistyped_folder_beside_a_right_one_needs_consent(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """A class would be learned without the clips that were meant to be most of it."""
    sides = {
        name: replace(side, expected=None, labels={**side.labels, "Bikes": side.labels["Biking"]})
        for name, side in SMALL.sides.items()
        if name == "ucf101"
    }
    own = replace(SMALL, sides=sides)
    make_features(tmp_path, "ucf101", made_clips("ucf101"))
    with pytest.raises(DataMissingError, match="all videos in 'Bikes' of ride_bike"):
        load_videos(tmp_path, own, "ucf101", num_segments=5, allow_missing=False)
    assert len(load_videos(tmp_path, own, "ucf101", num_segments=5, allow_missing=True).train) == 30
    assert any("all videos in 'Bikes' of ride_bike" in line for line in log.messages)


def test_class_without_a_video_to_test_on_needs_consent(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """Accuracy would be of fewer classes than anybody thinks."""
    clips = [c for c in made_clips("ucf101") if c.class_name != "Biking" or c.role == "train"]
    make_features(tmp_path, "ucf101", clips)
    side = load(tmp_path)
    names = SMALL.class_names
    message = "no validation videos of ride_bike in .*, so that accuracy is of 4 of 5 classes"
    with pytest.raises(DataMissingError, match=f"{message}; --allow-missing goes on"):
        untested_classes(side, names, allow_missing=False)
    assert untested_classes(side, names, allow_missing=True) == ["ride_bike"]
    assert any(re.search(message, line) for line in log.messages)
    assert untested_classes(side, names, "train", allow_missing=False) == []


def test_complete_benchmark_needs_no_consent(tmp_path: Path) -> None:
    clips = []
    for label, name in enumerate(("golf", "pullup", "ride_bike", "ride_horse", "shoot_ball")):
        assert SMALL.label_of("hmdb51", name) == label
        for role, count in zip(ROLES, (70, 30), strict=True):
            clips += [
                MadeClip(class_name=name, number=n, role=role, num_frames=5) for n in range(count)
            ]
    make_features(tmp_path, "hmdb51", clips)
    side = load(tmp_path, "hmdb51", allow_missing=False)
    assert (len(side.train), len(side.val)) == (350, 150)


def test_classes_outside_the_benchmark_are_left_alone(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"))
    full = load_videos(
        tmp_path,
        BUILT_IN_CATALOGUE.benchmark("ucf-olympic"),
        "ucf101",
        num_segments=5,
        allow_missing=True,
    )
    assert {video.clip.class_name for video in full.train} == {"Basketball"}


def test_damaged_and_equal_clips_are_named(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    clips = [
        MadeClip(class_name="Biking", number=0, role="train", status="partial"),
        MadeClip(class_name="Biking", number=1, role="train"),
    ]
    manifest = make_features(tmp_path, "ucf101", clips)
    first, second = manifest.clips
    twin = second.model_copy(update={"crc32": first.crc32})
    from ta3n.common.records import dump_record

    copy = manifest.model_copy(update={"clips": (first, twin)})
    (tmp_path / "ucf101" / "manifest.json").write_bytes(dump_record(copy))
    load(tmp_path)
    assert any("1 damaged clips are used: Biking/train_00.avi" in line for line in log.messages)
    assert any("Biking/train_00.avi = Biking/train_01.avi" in line for line in log.messages)


def test_missing_or_foreign_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="ta3n-extract --dataset ucf101 --out"):
        load(tmp_path)
    make_features(tmp_path, "hmdb51", made_clips("hmdb51"))
    (tmp_path / "hmdb51").rename(tmp_path / "ucf101")
    with pytest.raises(DataConflictError, match="holds features of hmdb51, not ucf101"):
        load(tmp_path)


def test_domains_of_different_features_are_refused_with_the_difference(tmp_path: Path) -> None:
    ucf = make_features(tmp_path, "ucf101", made_clips("ucf101"))
    hmdb = make_features(tmp_path, "hmdb51", made_clips("hmdb51"), backbone="resnet34")
    with pytest.raises(
        DataConflictError, match="backbone is resnet18 in ucf101, resnet34 in hmdb51"
    ):
        check_same_features(ucf.config, hmdb.config)
    check_same_features(ucf.config, ucf.config)


def test_frames_are_drawn_of_all_or_of_every_nth_alone(tmp_path: Path) -> None:
    for frames in ("all", "every:2", "segments:5", "fps:5"):
        folder = tmp_path / frames
        if frames == "fps:5":
            # Which frames those are nobody but the extraction knows; the refusal comes before.
            make_features(folder, "ucf101", made_clips("ucf101"))
            manifest = folder / "ucf101" / "manifest.json"
            manifest.write_text(manifest.read_text().replace("segments:5", frames))
        else:
            make_features(folder, "ucf101", made_clips("ucf101"), frames=frames)

        def load_random(folder: Path = folder) -> DomainVideos:
            return load_videos(
                folder, SMALL, "ucf101", num_segments=5, sampling="random", allow_missing=True
            )

        if frames in ("all", "every:2"):
            assert load_random().train
            continue
        with pytest.raises(DataConflictError, match=f"only frames {frames}, and --sampling random"):
            load_random()


def test_views_need_their_frames(tmp_path: Path) -> None:
    make_features(tmp_path, "ucf101", made_clips("ucf101"), frames="segments:5")
    with pytest.raises(DataConflictError, match="5 segments in 2 views need others"):
        load_videos(tmp_path, SMALL, "ucf101", num_segments=5, num_views=2, allow_missing=True)
