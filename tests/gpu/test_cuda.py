"""If this breaks, stage one on a GPU is wrong, dies of little memory, or does not go on.

Where a variable names a device that stands in (see `check`), it runs there.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common import store
from ta3n.common.log import LOGGER
from ta3n.common.store import Features
from ta3n.extract.backbones import BACKBONES, load_backbone
from ta3n.extract.inference.batches import BatchRunner
from ta3n.extract.inference.choices import Choice, in_form, seconds_of
from ta3n.extract.inference.engine import Engine, start_engine
from ta3n.extract.inference.network import FeatureNetwork, load_network
from ta3n.extract.job.run import run_job
from ta3n.extract.worker import publishing
from ta3n.extract.worker.work import DECODER_COMMAND

from ..support.computed import computed
from ..support.extraction import job, rows_of
from ..support.gpu_check import STAND_IN

pytestmark = pytest.mark.cuda

RESNET18, RESNET101 = BACKBONES["resnet18"], BACKBONES["resnet101"]
CROPS = torch.randint(
    0, 256, (8, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
Note = Callable[[str, object], None]


@pytest.fixture
def gpu() -> torch.device:
    if STAND_IN in os.environ:
        return torch.device(os.environ[STAND_IN])
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device("cuda", 0)


@pytest.fixture
def real_gpu(gpu: torch.device) -> torch.device:
    if gpu.type != "cuda":
        pytest.skip("needs a CUDA device")
    return gpu


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def cosine(found: Features, expected: Features) -> float:
    pair = torch.from_numpy(found).double(), torch.from_numpy(expected).double()
    return float(torch.cosine_similarity(*pair).min())


def test_extraction_end_to_end(gpu: torch.device, ucf_tree: Path, tmp_path: Path) -> None:
    """Decoder processes, crops on the device, batches, shards: the rows of a CPU."""
    rows = {}
    for device in ("cpu", str(gpu)):
        folder = tmp_path / device.replace(":", "-")
        task = job(ucf_tree, folder, frames="all", device=device, decoder_command=DECODER_COMMAND)
        manifest = run_job(task)
        assert manifest.status_counts() == {"ok": 8}
        rows[device] = rows_of(folder, manifest)
    for path, expected in rows["cpu"].items():
        assert cosine(rows[str(gpu)][path], expected) > 1 - 1e-8


@pytest.mark.usefixtures("one_clip_shards")
def test_an_interrupted_extraction_resumes_to_the_same_bits(
    gpu: torch.device, ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows_of(tmp_path / "a", run_job(job(ucf_tree, tmp_path / "a", device=str(gpu))))
    written: list[object] = []

    def write_three(*args: object, **options: object) -> object:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(args)
        return store.write_shard(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(publishing, "write_shard", write_three)
        with pytest.raises(KeyboardInterrupt):
            run_job(job(ucf_tree, tmp_path / "b", device=str(gpu)))
    resumed = rows_of(tmp_path / "b", run_job(job(ucf_tree, tmp_path / "b", device=str(gpu))))
    assert whole.keys() == resumed.keys()
    assert all(np.array_equal(resumed[path], rows) for path, rows in whole.items())


def engine(gpu: torch.device, profile: str, compiled: str, num_inputs: int | None = None) -> Engine:
    return start_engine(
        RESNET101,
        "random:0",
        profile=profile,
        device=str(gpu),
        batch_size=None if num_inputs else 8,
        compiled=compiled,
        num_inputs=num_inputs,
    )


def rows_by(used: Engine) -> Features:
    return computed(used.new_runner(), list(CROPS.numpy()))


def test_compiled_and_in_half_precision_features_keep_their_direction(
    real_gpu: torch.device, record_property: Note
) -> None:
    exact = rows_by(engine(real_gpu, "ta3n", "off"))
    for profile in ("ta3n", "fast"):
        used = engine(real_gpu, profile, "on")
        record_property(f"{profile} compiled", used.provenance["compiled"])
        assert cosine(rows_by(used), exact) >= 0.9999


def test_what_a_long_job_chooses_is_right_and_remembered(
    real_gpu: torch.device, record_property: Note
) -> None:
    first, second = (engine(real_gpu, "fast", "off", 10**8) for _ in range(2))
    for key in ("batch_size", "channels_last", "precision"):
        record_property(key, first.provenance[key])
    assert first.provenance == second.provenance
    assert cosine(rows_by(first), rows_by(engine(real_gpu, "ta3n", "off"))) >= 0.9999
    assert np.array_equal(rows_by(first), rows_by(second))


def test_the_layout_of_images_changes_no_feature_in_float32(
    gpu: torch.device, record_property: Note
) -> None:
    backbone = RESNET101 if gpu.type == "cuda" else RESNET18
    plain = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
    crops = CROPS.repeat(8 if gpu.type == "cuda" else 1, 1, 1, 1).to(gpu)
    network = load_network(backbone, "random:0", gpu)[0]
    contiguous = in_form(plain, Choice(batch_size=len(crops), channels_last=False)).to(gpu)
    with torch.inference_mode():
        found, other = network(crops), contiguous(crops)
    assert cosine(found.cpu().numpy(), other.cpu().numpy()) > 1 - 1e-8
    last_s, contiguous_s = seconds_of([network, contiguous], crops)
    record_property("speed of channels last, contiguous = 1", round(contiguous_s / last_s, 3))


def test_a_batch_too_large_for_the_memory_is_halved(
    real_gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real memory, of which this process may take little more than half a batch needs."""
    lines: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(record.getMessage()))
    monkeypatch.setattr(LOGGER, "handlers", [handler])
    network = load_network(RESNET101, "random:0", real_gpu)[0]
    crops = CROPS.repeat(16, 1, 1, 1)
    expected = computed(_runner(network, real_gpu, 64), list(crops.numpy()))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(real_gpu)
    before = torch.cuda.memory_allocated(real_gpu)
    computed(_runner(network, real_gpu, 64), list(crops.numpy()))
    half = torch.cuda.max_memory_allocated(real_gpu) - before
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info(real_gpu)
    # Between what half a batch of 128 takes and what all of it does.
    torch.cuda.set_per_process_memory_fraction((before + 1.5 * half) / total, real_gpu)
    try:
        found = computed(_runner(network, real_gpu, 128), list(crops.numpy()))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, real_gpu)
    assert cosine(found, expected) > 1 - 1e-8
    assert len(lines) == 1
    assert "is out of memory: 64 frames at a time instead of 128" in lines[0]


def _runner(network: torch.nn.Module, device: torch.device, batch_size: int) -> BatchRunner:
    return BatchRunner(network, device=device, batch_size=batch_size, feature_dim=2048)
