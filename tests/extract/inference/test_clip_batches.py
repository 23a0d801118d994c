"""If this breaks, a row of clip features depends on what it was computed beside, or memory ends."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ta3n.common.errors import DeviceError
from ta3n.common.store import Features
from ta3n.common.video import RgbImage
from ta3n.extract import ClipFeatures, Window, extract_features
from ta3n.extract.backbones import get_backbone, with_window
from ta3n.extract.inference.batches import (
    IMAGE_SHAPE,
    BatchRunner,
    inputs_in_words,
    largest_batch_size,
    largest_tried,
    suitable_batch_size,
)
from ta3n.extract.inference.engine import Engine, start_engine
from ta3n.extract.inference.preprocessing import crop, cropper_for

from ...support.computed import computed
from ...support.videos import WriteClip

CPU = torch.device("cpu")
SHAPE = (4, 8, 8, 3)


class Greedy(nn.Module):
    """Features are means of a window; at more than so many windows the memory ends."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []

    def forward(self, crops: Tensor) -> Tensor:
        if len(crops) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.sizes.append(len(crops))
        return crops.float().mean(dim=(1, 2, 3))


def runner_of(network: nn.Module, batch_size: int) -> BatchRunner:
    return BatchRunner(network, device=CPU, batch_size=batch_size, feature_dim=3, input_shape=SHAPE)


def test_windows_come_in_the_order_of_adding_and_halve_where_memory_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = Greedy(most=3)
    runner = runner_of(network, 5)
    windows = [np.full(SHAPE, number, np.uint8) for number in range(13)]
    assert computed(runner, windows)[:, 0].tolist() == list(range(13))
    assert set(network.sizes) == {3, 2}
    assert "3 windows of 4 frames at a time instead of 5 from now on" in caplog.text


def test_too_little_memory_is_told() -> None:
    runner = runner_of(Greedy(most=0), 1)
    with pytest.raises(DeviceError, match="not enough memory for 1 window of 4 frames at a time"):
        computed(runner, [np.zeros(SHAPE, np.uint8)])
    with pytest.raises(DeviceError, match="not enough memory for one window of 4 frames"):
        largest_batch_size(Greedy(most=0), CPU, at_most=4, input_shape=SHAPE)


def test_batch_size_follows_the_frames_of_a_window() -> None:
    network = Greedy(most=100)
    shapes = [IMAGE_SHAPE, (4, *IMAGE_SHAPE), (16, *IMAGE_SHAPE)]
    assert [suitable_batch_size(network, CPU, shape) for shape in shapes] == [8, 2, 1]
    clips = [(16, 112, 112, 3), (16, 224, 224, 3), (32, 224, 224, 3), (512, 518, 518, 3)]
    assert [largest_tried(shape) for shape in clips] == [64, 16, 8, 1]
    assert largest_tried(IMAGE_SHAPE) == 256
    assert largest_batch_size(Greedy(most=3), CPU, at_most=16, input_shape=SHAPE) == 2
    assert inputs_in_words(8, IMAGE_SHAPE) == "8 frames"


def test_frames_of_windows_are_cropped_before_they_go_to_a_device() -> None:
    backbone = get_backbone("video:r3d_18")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    cropper = cropper_for("ta3n", backbone, torch.device("cuda"))
    assert np.array_equal(cropper(pixels), crop(pixels, 112))


def rows_of(engine: Engine, windows: list[RgbImage]) -> Features:
    return computed(engine.new_runner(), windows)


@pytest.mark.parametrize(("name", "batch_size"), [("r3d_18", None), ("r3d_18", 3), ("swin3d_t", 3)])
def test_a_row_does_not_depend_on_those_beside_it(name: str, batch_size: int | None) -> None:
    backbone = with_window(get_backbone(f"video:{name}"), 2, None, None)
    engine = start_engine(
        backbone, "random:0", profile="torchvision", device="cpu", batch_size=batch_size,
        compiled="off",
    )  # fmt: skip
    rng = np.random.default_rng(1)
    windows = [rng.integers(0, 256, backbone.input_shape, dtype=np.uint8) for _ in range(4)]
    together = rows_of(engine, windows)
    for number in (0, 3):
        assert np.array_equal(rows_of(engine, windows[number:])[0], together[number])
    assert len({row.tobytes() for row in together}) == 4
    engine.close()


def test_rows_of_segments_are_those_of_all_frames_to_the_bit(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    paths = [write_clip(tmp_path / f"{n}.avi", 7 + n, seed=n) for n in range(2)]

    def features(frames: str) -> list[ClipFeatures]:
        found = extract_features(
            paths, backbone="video:r3d_18", weights="random:0", frames=frames, window=3,
            window_pad="zero", device="cpu",
        )  # fmt: skip
        return list(found.values())

    every = features("all")
    assert [clip.features.shape for clip in every] == [(7, 512), (8, 512)]
    assert every[0].config.clip_window == Window(3, 1, "zero")
    assert every[0].config.profile == "torchvision"
    kept_by = {"segments:3": [[1, 3, 5], [1, 4, 6]], "every:3": 2 * [[0, 3, 6]]}
    for frames, numbers in kept_by.items():
        for clip, some, kept in zip(every, features(frames), numbers, strict=True):
            assert some.frame_numbers.tolist() == kept
            assert np.array_equal(some.features, clip.features[kept])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("profile", "least"), [("torchvision", 1 - 1e-7), ("fast", 0.999)])
@pytest.mark.parametrize("name", ["r3d_18", "mvit_v2_s", "swin3d_t"])
def test_a_gpu_computes_the_same_rows(name: str, profile: str, least: float) -> None:
    backbone = get_backbone(f"video:{name}")
    rng = np.random.default_rng(1)
    windows = [rng.integers(0, 256, backbone.input_shape, dtype=np.uint8) for _ in range(3)]
    rows = []
    for device in ("cpu", "cuda"):
        engine = start_engine(
            backbone, "random:0", profile=profile, device=device, batch_size=None, compiled="off"
        )
        rows.append(torch.from_numpy(rows_of(engine, windows)))
        engine.close()
    assert torch.cosine_similarity(rows[0], rows[1]).min() >= least
