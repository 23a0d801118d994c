"""If this breaks, nobody can tell whether a folder of features is complete and sound."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ta3n.common.records import Manifest, Plan, ShardRecord, dump_record, read_record
from ta3n.common.store import restore_sidecar, shard_path, sidecar_path
from ta3n.extract.features_cli import main
from ta3n.extract.job.plan import agree_on_plan
from ta3n.extract.job.run import run_job

from ...support.extraction import job
from ...support.videos import WriteClip


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> Path:
    """Return features of two good clips and a bad one."""
    base = tmp_path_factory.mktemp("made")
    root = base / "UCF-101"
    for group in (1, 2):
        write_clip(root / "Archery" / f"v_Archery_g{group:02d}_c01.avi", 6)
    (root / "Archery" / "v_Archery_g03_c01.avi").write_bytes(b"no video")
    run_job(job(root, base / "features" / "ucf101"))
    return base / "features"


@pytest.fixture
def features(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "features") / "ucf101"


def test_help_needs_no_heavy_import() -> None:
    code = "import sys, ta3n.extract.features_cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    assert not {"torch", "h5py", "av", "numpy", "pydantic"} & set(modules)
    assert "verify" in run("--help").output


def test_info_tells_counts_and_reasons(features: Path) -> None:
    result = run("info", features.parent)
    assert result.exit_code == 0
    assert "1 of 1 shards, 4 rows" in result.stdout
    assert "      2 ok" in result.stdout
    assert "failed Archery/v_Archery_g03_c01.avi: cannot be opened" in result.stdout


def test_missing_lists_clips_without_features(features: Path) -> None:
    (line,) = run("missing", features).stdout.splitlines()
    assert line.split("\t")[:2] == ["failed", "Archery/v_Archery_g03_c01.avi"]
    for path in features.glob("shard-*"):
        path.unlink()
    assert len(run("missing", features).stdout.splitlines()) == 3


def test_scripts_read_the_same_as_json(features: Path) -> None:
    (whole,) = json.loads(run("info", features, "--json").stdout)
    assert whole["folder"] == str(features)
    assert whole["num_clips"] == {"ok": 2, "failed": 1}
    (lacking,) = json.loads(run("missing", features, "--json").stdout)
    assert lacking["path"] == "Archery/v_Archery_g03_c01.avi"
    assert lacking["reason"] == whole["not_ok"][0]["reason"]
    assert json.loads(run("merge", features, "--json").stdout) == {str(features): []}
    sidecar_path(features, "shard-00000").unlink()
    result = run("verify", features, "--json")
    assert result.exit_code == 1
    (line,) = json.loads(result.stdout)[str(features)]
    assert line.endswith("shard-00000.h5: its sidecar is missing")


def test_merge_mends_what_a_kill_left_and_changes_nothing_else(features: Path) -> None:
    manifest = (features / "manifest.json").read_bytes()
    sidecar_path(features, "shard-00000").unlink()
    (features / "manifest.json").unlink()
    for _ in range(2):
        result = run("merge", features.parent)
        assert (result.exit_code, result.stdout) == (0, f"{features}: complete\n")
        assert (features / "manifest.json").read_bytes() == manifest


@pytest.mark.usefixtures("one_clip_shards")
def test_merge_says_which_jobs_of_the_array_are_missing(ucf_tree: Path, tmp_path: Path) -> None:
    for share in ("0/5", "3/5", "4/5"):
        run_job(job(ucf_tree, tmp_path, share=share))
    result = run("merge", tmp_path)
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.endswith(
        "4 of 8 shards are missing: shard-00001, shard-00002, shard-00006, shard-00007"
    )
    assert second.endswith("jobs 1,2 of 5 make them (in Slurm --array=1,2)")
    assert "shards are missing; give the jobs" in result.stderr
    for share in ("1/5", "2/5"):
        run_job(job(ucf_tree, tmp_path, share=share))
    assert run("merge", tmp_path).exit_code == 0


def test_sound_folder_passes_and_none_is_told(features: Path, tmp_path: Path) -> None:
    result = run("verify", features)
    assert (result.exit_code, result.stdout) == (0, f"{features}: sound\n")
    result = run("verify", tmp_path / "none")
    assert result.exit_code == 1
    assert "no features in" in result.stderr


def rewrite(features: Path, **changes: object) -> None:
    """Change the sidecar alone."""
    record = read_record(ShardRecord, sidecar_path(features, "shard-00000"))
    changed = record.model_copy(update=changes)
    sidecar_path(features, "shard-00000").write_bytes(dump_record(changed))


def test_every_kind_of_damage_is_named(features: Path) -> None:
    shard, sidecar = shard_path(features, "shard-00000"), sidecar_path(features, "shard-00000")
    whole, record = shard.read_bytes(), sidecar.read_bytes()

    def found() -> str:
        result = run("verify", features)
        assert result.exit_code == 1
        assert result.stderr.startswith("ta3n-features: error: 1 damaged; ta3n-extract --repair")
        shard.write_bytes(whole)
        sidecar.write_bytes(record)
        return result.stdout

    shard.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in found() or "is damaged" in found()
    sidecar.unlink()
    assert "its sidecar is missing" in found()
    sidecar.write_bytes(record[:100])
    assert "shard-00000.json is damaged" in found()
    rewrite(features, provenance={"weights_sha256": "0"})
    assert "its sidecar says otherwise" in found()
    shard.unlink()
    assert "it is missing, only its sidecar is there" in found()
    (features / "manifest.json").write_bytes(b"{}")
    assert "manifest.json is damaged" in found()


def test_shard_of_other_clips_or_settings_is_named(features: Path, tmp_path: Path) -> None:
    plan = read_record(Plan, features / "plan.json")
    (features / "plan.json").unlink()
    other = plan.model_copy(update={"config": plan.config.model_copy(update={"frames": "all"})})
    agree_on_plan(features, other)
    assert "made with other settings" in run("verify", features).stdout
    (features / "plan.json").unlink()
    agree_on_plan(features, plan.model_copy(update={"clips": plan.clips[:2]}))
    assert "its clips are not those of the plan" in run("verify", features).stdout


def test_manifest_that_is_behind_is_named(features: Path) -> None:
    path = features / "manifest.json"
    manifest = read_record(Manifest, path)
    path.write_bytes(dump_record(manifest.model_copy(update={"clips": manifest.clips[:1]})))
    assert "it is not what the sidecars say" in run("verify", features).stdout
    restore_sidecar(features, "shard-00000")
