"""If this breaks, several devices lose or double each other's shards, or one hangs the rest."""

from pathlib import Path

import pytest
import torch

from ta3n.common.errors import DeviceError
from ta3n.extract.inference import engine
from ta3n.extract.job.dry_run import look_ahead
from ta3n.extract.job.run import run_job
from ta3n.extract.worker.shards import deal
from ta3n.extract.worker.work import DECODER_COMMAND, ShardTask

from ...support.extraction import job
from ...support.tiny import work_on


@pytest.mark.parametrize(
    ("device", "num_shards", "dealt"),
    [
        ("cpu", 3, {"cpu": [0, 1, 2]}),
        ("cuda:0,cuda:1", 5, {"cuda:0": [0, 2, 4], "cuda:1": [1, 3]}),
        ("cuda:0, cuda:1,cuda:2", 2, {"cuda:0": [0], "cuda:1": [1]}),
    ],
)
def test_every_shard_goes_to_one_device(
    tmp_path: Path, device: str, num_shards: int, dealt: dict[str, list[int]]
) -> None:
    work = work_on(tmp_path, tmp_path, [str(n) for n in range(64 * num_shards)], device=device)
    parts = deal(work)
    assert {part.device: _numbers(part.tasks) for part in parts} == dealt
    assert all(part.num_sharing == len(dealt) for part in parts)


def _numbers(tasks: tuple[ShardTask, ...]) -> list[int]:
    return [int(task.shard[-5:]) for task in tasks]


@pytest.mark.parametrize("command", [DECODER_COMMAND, ()], ids=["processes", "threads"])
@pytest.mark.usefixtures("one_clip_shards")
def test_two_devices_give_what_one_gives(
    ucf_tree: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    alone = run_job(job(ucf_tree, tmp_path / "alone"))
    both = run_job(job(ucf_tree, tmp_path / "both", device="cpu,cpu", decoder_command=command))
    assert both.complete
    assert both.content_hash == alone.content_hash


@pytest.mark.usefixtures("one_clip_shards")
def test_what_one_device_cannot_go_on_for_ends_the_other(ucf_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:99 is not here"):
        run_job(job(ucf_tree, tmp_path, device="cpu,cuda:99", decoder_command=DECODER_COMMAND))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has ..."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later."),
    ],
)
@pytest.mark.parametrize("where", ["load_network", "BatchRunner"])
def test_a_gpu_that_others_use_is_told_in_a_line(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    """Not with a traceback, as a fault of this software would be."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(engine, where, fail)
    told = r"cpu cannot be used: CUDA .*out of memory.* is it used by others\?"
    with pytest.raises(DeviceError, match=told):
        run_job(job(ucf_tree, tmp_path))
    with pytest.raises(DeviceError, match=told):
        list(look_ahead(job(ucf_tree, tmp_path)))
