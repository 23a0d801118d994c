"""If this breaks, a job of hours dies of what could have been known before it began."""

import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from click.testing import Result

from ta3n.common import device
from ta3n.train.jobs import dry_run
from ta3n.train.jobs.execution import FeatureCache, list_tasks, load_data, train
from ta3n.train.jobs.job import prepare_jobs

from ...support.directions import ROWS, call, make_domains
from ...support.small_runs import small_settings


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return made-up features of two domains."""
    return make_domains(tmp_path_factory.mktemp("domains"))


def lines_of(result: Result) -> dict[str, str]:
    pairs = (line.partition(": ") for line in result.stdout.splitlines())
    return {name: told for name, _, told in pairs}


def test_it_tells_the_runs_and_what_they_cost_and_keeps_nothing(
    domains: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    result = call(domains, out, *ROWS, "--seeds", 3, "--dry-run")
    assert result.exit_code == 0, result.stderr
    told = lines_of(result)
    assert told["runs"] == f"12 in {out}"
    assert told["finished"] == "0; to be trained: 12"
    assert re.fullmatch(r"about \d+ s on cpu \w+", told["time"])
    assert re.fullmatch(r"about [\d.]+ [MG]B, of [\d.]+ GB that are free", told["memory"])
    assert re.fullmatch(
        rf"at most [\d.]+ MB, of [\d.]+ GB that are free in {tmp_path}", told["disk"]
    )
    assert re.search(
        r"^  ta3n with relation: [\d.]+ s an epoch, 6 runs: \d+ s$", result.stdout, re.M
    )
    assert list(tmp_path.iterdir()) == []


def test_the_disk_suffices_that_it_tells(domains: Path, tmp_path: Path) -> None:
    line = ("--source", "synthetic-a", "--target", "synthetic-b", "--method", "ta3n")
    told = lines_of(call(domains, tmp_path, *line, "--dry-run"))["disk"]
    at_most = float(told.split()[2]) * 1e6
    assert call(domains, tmp_path, *line).exit_code == 0
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert taken < at_most < 10 * taken


def test_what_is_finished_is_not_counted_again(domains: Path, tmp_path: Path) -> None:
    first = call(domains, tmp_path, *ROWS, "--shard", "0/2")
    assert first.exit_code == 0, first.stderr
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    part = lines_of(call(domains, tmp_path, *ROWS, "--shard", "1/2", "--dry-run"))
    assert part["runs"] == f"4 in {tmp_path}, of which part 1/2 has 2"
    assert part["finished"] == "0; to be trained: 2"
    whole = lines_of(call(domains, tmp_path, *ROWS, "--dry-run"))
    assert whole["finished"] == "2; to be trained: 2"
    done = call(domains, tmp_path, *ROWS, "--shard", "0/2", "--dry-run")
    assert (done.exit_code, "time" in lines_of(done)) == (0, False)
    other = call(domains, tmp_path, *ROWS, "--shard", "0/3", "--dry-run")
    assert (other.exit_code, other.stdout) == (1, "")
    assert "this work is cut into 2 parts" in other.stderr
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_run_that_was_begun_costs_what_is_left(domains: Path, tmp_path: Path) -> None:
    settings = small_settings(domains, tmp_path, epochs=100, seeds="2", method="source-only")
    (job,) = prepare_jobs("synthetic-a", "synthetic-b", settings)
    tasks = list_tasks([job])
    whole = dry_run.state_of(tasks)
    folder = job.folder(1)
    folder.path.mkdir(parents=True)
    folder.checkpoint.touch()
    (folder.path / "metrics.jsonl").write_text("{}\n" * 80)
    begun = dry_run.state_of(tasks)
    assert (whole.num_left, begun.num_left) == (2, 2)
    assert begun.begun == {folder.path: 80}
    costs = [dry_run._cost(state.left, 0.01, state) for state in (whole, begun)]
    assert costs[1] == pytest.approx(costs[0] * 120 / 200)


def test_the_trial_is_the_first_epoch_of_the_run(domains: Path, tmp_path: Path) -> None:
    """An epoch of a run that lasts longer, not a run of one: rates and ramps are those."""
    settings = small_settings(domains, tmp_path / "runs", epochs=2, method="ta3n")
    (job,) = prepare_jobs("synthetic-a", "synthetic-b", settings)
    cpu = torch.device("cpu")
    data = load_data(job, FeatureCache(), mapped=False)
    trial = dry_run._try(job, [0], data, cpu, tmp_path / "trial")
    assert trial.seconds > 0
    assert not trial.diverged
    train(job, [0], FeatureCache())
    ours, theirs = (
        path.joinpath("metrics.jsonl").read_text().splitlines()
        for path in (tmp_path / "trial" / "0" / "0", job.folder(0).path)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--device", "cuda:7"), 1, "device cuda:7 is not here"),
        (("--learning-rate", 1e12, "--segments", 5), 3, "diverged or would"),
        (("--segments", 9), 1, "holds only frames segments:5"),
        (("--directions", "a-b,a-c"), 1, "no features of synthetic-c"),
        (("--seeds", "x"), 2, "train.seeds = 'x'"),
        (("--evaluate", "run"), 2, "--dry-run"),
    ],
)
def test_what_stops_a_run_ends_it_with_the_same_code(
    domains: Path, tmp_path: Path, more: tuple[object, ...], code: int, message: str
) -> None:
    result = call(domains, tmp_path / "runs", *ROWS, *more, "--dry-run")
    assert result.exit_code == code, result.stderr
    assert message in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "runs").exists()
    if "--evaluate" not in more:
        assert call(domains, tmp_path / "runs", *ROWS, *more).exit_code == code


def test_runs_that_diverged_are_told(domains: Path, tmp_path: Path) -> None:
    line = (*ROWS, "--learning-rate", 1e12)
    assert call(domains, tmp_path, *line).exit_code == 3
    result = call(domains, tmp_path, *line, "--dry-run")
    assert result.exit_code == 3
    assert "finished: 0, 4 diverged; to be trained: 0" in result.stdout
    assert "seed 0 diverged in epoch" in result.stderr


def test_too_little_space_or_memory_is_told(
    domains: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    result = call(domains, tmp_path / "runs", *ROWS, "--dry-run")
    assert result.exit_code == 1
    assert "no space: 4 runs take up to" in result.stderr
    monkeypatch.undo()
    monkeypatch.setattr(device, "available_memory", lambda _: 10**6)
    # One process, as on a machine of one CPU, needs no more than this one has held before.
    monkeypatch.setattr(device, "allowed_cpus", lambda: 2)
    result = call(domains, tmp_path / "runs", *ROWS, "--jobs", 2, "--dry-run")
    assert result.exit_code == 1
    assert re.search(r"no memory: \d processes take about .* give fewer --jobs", result.stderr)
