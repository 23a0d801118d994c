"""If this breaks, a model is judged on videos whose twins it was trained on."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.datasets.custom.dataset import OwnDataset
from ta3n.datasets.custom.settings import DatasetSettings
from ta3n.datasets.reading.base import group_in
from ta3n.train.data.videos import DomainVideos, Video, held_out, load_videos

from ...support.feature_folders import made_clips, make_features


def load(features: Path, dataset: str) -> DomainVideos:
    make_features(features, dataset, made_clips(dataset, num_train=1, num_test=1))
    benchmark = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small")
    return load_videos(features, benchmark, dataset, num_segments=5, allow_missing=True)


def renamed(videos: tuple[Video, ...], names: dict[str, str]) -> tuple[Video, ...]:
    """Return one video for each name, of the class that it is given."""
    by_class = {video.clip.class_name: video for video in videos}
    return tuple(
        replace(
            by_class[class_name],
            clip=replace(by_class[class_name].clip, path=f"{class_name}/{name}.avi"),
        )
        for name, class_name in names.items()
    )


def named(side: DomainVideos, train: dict[str, str], val: dict[str, str]) -> DomainVideos:
    return replace(side, train=renamed(side.train, train), val=renamed(side.val, val))


def test_videos_of_a_trained_group_are_not_held_out(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    side = named(
        load(tmp_path, "ucf101"),
        train={"v_PullUps_g01_c01": "PullUps", "v_Biking_g02_c01": "Biking"},
        val={
            "v_PullUps_g01_c02": "PullUps",
            "v_PullUps_g02_c01": "PullUps",  # group 2 of another class is another recording
            "v_Biking_g02_c04": "Biking",
        },
    )
    assert [v.clip.path for v in held_out(side, BUILT_IN_CATALOGUE.dataset(side.dataset))] == [
        "PullUps/v_PullUps_g02_c01.avi"
    ]
    assert "ucf101: 2 of 3 validation videos are not held out" in log.text
    assert "PullUps/v_PullUps_g01_c02.avi" in log.text


def test_clips_of_one_film_are_not_held_out(tmp_path: Path) -> None:
    side = named(
        load(tmp_path, "hmdb51"),
        train={"Film_golf_f_cm_np1_ba_bad_15": "golf"},
        val={
            "Film_golf_u_nm_np10_fr_goo_2": "golf",
            "Other_golf_f_cm_np1_ba_bad_15": "golf",
        },
    )
    (kept,) = held_out(side, BUILT_IN_CATALOGUE.dataset(side.dataset))
    assert kept.clip.path == "golf/Other_golf_f_cm_np1_ba_bad_15.avi"


def test_clips_in_deeper_folders_are_told_apart_and_grouped_by_them(tmp_path: Path) -> None:
    """Cameras number their files anew each day: equal names are no sign of one recording."""
    side = named(
        load(tmp_path, "ucf101"),
        train={"day1/0001": "Biking", "day2/0003": "PullUps"},
        val={"day2/0001": "Biking", "day1/0002": "PullUps"},
    )
    plain = OwnDataset(name="own", short_name="own", table=DatasetSettings(val_ratio=0.5))
    assert held_out(side, plain) == side.val
    by_day = replace(plain, group_from_name=partial(group_in, re.compile("day1")))
    assert [v.clip.path for v in held_out(side, by_day)] == [
        "Biking/day2/0001.avi",
        "PullUps/day1/0002.avi",
    ]
    spanning = replace(by_day, groups_span_classes=True)
    assert [v.clip.path for v in held_out(side, spanning)] == ["Biking/day2/0001.avi"]


def test_sections_of_a_trained_video_are_not_held_out(tmp_path: Path) -> None:
    """Whatever their names and classes: they show the same room."""
    side = named(
        load(tmp_path, "ucf101"), train={"a": "Biking"}, val={"b": "PullUps", "c": "PullUps"}
    )
    plain = OwnDataset(name="own", short_name="own", table=DatasetSettings(val_ratio=0.5))
    videos = iter(("day/1.mp4", "day/1.mp4", "day/2.mp4"))

    def cut(part: tuple[Video, ...]) -> tuple[Video, ...]:
        return tuple(replace(v, clip=replace(v.clip, video=next(videos))) for v in part)

    side = replace(side, train=cut(side.train), val=cut(side.val))
    assert [v.clip.path for v in held_out(side, plain)] == ["PullUps/c.avi"]


def test_all_are_held_out_and_nothing_said_where_none_is_shared(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    side = load(tmp_path, "ucf101")
    log.clear()
    assert held_out(side, BUILT_IN_CATALOGUE.dataset(side.dataset)) == side.val
    assert len(side.val) == 5
    assert log.text == ""


def test_rules_that_need_held_out_videos_are_named_where_there_are_none(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    side = replace(load(tmp_path, "ucf101"), val=())
    assert held_out(side, BUILT_IN_CATALOGUE.dataset(side.dataset)) == ()
    assert "ucf101: without held-out videos the rules source_val and dev do not apply" in log.text
