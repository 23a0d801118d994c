"""If this breaks, runs that were trained cannot be used where they lie."""

from pathlib import Path

from ta3n.train import load_run

from ...support.feature_folders import made_clips, make_features
from ...support.small_runs import train


def test_a_run_is_used_in_a_folder_whose_name_is_of_any_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    folder.mkdir()
    for dataset in ("ucf101", "hmdb51"):
        make_features(folder, dataset, made_clips(dataset))
    seeds = train("ucf", "hmdb", folder, tmp_path / "runs", epochs=1)
    moved = tmp_path / "caf\udce9"
    (seeds / "seed-0").rename(moved)
    assert load_run(moved, device="cpu").path == moved
