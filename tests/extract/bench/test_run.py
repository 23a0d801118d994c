"""If this breaks, nobody can tell how near extraction is to the limit of a machine."""

import json
import time
from pathlib import Path

import numpy as np
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from ta3n.extract.backbones import BACKBONES, get_backbone, load_backbone, with_window
from ta3n.extract.bench.__main__ import main
from ta3n.extract.bench.authors import PlainProcedure
from ta3n.extract.bench.run import PROCESSES, THREADS, CountedNetwork, first_frames, ratios_of
from ta3n.extract.cli import main as extract
from ta3n.extract.inference.batches import SideBySide
from ta3n.extract.inference.engine import Engine
from ta3n.extract.inference.preprocessing import crop

from ...support.clip_networks import write_network
from ...support.videos import WriteClip


def test_everything_is_measured_in_one_run(tmp_path: Path) -> None:
    arguments = ["--backbone", "resnet18", "--device", "cpu", "--batch-size", "2", "--rounds", "1"]
    arguments += ["--num-clips", "1", "--clip-frames", "5", "--json", str(tmp_path / "b.json")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    record = json.loads((tmp_path / "b.json").read_text())
    stages = record["frames_per_s"]
    assert len(stages) == 14
    assert all(rate > 0 for rate in stages.values())
    assert all(name in result.stdout for name in stages)
    assert [size["num_frames"] for size in record["sizes"]] == [5, 5, 5]
    assert all(0 <= share <= 1 for share in record["waiting"].values())
    assert all(seconds > 0 for seconds in record["start_s"].values())
    assert all(ratio > 0 for ratio in record["ratios"].values())
    assert len(record["ratios"]) == 5


def test_only_what_is_asked_for_is_measured_on_real_videos(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    for number, length in enumerate((3, 5, 7)):
        write_clip(tmp_path / f"{number}.avi", length)
    arguments = ["--backbone", "resnet18", "--device", "cpu", "--rounds", "1", "--num-clips", "2"]
    arguments += ["--videos", str(tmp_path), "--only", "convert + resize", "--json", "-"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert list(record["frames_per_s"]) == [THREADS, PROCESSES]
    assert list(record["ratios"]) == ["decoding, processes / threads"]
    assert record["sizes"] == []
    result = CliRunner().invoke(main, [*arguments, "--only", "nonsense"])
    assert list(json.loads(result.stdout)["frames_per_s"]) == [THREADS, PROCESSES]
    result = CliRunner().invoke(main, ["--backbone", "resnet18", "--only", "nonsense"])
    assert result.exit_code == 2
    assert "--only nonsense: nothing is called so; there are decode, " in result.stderr


def test_network_of_clips_is_measured(tmp_path: Path) -> None:
    name = write_network(tmp_path / "net.py")
    arguments = ["--bench", "--backbone", name, "--device", "cpu", "--window-step", "2"]
    arguments += ["--limit", "1", "--batch-size", "2", "--json", "-"]
    result = CliRunner().invoke(extract, arguments)
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["options"]["window_step"] == 2
    assert "2 windows of 4 frames a batch in use, 2 else" in record["title"]
    names = [stage for stage in record["frames_per_s"] if stage.startswith("network, ")]
    assert names == ["network, eager", "network, in use"]
    assert all(rate > 0 for rate in record["frames_per_s"].values())


def test_ratios_are_against_the_fastest_network() -> None:
    rates = {"network, eager": [2.0], "network, in use": [4.0], "whole pipeline": [3.0]}
    ratios = ratios_of(
        rates | {"authors' procedure": [1.5]},
        {"whole pipeline": [0.5], "whole pipeline, 5 a clip": [10.0]},
    )
    assert list(ratios.values()) == [0.75, 2.0, 2.0, 20.0]


def test_ratios_are_of_one_round() -> None:
    """The machine halves its speed after the first round, which is not the pipeline's doing."""
    rates = {"network, in use": [8.0, 4.0, 4.0], "whole pipeline": [6.0, 3.0, 1.0]}
    assert ratios_of(rates, {}) == {"whole pipeline / fastest bare network": 0.75}


class Working(nn.Module):
    """Takes a tenth of a second of a core."""

    def forward(self, crops: Tensor) -> Tensor:
        began = time.thread_time()
        while time.thread_time() - began < 0.1:
            pass
        return torch.zeros(len(crops), 512)


def test_the_time_of_cores_is_counted_whatever_the_clock() -> None:
    network = SideBySide(Working(), num_threads=2, frames_at_once=1)
    engine = Engine(
        backbone=BACKBONES["resnet18"],
        network=network,
        device=torch.device("cpu"),
        batch_size=1,
        num_threads=2,
        provenance={},
    )
    counted = CountedNetwork(engine)
    network(torch.zeros(3, 4, 4, 3))
    # Three tenths of a second, as a part of two cores' ten seconds.
    assert 0.015 <= counted.share_of(10) < 0.02
    assert counted.share_of(10) == 0


def test_the_plain_procedure_gives_the_features_of_all_frames(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    """Four frames fill two batches; the zero images on top leave no rows."""
    clip = write_clip(tmp_path / "a.avi", 4)
    backbone = BACKBONES["resnet18"]
    body = load_backbone(backbone, "random:0").body
    plain = PlainProcedure(body, backbone, torch.device("cpu"), 2)
    features = plain.extract(clip)
    assert features.shape == (4, 512)
    images = np.stack([crop(pixels) for pixels in first_frames(clip, 4)])
    mean, std = (np.array(part, np.float32) for part in (backbone.mean, backbone.std))
    normalised = torch.from_numpy((np.float32(images) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        assert torch.allclose(features, body(normalised.contiguous()), rtol=1e-3, atol=1e-5)


def test_the_plain_procedure_puts_windows_around_all_frames(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    clip = write_clip(tmp_path / "a.avi", 5)
    backbone = with_window(get_backbone(write_network(tmp_path / "net.py")), None, 2, "zero")
    body = load_backbone(backbone, "random:0").body
    features = PlainProcedure(body, backbone, torch.device("cpu"), 2).extract(clip)
    images = torch.stack(
        [torch.from_numpy(crop(p, 32).copy()) for p in first_frames(clip, 5)]
    ).float()
    mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
    normalised = (images / 255 - mean) / std
    # Around the frame 3: -1, 1, 3, 5, of which the first and the last are not there.
    window = torch.stack(
        [torch.zeros(32, 32, 3), normalised[1], normalised[3], torch.zeros(32, 32, 3)]
    )
    with torch.inference_mode():
        expected = body(window.permute(3, 0, 1, 2)[None])[0]
    torch.testing.assert_close(features[3], expected, rtol=1e-4, atol=1e-5)
