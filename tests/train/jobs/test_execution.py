"""Rows and seeds give the same runs one by one, stacked, and in several processes."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ta3n.common import device
from ta3n.common.errors import DataConflictError, TrainingError, UsageError
from ta3n.common.shares import JobShare
from ta3n.common.store import ShardReader
from ta3n.datasets.reading.split_files import Role
from ta3n.train.jobs import execution, workers
from ta3n.train.jobs.execution import list_tasks, run_jobs
from ta3n.train.jobs.job import TrainingJob, prepare_jobs
from ta3n.train.runs import session
from ta3n.train.runs.folder import RunFolder

from ...support.feature_folders import CLASSES, MadeClip, make_features
from ...support.small_runs import small_settings, with_settings


def make_jobs(features: Path, out: Path, **changes: Any) -> list[TrainingJob]:
    changes = {"benchmark": "ucf-hmdb-small", **changes}
    jobs = prepare_jobs("ucf", "hmdb", small_settings(features, out, **changes))
    recipes = [replace(job.run.recipe, hidden_dim=16, relation_dim=8) for job in jobs]
    return [
        replace(job, run=replace(job.run, recipe=recipe))
        for job, recipe in zip(jobs, recipes, strict=True)
    ]


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    kept = torch.load(folder.weights, weights_only=True)
    model: dict[str, torch.Tensor] = kept["epochs"][kept["rules"]["last"]]
    return model


def files(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_rows_that_are_one_are_trained_once(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(features, tmp_path, rows="table3/revgrad/relation,table4/relation")
    assert len(jobs) == 4
    trained = []
    run_seed = session.run_seed

    def count(settings: Any, *rest: Any, **more: Any) -> Any:
        trained.append(settings.method.name)
        return run_seed(settings, *rest, **more)

    monkeypatch.setattr(session, "run_seed", count)
    results = run_jobs(jobs)
    assert trained == ["revgrad", "gtd", "ta2n"]
    assert results[0] == results[1]
    assert all(len(runs) == 1 for runs in results)


def test_batches_too_small_for_one_of_the_rows_are_told_before_any_is_trained(
    features: Path, tmp_path: Path
) -> None:
    jobs = [
        job
        for method in ("dan", "coral", "label-smoothing", "target-only")
        for job in make_jobs(features, tmp_path, method=method, batch_size=1, epochs=1)
    ]
    told = "coral: CORAL needs 2 source videos in a batch, and one of size 1 has 1; set --batch-"
    with pytest.raises(UsageError, match=told):
        run_jobs(jobs)
    assert not list(tmp_path.iterdir())
    others = [jobs[0], *jobs[2:]]
    assert all(run_jobs(others))


@pytest.mark.parametrize("method", ["ta3n", "adabn"])
def test_stacked_seeds_leave_the_folders_of_single_ones(
    features: Path, tmp_path: Path, method: str
) -> None:
    single, stacked = (
        make_jobs(features, tmp_path / policy, method=method, seeds="3", stack=policy)[0]
        for policy in ("off", "on")
    )
    apart, together = run_jobs([single])[0], run_jobs([stacked])[0]
    assert [result.seed for result in together] == [0, 1, 2]
    for seed, (one, other) in enumerate(zip(apart, together, strict=True)):
        assert one.rules.keys() == other.rules.keys()
        assert one.coverage == other.coverage
        assert one.target_label_reads == other.target_label_reads
        ours, theirs = single.folder(seed), stacked.folder(seed)
        assert files(ours) == files(theirs)
        assert ours.path.relative_to(single.settings.out) == theirs.path.relative_to(
            stacked.settings.out
        )
        for name, value in weights(ours).items():
            torch.testing.assert_close(weights(theirs)[name], value, rtol=1e-4, atol=1e-5)


def test_a_stack_that_was_interrupted_goes_on_in_groups_of_one_epoch(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal came while the second of three members was being saved, and seed 2 is new."""
    whole, broken = (
        make_jobs(features, tmp_path / name, seeds="3", stack="on")[0] for name in "ab"
    )
    run_jobs([whole])
    monkeypatch.setattr(session, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    save, saved = session.SeedRun.save, []

    def save_then_die(run: session.SeedRun) -> None:
        save(run)
        saved.append(1)
        if len(saved) == 4:  # all three after epoch 1, one after epoch 2
            raise KeyboardInterrupt

    monkeypatch.setattr(session.SeedRun, "save", save_then_die)
    monkeypatch.setattr(session.SeedRun, "save_after_failure", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        run_jobs([broken])
    monkeypatch.undo()
    run_jobs([broken])
    for seed in range(3):
        for name, value in weights(whole.folder(seed)).items():
            other = weights(broken.folder(seed))[name]
            torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-5)


def test_auto_stacks_on_a_gpu_alone(features: Path, tmp_path: Path) -> None:
    (job,) = make_jobs(features, tmp_path)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert not execution.stacks(job, cpu)
    assert execution.stacks(job, gpu)
    assert execution.stacks(with_settings(job, stack="on"), cpu)
    assert not execution.stacks(with_settings(job, stack="off"), gpu)


def test_processes_give_the_bits_of_the_sequential_runs(features: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = "table3/mcd/relation,table4/relation/gsd"
        apart, together = (
            make_jobs(features, tmp_path / name, rows=rows, seeds="2", recipe="paper")
            for name in "ab"
        )
        assert run_jobs(apart) == run_jobs(together, processes=2)
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(apart, together, strict=True):
        for seed in (0, 1):
            ours, theirs = weights(one.folder(seed)), weights(other.folder(seed))
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
            metrics = [job.folder(seed).path / "metrics.jsonl" for job in (one, other)]
            assert metrics[0].read_bytes() == metrics[1].read_bytes()
            environment = (other.folder(seed).path / "environment.json").read_text()
            assert json.loads(environment)["threads"] == 1
    # A second call finds everything done, and starts no process.
    assert run_jobs(together, processes=2) == run_jobs(apart)


@pytest.mark.parametrize("load", ["auto", "mapped"])
def test_processes_share_what_is_read_once(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: str
) -> None:
    """If it breaks, each of many runs side by side reads the features again, and holds them."""
    shutil.copytree(features, tmp_path / "features")
    rows = "table3/revgrad/relation,table4/relation/gsd"
    jobs = make_jobs(tmp_path / "features", tmp_path, rows=rows, seeds="2", load=load, epochs=1)
    opened: list[Path] = []
    open_shard, run = ShardReader.__init__, workers.run_in_processes

    def note(reader: ShardReader, path: Path) -> None:
        opened.append(path)
        open_shard(reader, path)

    def without_shards(*args: Any) -> None:
        for path in set(opened):
            path.unlink()
        run(*args)

    monkeypatch.setattr(ShardReader, "__init__", note)
    monkeypatch.setattr(workers, "run_in_processes", without_shards)
    results = run_jobs(jobs, processes=2)
    assert [len(each) for each in results] == [2, 2]
    # Training and validation of each domain; what is mapped, the processes open.
    assert len(opened) == (4 if load == "auto" else 0)


def test_what_one_job_has_read_counts_for_no_other(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it breaks, the second row finds too little memory for what the first one holds."""
    one, other = make_jobs(features, tmp_path, rows="table3/revgrad/relation,table4/relation/gsd")
    cpu, cache = torch.device("cpu"), execution.FeatureCache()
    execution.load_data(one, cache, mapped=False)
    monkeypatch.setattr(device, "available_memory", lambda _: 0)
    assert not execution.is_mapped(other, cache, cpu)
    assert execution.is_mapped(other, execution.FeatureCache(), cpu)


def test_work_is_cut_into_seeds_or_stacks_and_no_run_comes_twice(
    features: Path, tmp_path: Path
) -> None:
    jobs = make_jobs(features, tmp_path, rows="table3/revgrad/relation,table4/relation", seeds="2")
    tasks = list_tasks(jobs)
    assert [(job.method.name, tuple(seeds)) for job, seeds in tasks] == [
        (name, (seed,)) for name in ("revgrad", "gtd", "ta2n") for seed in (0, 1)
    ]
    stacked = [with_settings(job, stack="on") for job in jobs]
    tasks = list_tasks(stacked)
    assert [tuple(seeds) for _, seeds in tasks] == [(0, 1)] * 3


def test_parts_give_the_bits_of_the_whole_and_nothing_twice(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first and the last row are one and the same.
    rows = "table3/revgrad/relation,table4/relation/gtd,table4/relation/gsd"
    whole, parts = (
        make_jobs(features, tmp_path / name, rows=rows, seeds="2", epochs=1) for name in "ab"
    )
    trained = []
    run_seed = session.run_seed

    def note(settings: Any, *rest: Any, **more: Any) -> Any:
        trained.append((settings.method.name, settings.seed))
        return run_seed(settings, *rest, **more)

    monkeypatch.setattr(session, "run_seed", note)
    expected = run_jobs(whole)
    order = [(name, seed) for name in ("revgrad", "gtd") for seed in (0, 1)]
    assert trained == order
    # In any order; the last one sees that all is there.
    for index in (2, 0, 1):
        trained.clear()
        results = run_jobs(parts, share=JobShare(index, 3))
        assert trained == order[index::3]
        assert (results == expected) == (index == 1)
    for one, other in zip(whole, parts, strict=True):
        for seed in (0, 1):
            ours, theirs = (job.folder(seed).path / "metrics.jsonl" for job in (one, other))
            assert ours.read_bytes() == theirs.read_bytes()


def test_another_number_of_parts_is_refused_for_the_same_runs_alone(
    features: Path, tmp_path: Path
) -> None:
    jobs = make_jobs(features, tmp_path, method="source-only", seeds="3", epochs=1)
    # More parts than runs: the last ones have nothing to do.
    assert run_jobs(jobs, share=JobShare(3, 4)) == [[]]
    with pytest.raises(DataConflictError, match=r"--shard 0/2 .*cut into 4 parts, so give i/4"):
        run_jobs(jobs, share=JobShare(0, 2))
    others = make_jobs(features, tmp_path, method="source-only", seeds="2", epochs=1)
    run_jobs(others, share=JobShare(1, 2))
    # A call that is no part of an array may always do the rest.
    assert len(run_jobs(others)[0]) == 2


def test_a_part_stacks_no_seeds_of_its_own_accord(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `auto` on a GPU the figures would otherwise depend on who does which seeds."""
    monkeypatch.setattr(execution, "stacks", lambda *_: True)
    monkeypatch.setattr(session, "run_stacked", lambda *_, **__: pytest.fail("stacked"))
    jobs = make_jobs(features, tmp_path, method="source-only", seeds="2", epochs=1)
    assert len(run_jobs(jobs, share=JobShare(0, 1))[0]) == 2


def test_a_worker_that_is_killed_is_told_and_the_rest_goes_on_later(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = make_jobs(features, tmp_path, seeds="2", method="source-only")
    # Sent to the worker by value: workers cannot import tests.
    die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    monkeypatch.setattr(execution, "_train_alone", die)
    with pytest.raises(TrainingError, match=r"a worker process died.*fewer --jobs"):
        run_jobs(jobs, processes=2)
    monkeypatch.undo()
    assert len(run_jobs(jobs)[0]) == 2


def test_processes_are_refused_for_a_gpu(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    jobs = make_jobs(features, tmp_path, device="cuda:0")
    with pytest.raises(UsageError, match="--device cpu, or leave out --jobs"):
        run_jobs(jobs, processes=2)
    assert not list(tmp_path.iterdir())


def test_target_training_labels_never_reach_the_weights_of_any_method(
    features: Path, tmp_path: Path
) -> None:
    rows = "table3/jan/pooling,table3/mcd/pooling,table3/adabn/relation,table3/ta3n"
    jobs = make_jobs(features, tmp_path / "a", rows=rows, recipe="paper")
    scrambled = [
        replace(
            with_settings(job, out=tmp_path / "b"),
            target=replace(
                job.target,
                train=tuple(replace(v, label=(v.labels[0] + 2) % 5) for v in job.target.train),
            ),
        )
        for job in jobs
    ]
    assert run_jobs(jobs) == run_jobs(scrambled)
    for one, other in zip(jobs, scrambled, strict=True):
        ours, theirs = weights(one.folder(0)), weights(other.folder(0))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_record_says_every_switch(features: Path, tmp_path: Path) -> None:
    (job,) = make_jobs(features, tmp_path, attention="conventional", recipe="paper", epochs=1)
    run_jobs([job])
    record = json.loads((job.folder(0).path / "config.json").read_text())
    assert record["method"] == "ta3n-attention-conventional"
    assert "conventional_attention" in record["settings"]["method"]["terms"]
    assert record["settings"]["recipe"]["batches"] == "cycle"
    assert record["settings"]["weights"]["beta_frame"] == 0.5


class _Grouped(MadeClip):
    """A clip of UCF101 by its name, which tells from which recording it was cut."""

    @property
    def path(self) -> str:
        part = 1 if self.role == "train" else 2
        return f"{self.class_name}/v_{self.class_name}_g{self.number:02d}_c{part:02d}.avi"


def test_held_out_videos_that_share_a_recording_with_training_are_left_out(
    features: Path, tmp_path: Path
) -> None:
    parts: dict[Role, range] = {"train": range(6), "test": range(4, 8)}
    clips = [
        _Grouped(class_name=name, number=number, role=role)
        for name in CLASSES["ucf101"]
        for role, numbers in parts.items()
        for number in numbers
    ]
    make_features(tmp_path, "ucf101", clips)
    (tmp_path / "hmdb51").symlink_to(features / "hmdb51")
    (job,) = make_jobs(tmp_path, tmp_path / "runs", method="source-only")
    data = execution.load_data(job, execution.FeatureCache(), mapped=False)
    assert data.held_out is not None
    assert len(data.held_out.features) == 10
    assert data.held_out.labels.tolist() == sorted([*range(5)] * 2, key=_place)
    run_jobs([job])
    assert job.folder(0).is_finished()


def _place(label: int) -> str:
    return CLASSES["ucf101"][label]
