"""If this breaks, a job loses clips, does work twice, or writes what it should not."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.errors import DataConflictError, TooManyFailuresError
from ta3n.common.records import Manifest
from ta3n.common.store import shard_path, sidecar_path
from ta3n.extract.job import plan as plan_module
from ta3n.extract.job.run import check_failures, run_job

from ...support.extraction import job, rows_of
from ...support.videos import WriteClip


def test_every_clip_gets_its_record_and_rows(ucf_tree: Path, tmp_path: Path) -> None:
    manifest = run_job(job(ucf_tree, tmp_path, frames="all"))
    assert manifest.complete
    assert manifest.status_counts() == {"ok": 8}
    assert [clip.path for clip in manifest.clips] == sorted(clip.path for clip in manifest.clips)
    clip = manifest.clips[0]
    assert clip.path == "Archery/v_Archery_g01_c01.avi"
    assert (clip.class_name, clip.splits["1"]) == ("Archery", "test")
    assert (clip.num_frames, clip.declared_frames, clip.length) == (9, 9, 9)
    assert (clip.codec, clip.width, clip.height, clip.frame_rate) == ("mpeg4", 96, 64, 25.0)
    rows = rows_of(tmp_path, manifest)
    assert rows[clip.path].shape == (9, 512)
    assert np.isfinite(rows[clip.path]).all()
    assert manifest.provenance[0]["weights_sha256"]


def test_a_clips_features_do_not_depend_on_company_or_sampling(
    ucf_tree: Path, tmp_path: Path
) -> None:
    """Alone, in a batch with other clips, and with sampled frames: to float32 rounding."""
    mixed = rows_of(tmp_path / "m", run_job(job(ucf_tree, tmp_path / "m", frames="all")))
    path = "Biking/v_Biking_g09_c01.avi"
    lonely_root = tmp_path / "lonely" / "UCF-101"
    (lonely_root / "Biking").mkdir(parents=True)
    shutil.copy(ucf_tree / path, lonely_root / path)
    alone = rows_of(
        tmp_path / "a", run_job(job(lonely_root, tmp_path / "a", frames="all", batch_size=7))
    )
    sampled = rows_of(tmp_path / "s", run_job(job(ucf_tree, tmp_path / "s", frames="segments:5")))
    np.testing.assert_allclose(alone[path], mixed[path], rtol=1e-4, atol=1e-5)
    # 17 frames: the centres of five equal parts.
    np.testing.assert_allclose(sampled[path], mixed[path][[1, 5, 8, 11, 15]], rtol=1e-4, atol=1e-5)


def test_second_run_does_nothing(ucf_tree: Path, tmp_path: Path) -> None:
    first = run_job(job(ucf_tree, tmp_path))
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*")}
    # Weights that do not exist would be noticed if anything were computed.
    task = job(ucf_tree, tmp_path)
    again = replace(task, work=replace(task.work, device="cuda:99"))
    assert run_job(again) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*")} == stamps


def test_other_settings_in_the_same_folder_are_refused(ucf_tree: Path, tmp_path: Path) -> None:
    run_job(job(ucf_tree, tmp_path))
    with pytest.raises(DataConflictError, match="weights is random:0 there, random:1 now"):
        run_job(job(ucf_tree, tmp_path, weights="random:1"))


@pytest.mark.usefixtures("one_clip_shards")
def test_jobs_of_an_array_give_what_one_job_gives(ucf_tree: Path, tmp_path: Path) -> None:
    whole = run_job(job(ucf_tree, tmp_path / "one"))
    for share in ("2/3", "0/3"):
        assert not run_job(job(ucf_tree, tmp_path / "three", share=share)).complete
    parts = run_job(job(ucf_tree, tmp_path / "three", share="1/3"))
    assert parts.complete
    assert parts.content_hash == whole.content_hash
    with pytest.raises(DataConflictError, match=r"cut into 3 parts, so give i/3"):
        run_job(job(ucf_tree, tmp_path / "three", share="0/2"))
    # A job that is no part of an array may always look after the rest.
    assert run_job(job(ucf_tree, tmp_path / "three")) == parts


@pytest.mark.usefixtures("one_clip_shards")
def test_kill_between_shard_and_sidecar_is_mended(ucf_tree: Path, tmp_path: Path) -> None:
    first = run_job(job(ucf_tree, tmp_path))
    sidecar_path(tmp_path, "shard-00003").unlink()
    stamp = shard_path(tmp_path, "shard-00003").stat().st_mtime_ns
    assert run_job(job(ucf_tree, tmp_path)) == first
    assert shard_path(tmp_path, "shard-00003").stat().st_mtime_ns == stamp


@pytest.mark.usefixtures("one_clip_shards")
def test_damaged_shard_without_sidecar_is_made_again(ucf_tree: Path, tmp_path: Path) -> None:
    first = run_job(job(ucf_tree, tmp_path))
    sidecar_path(tmp_path, "shard-00003").unlink()
    shard_path(tmp_path, "shard-00003").write_bytes(b"half")
    assert run_job(job(ucf_tree, tmp_path)).content_hash == first.content_hash


def test_failing_clips_leave_their_neighbours_alone(
    ucf_tree: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    root = tmp_path / "UCF-101"
    shutil.copytree(ucf_tree, root)
    good = rows_of(tmp_path / "g", run_job(job(root, tmp_path / "g")))
    (root / "Archery" / "v_Archery_g02_c01.avi").write_bytes(b"no video")
    cut = write_clip(root / "Biking" / "v_Biking_g02_c01.avi", 60)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    manifest = run_job(job(root, tmp_path / "b"))
    bad = {clip.path: clip for clip in manifest.clips if clip.status != "ok"}
    assert {path: clip.status for path, clip in bad.items()} == {
        "Archery/v_Archery_g02_c01.avi": "failed",
        "Biking/v_Biking_g02_c01.avi": "partial",
    }
    assert "cannot be opened" in bad["Archery/v_Archery_g02_c01.avi"].error
    assert bad["Archery/v_Archery_g02_c01.avi"].length == 0
    rows = rows_of(tmp_path / "b", manifest)
    for path in good.keys() - bad.keys():
        np.testing.assert_allclose(rows[path], good[path], rtol=1e-4, atol=1e-5)
    check_failures(manifest.clips, "1")
    check_failures(manifest.clips, "13%")
    for allowed in ("0", "12%"):
        with pytest.raises(TooManyFailuresError, match="1 of 8 clips failed"):
            check_failures(manifest.clips, allowed)


@pytest.mark.usefixtures("one_clip_shards")
def test_interruption_keeps_finished_shards_and_a_true_manifest(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ta3n.common import store
    from ta3n.extract.worker import publishing

    written: list[object] = []

    def write_three(*args: object, **options: object) -> object:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(args)
        return store.write_shard(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "write_shard", write_three)
    with pytest.raises(KeyboardInterrupt):
        run_job(job(ucf_tree, tmp_path))
    from ta3n.common.records import read_record

    partial = read_record(Manifest, tmp_path / "manifest.json")
    assert (len(partial.clips), len(partial.pending)) == (3, 5)
    monkeypatch.undo()
    monkeypatch.setattr(plan_module, "_CLIPS_PER_SHARD", 1)
    assert run_job(job(ucf_tree, tmp_path)).complete
