"""If this breaks, features of clips come from other weights or pixels than torchvision's own."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from ta3n.common.errors import UsageError, WeightsError
from ta3n.common.sampling import Window
from ta3n.extract.backbones import (
    Backbone,
    get_backbone,
    load_backbone,
    weights_identity,
    with_window,
)
from ta3n.extract.backbones.from_torchvision import head_of, video_names
from ta3n.extract.inference.network import FeatureNetwork, LowPrecision, load_network
from ta3n.extract.inference.preprocessing import cropper_for

CPU, META = torch.device("cpu"), torch.device("meta")
# Width, frames, and what frames become.
NETWORKS = {
    "mc3_18": (512, 16, "171 by 128 bilinear, centre 112"),
    "mvit_v1_b": (768, 16, "short side to 256 bilinear, centre 224"),
    "mvit_v2_s": (768, 16, "short side to 256 bilinear, centre 224"),
    "r2plus1d_18": (512, 16, "171 by 128 bilinear, centre 112"),
    "r3d_18": (512, 16, "171 by 128 bilinear, centre 112"),
    "s3d": (1024, 64, "256 by 256 bilinear, centre 224"),
    "swin3d_b": (1024, 32, "short side to 256 bilinear, centre 224"),
    "swin3d_s": (768, 32, "short side to 256 bilinear, centre 224"),
    "swin3d_t": (768, 32, "short side to 256 bilinear, centre 224"),
}


def frames_of(num_frames: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shape = (num_frames, height, width, 3)
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def windows(backbone: Backbone, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, *backbone.input_shape), generator=generator).byte()


def test_all_of_torchvision_are_there() -> None:
    assert sorted(video_names()) == list(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_described_as_torchvision_does(name: str) -> None:
    backbone = get_backbone(f"video:{name}")
    found = (backbone.feature_dim, backbone.window, backbone.transform)
    width, num_frames, transform = NETWORKS[name]
    assert found == (width, Window(num_frames), transform)
    (published, *_) = get_model_weights(name)
    assert published.url.endswith(f"/{backbone.pretrained_file}")
    assert backbone.pretrained == published.name.lower() == "kinetics400_v1"
    assert len(backbone.hash_prefix) == 8
    assert backbone.profile_of(None) == "torchvision"
    assert backbone.transform_of("fast") == transform
    assert backbone.transform_of("ta3n") == ""


@pytest.mark.parametrize(("height", "width"), [(240, 320), (320, 180), (64, 96), (600, 800)])
@pytest.mark.parametrize("name", NETWORKS)
def test_pixels_are_those_of_the_preset_to_the_bit(name: str, height: int, width: int) -> None:
    backbone = with_window(get_backbone(f"video:{name}"), 16, None, None)
    frames = frames_of(16, height, width)
    crop = cropper_for("torchvision", backbone, CPU)
    window = torch.from_numpy(np.stack([crop(frame) for frame in frames]))
    found = FeatureNetwork(nn.Identity(), backbone)(window[None])
    preset = get_model_weights(name)[backbone.pretrained.upper()].transforms()
    expected = preset(torch.from_numpy(frames).permute(0, 3, 1, 2))
    assert torch.equal(found[0], expected)


@pytest.mark.parametrize("name", ["r3d_18", "s3d", "mvit_v2_s", "swin3d_t"])
def test_features_are_what_the_network_hands_to_its_classifier(name: str) -> None:
    """One of each family, with windows as short as it takes."""
    length = {"mvit_v2_s": 16, "s3d": 16}.get(name, 4)
    backbone = with_window(get_backbone(f"video:{name}"), length, None, None)
    torch.manual_seed(0)
    whole: Any = get_model(name).eval()
    seen: list[torch.Tensor] = []
    head = head_of(whole)[1]
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network, _ = load_network(backbone, "random:0", CPU)
    with torch.inference_mode():
        found = network(windows(backbone))
        FeatureNetwork(whole, backbone).eval()(windows(backbone))
    # S3D's classifier is a convolution, and what it gives is averaged.
    expected = seen[0].flatten(2).mean(2) if seen[0].ndim == 5 else seen[0]
    assert found.shape == (1, NETWORKS[name][0])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_gives_a_row_a_window_in_either_precision(name: str, half: bool) -> None:
    """On tensors without data: shapes and kinds of numbers are as on any device."""
    backbone = get_backbone(f"video:{name}")
    with META:
        body = get_model(name).eval()
        parent, _, child = head_of(body)[0].rpartition(".")
        setattr(body.get_submodule(parent), child, nn.Identity())
        network = FeatureNetwork(
            LowPrecision(body, torch.float16) if half else body, backbone
        ).eval()
    with torch.inference_mode():
        rows = network(torch.empty(2, *backbone.input_shape, dtype=torch.uint8, device=META))
    assert (rows.shape, rows.dtype) == ((2, NETWORKS[name][0]), torch.float32)


@pytest.mark.parametrize(
    ("name", "length", "reason"),
    [
        ("mvit_v2_s", 8, "takes no windows of 8 frames, its own are of 16: "),
        ("s3d", 8, "takes no windows of 8 frames, its own are of 64: "),
    ],
)
def test_window_that_a_network_does_not_take_is_refused(
    name: str, length: int, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        with_window(get_backbone(f"video:{name}"), length, None, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [(16, None, None), (None, 2, None), (None, None, "zero")])
def test_networks_of_images_take_no_windows(given: tuple[Any, Any, Any]) -> None:
    with pytest.raises(UsageError, match="resnet18 makes features of single frames; --window"):
        with_window(get_backbone("resnet18"), *given)


def test_what_is_not_said_of_a_window_is_the_networks_own() -> None:
    backbone = get_backbone("video:r3d_18")
    assert with_window(backbone, None, None, None) is backbone
    assert with_window(backbone, None, 2, None).window == Window(16, 2)
    assert with_window(backbone, 8, None, "zero").window == Window(8, 1, "zero")


@pytest.mark.parametrize("name", ["video:r3d_19", "video:", "video:resnet18"])
def test_unknown_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UsageError, match=r"no classifier of clips .* use one of .*r3d_18"):
        get_backbone(name)


def test_other_weights_by_name() -> None:
    backbone = get_backbone("video:swin3d_b", "KINETICS400_IMAGENET22K_V1")
    assert backbone.pretrained_file == "swin3d_b_22k-7c6ae6fa.pth"
    identity = weights_identity(backbone, "kinetics400_imagenet22k_v1")
    assert identity == "kinetics400_imagenet22k_v1:swin3d_b_22k-7c6ae6fa.pth"


@pytest.mark.parametrize("num_classes", [400, 7])
def test_weights_of_a_file_fit_whatever_they_classified(tmp_path: Path, num_classes: int) -> None:
    torch.manual_seed(1)
    network: Any = get_model("mc3_18", num_classes=num_classes).eval()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "w.pth")
    loaded = load_backbone(get_backbone("video:mc3_18"), str(tmp_path / "w.pth"))
    assert loaded.weights_sha256 == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    network.fc = nn.Identity()
    clips = torch.rand(2, 3, 4, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.body(clips), network(clips))


def test_weights_that_count_no_batches_fit(tmp_path: Path) -> None:
    """Files of before 2018 lack a number that only training reads."""
    network = get_model("mc3_18")
    state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "w.pth")
    loaded = load_backbone(get_backbone("video:mc3_18"), str(tmp_path / "w.pth"))
    assert torch.equal(loaded.body.state_dict()["stem.0.weight"], state["stem.0.weight"])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(get_model("mc3_18").state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="are not of video:r2plus1d_18"):
        load_backbone(get_backbone("video:r2plus1d_18"), str(tmp_path / "w.pth"))


def test_offline_message_says_which_file_to_put_where(no_network: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load_backbone(get_backbone("video:mvit_v1_b"), "kinetics400_v1")
    message = str(caught.value)
    assert "\n" not in message
    assert "https://download.pytorch.org/models/mvit_v1_b-dbeb1030.pth" in message
    assert str(no_network / "mvit_v1_b-dbeb1030.pth") in message
    assert "--weights FILE" in message


def test_damaged_download_is_not_used(no_network: Path) -> None:
    no_network.mkdir(parents=True)
    (no_network / "r3d_18-b3b3357e.pth").write_bytes(b"half a file")
    with pytest.raises(WeightsError, match="is damaged: its SHA-256 starts with"):
        load_backbone(get_backbone("video:r3d_18"), "kinetics400_v1")


def test_file_that_was_brought_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torchvision itself, as for networks of images."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    cache = tmp_path / "checkpoints"
    cache.mkdir()
    torch.manual_seed(4)
    network: Any = get_model("s3d").eval()
    torch.save(network.state_dict(), cache / "brought.pth")
    digest = hashlib.sha256((cache / "brought.pth").read_bytes()).hexdigest()
    (cache / "brought.pth").rename(cache / f"s3d-{digest[:8]}.pth")
    backbone = replace(get_backbone("video:s3d"), pretrained_file=f"s3d-{digest[:8]}.pth")
    loaded = load_backbone(backbone, "kinetics400_v1")
    assert loaded.weights_sha256 == digest
    network.classifier[-1] = nn.Identity()
    clips = torch.rand(1, 3, 16, 224, 224)
    with torch.inference_mode():
        assert torch.equal(loaded.body(clips), network(clips))
