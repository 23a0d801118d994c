"""If this breaks, a chain of batch jobs stalls, or gives other figures once a job is preempted."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.datasets.synthetic.generate import generate

from ..support.feature_folders import made_clips, make_features
from ..support.slurm import Slurm, wait_until

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "docs" / "slurm"
COMMANDS = Path(__file__).parents[1] / "support" / "commands.py"
DATASETS = ("synthetic-a", "synthetic-b")
ROWS = "table3/source-only/pooling,table3/ta3n"
EXTRACT = (
    *("--frames", "segments:3", "--backbone", "resnet18", "--weights", "random:0"),
    *("--device", "cpu", "--batch-size", "8"),
)
# Long enough to be stopped within.
TRAIN = ("--segments", "3", "--epochs", "100", "--batch-size", "8", "--device", "cpu")

# What a user edits in settings.sh.
SETTINGS = f"""
BENCHMARK=synthetic
DATASETS=({" ".join(DATASETS)})
DIRECTIONS=a-b
ROWS={ROWS}
SEEDS=1
EXTRACT_JOBS=2
TRAIN_JOBS=2
SBATCH_OPTIONS=(--mem=0 --time=5 --cpus-per-task=1)
EXTRACT_OPTIONS=({" ".join(EXTRACT)})
TRAIN_OPTIONS=({" ".join(TRAIN)})
REPORT_OPTIONS=(--no-pictures)
"""


@pytest.fixture(scope="module")
def slurm(shared: Path) -> Iterator[Slurm]:
    """Start Slurm in a folder of its own; its sockets need a short path."""
    up, down = (shared / "slurm" / name for name in ("slurm-up.sh", "slurm-down.sh"))
    if not up.is_file():
        pytest.skip(f"no {up} to start Slurm with")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started as root")
    for port in (16817, 16818):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is taken: another Slurm runs here")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    started = subprocess.run(
        ["bash", up, folder], check=False, capture_output=True, text=True, timeout=120
    )
    try:
        if started.returncode != 0:
            pytest.skip(f"Slurm does not start here: {started.stderr.strip()[-300:]}")
        yield Slurm({**os.environ, "SLURM_CONF": str(folder / "slurm.conf")})
    finally:
        subprocess.run(["bash", down, folder], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with clips, `pipeline.toml`, and our scripts as a user has edited them."""
    folder = tmp_path_factory.mktemp("project")
    tables = []
    for dataset in DATASETS:
        generate(
            folder / dataset,
            domain="a" if dataset.endswith("a") else "b",
            seed=0,
            clips_per_class_train=1,
            clips_per_class_test=1,
            jobs=1,
        )
        tables.append(f'[data.{dataset}]\nroot = "{dataset}"\n')
    (folder / "pipeline.toml").write_text("\n".join(tables))
    write_scripts(folder, SETTINGS)
    return folder


def write_scripts(folder: Path, edited: str) -> None:
    """Write our scripts with settings as a user has edited them, and the commands."""
    scripts = folder / "slurm"
    scripts.mkdir()
    for script in SCRIPTS.iterdir():
        shutil.copyfile(script, scripts / script.name)
    settings = (scripts / "settings.sh").read_text()
    (scripts / "settings.sh").write_text(settings + edited)
    for name in ("ta3n-extract", "ta3n-features", "ta3n-train", "ta3n-report"):
        command = folder / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -P {COMMANDS} {name} "$@"\n')
        command.chmod(0o755)


