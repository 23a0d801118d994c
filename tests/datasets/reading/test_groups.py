"""If this breaks, clips of one recording are on both sides of a check that calls them unseen."""

from pathlib import Path

import pytest

from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE, BUILT_IN_DATASETS
from ta3n.datasets.builtin.hmdb51 import HMDB51
from ta3n.datasets.builtin.olympic import OLYMPIC
from ta3n.datasets.builtin.ucf101 import UCF101
from ta3n.datasets.reading.base import Dataset, OfficialDataset


@pytest.mark.parametrize(
    ("dataset", "stem", "group"),
    [
        (UCF101, "v_Archery_g07_c03", "07"),
        (UCF101, "v_Archery", "v_Archery"),
        (HMDB51, "Faith_Rewarded_jump_f_cm_np1_ba_bad_15", "Faith_Rewarded_jump"),
        (HMDB51, "(HQ)_!#&[]+;~@_avi_walk_f_cm_np1_ri_med_0", "(HQ)_!#&[]+;~@_avi_walk"),
        (HMDB51, "prelinger_LetsBeGo1953_wave_u_cm_np10_ba_med_2", "prelinger_LetsBeGo1953_wave"),
        (HMDB51, "_f_cm_np1_ba_bad_1", "_f_cm_np1_ba_bad_1"),
        (HMDB51, "mine", "mine"),
        (OLYMPIC, "-0kyAXBLyQA_00014_00124", "-0kyAXBLyQA_00014_00124"),
    ],
)
def test_a_clip_belongs_to_the_recording_in_its_name(
    dataset: Dataset, stem: str, group: str
) -> None:
    assert dataset.recording_of("walk", stem) == ("walk", group)


@pytest.mark.parametrize("name", [dataset.name for dataset in BUILT_IN_DATASETS])
def test_every_clip_has_a_group(name: str) -> None:
    assert BUILT_IN_CATALOGUE.dataset(name).recording_of("walk", "clip") == ("walk", "clip")


@pytest.mark.shared
@pytest.mark.parametrize("split", ["1", "2", "3"])
@pytest.mark.parametrize(
    ("dataset", "folder", "num_groups"),
    [(UCF101, "ucf101", 101 * 25), (HMDB51, "hmdb51/testTrainMulti_7030_splits", 2291)],
)
def test_official_splits_divide_no_group(
    shared: Path, dataset: OfficialDataset, folder: str, num_groups: int, split: str
) -> None:
    """The groups are those that the authors of the datasets kept together."""
    roles: dict[tuple[str, str], set[str]] = {}
    for (class_name, stem), by_split in dataset.read_splits(shared / "splits" / folder).items():
        group = roles.setdefault(dataset.recording_of(class_name, stem), set())
        if split in by_split:
            group.add(by_split[split])
    assert len(roles) == num_groups
    assert [key for key, found in roles.items() if len(found) > 1] == []