def start_undisturbed(project: Path) -> subprocess.Popen[str]:
    """Start the same work in one go, without Slurm; features and runs go to `alone`."""
    lines = [
        ["ta3n-extract", "--dataset", dataset, "--benchmark", "synthetic",
         "--out", "alone/features", *EXTRACT]
        for dataset in DATASETS
    ]  # fmt: skip
    lines.append(
        ["ta3n-train", "--source", DATASETS[0], "--target", DATASETS[1], "--rows", ROWS,
         "--features", "alone/features", "--out", "alone/runs", *TRAIN]
    )  # fmt: skip
    return subprocess.Popen(
        ["sh", "-ec", "\n".join(f"bin/{shlex.join(line)}" for line in lines)],
        cwd=project,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def submit(slurm: Slurm, project: Path) -> dict[str, str]:
    """Submit the chain; return the numbers of the jobs by stage."""
    slurm.environment["PATH"] = f"{project / 'bin'}:{os.environ['PATH']}"
    told = slurm.call("bash", project / "slurm" / "submit.sh", cwd=project)
    found = re.fullmatch(r"extract (\d+) (\d+), merge (\d+), train (\d+), report (\d+)\n", told)
    assert found, told
    names = ("extract-a", "extract-b", "merge", "train", "report")
    return dict(zip(names, found.groups(), strict=True))


def logs(project: Path) -> str:
    """Return all logs, for the message of a failed test."""
    files = sorted((project / "logs").iterdir())
    return "\n".join(f"{file.name}:\n{file.read_text()}" for file in files)


@pytest.mark.shared
def test_a_preempted_chain_gives_what_an_undisturbed_run_gives(slurm: Slurm, project: Path) -> None:
    jobs = submit(slurm, project)
    undisturbed = start_undisturbed(project)
    features, runs = project / "features", project / "runs"
    # Task 1 of the second dataset has every other shard; it is stopped once it has made one.
    extraction = f"{jobs['extract-b']}_1"
    wait_until((features / DATASETS[1] / "shard-00001.json").exists, "a shard")
    slurm.preempt(extraction)
    # Task 1 of the training array has TA3N; it is stopped within its epochs.
    training = f"{jobs['train']}_1"
    wait_until(lambda: any(runs.rglob("ta3n-*/seed-0/checkpoint.pt")), "a checkpoint")
    slurm.preempt(training)
    states = slurm.wait_for_all()
    assert set(states.values()) == {"COMPLETED"}, f"{states}\n{logs(project)}"
    assert [slurm.restarts(job) for job in (extraction, training)] == [1, 1]

    log = (project / "logs" / f"ta3n-extract-{extraction.replace('_', '-')}.log").read_text()
    assert "interrupted by SIGTERM" in log
    log = (project / "logs" / f"ta3n-train-{training.replace('_', '-')}.log").read_text()
    assert "interrupted by SIGTERM" in log
    assert "seed 0 goes on after epoch" in log
    assert (project / "report" / "report.html").is_file(), logs(project)

    _, errors = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, errors
    alone = project / "alone"
    for dataset in DATASETS:
        ours, theirs = (
            read_record(Manifest, folder / dataset / MANIFEST_NAME)
            for folder in (features, alone / "features")
        )
        assert ours.complete
        assert ours.content_hash == theirs.content_hash
    results = sorted(path.relative_to(runs) for path in runs.rglob("result.json"))
    assert len(results) == 2
    for result in results:
        for name in ("result.json", "metrics.jsonl", "predictions.csv"):
            path = result.with_name(name)
            assert (runs / path).read_bytes() == (alone / "runs" / path).read_bytes(), path
    assert json.loads((features / DATASETS[0] / "shares.json").read_text()) == {"num_jobs": 2}


@pytest.mark.shared
def test_a_second_chain_finds_all_done(slurm: Slurm, project: Path) -> None:
    if not (project / "report").exists():
        pytest.skip("the first chain did not end")
    manifests = {path: path.stat().st_mtime_ns for path in project.rglob("features/*/*.json")}
    submit(slurm, project)
    states = slurm.wait_for_all()
    assert set(states.values()) == {"COMPLETED"}, f"{states}\n{logs(project)}"
    assert manifests == {path: path.stat().st_mtime_ns for path in manifests}


MATRIX = ("--methods", "source-only,ta3n", "--epochs", "2", "--batch-size", "4", "--device", "cpu")
MATRIX_SETTINGS = f"""
BENCHMARK=synthetic
DATASETS=()
DIRECTIONS=all
ROWS=
SEEDS=2
TRAIN_JOBS=4
SBATCH_OPTIONS=(--mem=0 --time=5 --cpus-per-task=1)
TRAIN_OPTIONS=({" ".join(MATRIX)})
REPORT_OPTIONS=(--no-pictures)
"""


@pytest.mark.shared
def test_a_chain_trains_all_directions_as_one_line_does(slurm: Slurm, tmp_path: Path) -> None:
    """Features are there, so that the chain begins with their merge."""
    for seed, domain in enumerate("abc"):
        dataset = f"synthetic-{domain}"
        make_features(tmp_path / "features", dataset, made_clips(dataset, 1, 1), seed=seed)
    write_scripts(tmp_path, MATRIX_SETTINGS)
    slurm.environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    told = slurm.call("bash", tmp_path / "slurm" / "submit.sh", cwd=tmp_path)
    assert re.fullmatch(r"extract nothing, merge \d+, train \d+, report \d+\n", told)
    line = ["bin/ta3n-train", "--benchmark", "synthetic", "--directions", "all", "--seeds", "2"]
    alone = subprocess.run(
        [*line, "--features", "features", "--out", "alone", *MATRIX],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert alone.returncode == 0, alone.stderr
    states = slurm.wait_for_all()
    assert set(states.values()) == {"COMPLETED"}, f"{states}\n{logs(tmp_path)}"
    found = sorted(
        path.relative_to(tmp_path / "alone") for path in tmp_path.rglob("alone/**/*.csv")
    )
    assert len(found) == 6 * 2 * 2
    for path in found:
        for name in ("result.json", "metrics.jsonl", "predictions.csv"):
            ours, theirs = (tmp_path / out / path.with_name(name) for out in ("runs", "alone"))
            assert ours.read_bytes() == theirs.read_bytes(), path
    tables = "".join(file.read_text() for file in (tmp_path / "logs").glob("ta3n-train-*"))
    for heading in ("a → b", "c → b", "mean"):
        assert heading in tables
    directions = (tmp_path / "report" / "tables" / "directions.csv").read_text()
    assert directions.splitlines()[0].count("_percent") >= 7
