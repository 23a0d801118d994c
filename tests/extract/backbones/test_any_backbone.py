"""If this breaks, a backbone other than the paper's gives features that are not its own."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import get_model, get_model_weights

from ta3n.common.errors import UsageError, WeightsError
from ta3n.extract.backbones import BACKBONES, Backbone, get_backbone, load_backbone
from ta3n.extract.backbones.from_torchvision import head_of, names, transform_in_words
from ta3n.extract.inference.network import FeatureNetwork, load_network
from ta3n.extract.inference.preprocessing import cropper_for

CPU = torch.device("cpu")
# One of each family.
FAMILIES = {
    "alexnet": 4096,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "googlenet": 1024,
    "inception_v3": 2048,
    "maxvit_t": 512,
    "mnasnet0_5": 1280,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 1024,
    "regnet_y_400mf": 440,
    "resnext50_32x4d": 2048,
    "shufflenet_v2_x0_5": 1024,
    "squeezenet1_1": 512,
    "swin_t": 768,
    "vgg11": 4096,
    "vit_b_16": 768,
    "wide_resnet50_2": 2048,
}


def picture(width: int = 320, height: int = 240) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def crops_of(backbone: Backbone) -> torch.Tensor:
    size = backbone.image_size
    shape = (2, size, size, 3)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(3)).byte()


@pytest.mark.parametrize("name", FAMILIES)
def test_width_is_what_the_classifier_takes(name: str) -> None:
    backbone = get_backbone(name)
    assert backbone.feature_dim == FAMILIES[name]
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    head = head_of(get_model(name, weights=None, **options))[1]
    width = head.in_channels if isinstance(head, nn.Conv2d) else cast(nn.Linear, head).in_features
    assert width == FAMILIES[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_normalisation_size_and_transform_are_those_of_the_weights(name: str) -> None:
    backbone = get_backbone(name)
    preset = get_model_weights(name)[backbone.pretrained.upper()].transforms()
    assert (backbone.mean, backbone.std) == (tuple(preset.mean), tuple(preset.std))
    crop = cropper_for("torchvision", backbone, CPU)(picture())
    found = FeatureNetwork(nn.Identity(), backbone)(torch.from_numpy(crop.copy())[None])[0]
    torch.testing.assert_close(found, preset(Image.fromarray(picture())), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [n for n, b in BACKBONES.items() if b.library == "torchvision"])
def test_the_papers_networks_are_described_as_torchvision_does(name: str) -> None:
    preset = get_model_weights(name)["IMAGENET1K_V1"].transforms()
    assert transform_in_words(preset) == "short side to 256 bilinear, antialiased, centre 224"
    # What the name of the profile says is not said again: folders made before stay valid.
    assert BACKBONES[name].transform_of("torchvision") == ""
    assert BACKBONES[name].mean == tuple(preset.mean)


def test_every_classifier_of_torchvision_is_there_and_no_detector() -> None:
    assert set(FAMILIES) < set(names())
    assert not any("rcnn" in name or "video" in name for name in names())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_features_are_what_the_network_hands_to_its_classifier(name: str) -> None:
    backbone = get_backbone(name)
    network, _ = load_network(backbone, "random:0", CPU)
    whole = load_backbone(backbone, "random:0").body
    seen: list[torch.Tensor] = []
    # Dropout and the classifier follow; in evaluation mode only the latter changes anything.
    whole.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.inference_mode():
        found = network(crops_of(backbone))
        FeatureNetwork(whole, backbone).eval()(crops_of(backbone))
    assert found.shape == (2, FAMILIES[name])
    torch.testing.assert_close(found, seen[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_classes", [1000, 7])
def test_weights_of_a_file_fit_whatever_they_classified(tmp_path: Path, num_classes: int) -> None:
    torch.manual_seed(1)
    network = get_model("mobilenet_v3_small", weights=None, num_classes=num_classes).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    loaded = load_backbone(get_backbone("mobilenet_v3_small"), str(tmp_path / "w.pth"))
    assert loaded.weights_sha256 == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    network.classifier[-1] = nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.body(images), network(images))


def test_published_file_from_elsewhere_is_loaded_by_its_library(tmp_path: Path) -> None:
    """GoogLeNet shifts its input with its published weights, and drops what only trains it."""
    torch.manual_seed(1)
    path = tmp_path / "brought.pth"
    torch.save(
        get_model("googlenet", weights=None, init_weights=False, aux_logits=True).state_dict(), path
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    backbone = replace(get_backbone("googlenet"), pretrained_file=f"googlenet-{digest[:8]}.pth")
    hub = torch.hub.get_dir()
    as_published = cast(Any, load_backbone(backbone, str(path)).body)
    assert torch.hub.get_dir() == hub
    assert as_published.transform_input
    assert torch.hub._hub_dir is None, "where weights are kept still follows from TORCH_HOME"
    as_own = load_backbone(get_backbone("googlenet"), str(path)).body
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(as_published(images), as_own(images))


def test_other_generation_of_weights_by_name() -> None:
    backbone = get_backbone("resnet50", "IMAGENET1K_V2")
    assert backbone.pretrained == "imagenet1k_v2"
    assert backbone.pretrained_file == "resnet50-11ad3fa6.pth"
    assert "232" in backbone.transform
    assert get_backbone("resnet50", "IMAGENET1K_V1") is BACKBONES["resnet50"]
    assert get_backbone("vit_h_14").image_size == 518


def test_network_that_folding_would_change_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its batch norm stands beside a convolution without following it."""

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.norm.running_mean = torch.tensor([1.0, 2.0, 3.0])

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.conv(self.norm(images)).relu().mean((2, 3))
            return features

    torch.manual_seed(0)
    body = Crossed().eval()
    monkeypatch.setattr(
        "ta3n.extract.inference.network.load_backbone",
        lambda *_: type("L", (), {"body": body, "weights_sha256": "0"}),
    )
    backbone = replace(get_backbone("alexnet"), image_size=8, feature_dim=3)
    network, _ = load_network(backbone, "random:0", CPU)
    with torch.inference_mode():
        expected = FeatureNetwork(body, backbone)(crops_of(backbone))
        torch.testing.assert_close(network(crops_of(backbone)), expected)
    assert "does not allow for faster convolutions" in caplog.text


def test_profiles_follow_the_library() -> None:
    resnet, vit = BACKBONES["resnet101"], get_backbone("vit_b_16")
    assert (resnet.profile_of(None), resnet.transform_of("ta3n")) == ("ta3n", "")
    assert resnet.transform_of("fast") == ""
    assert vit.profile_of(None) == "torchvision"
    assert vit.transform_of("fast") == vit.transform_of("torchvision") != ""
    assert vit.profile_of("ta3n") == "ta3n"
    with pytest.raises(UsageError, match="resnet101 is not timm's; use profile ta3n or fast"):
        resnet.profile_of("timm")


@pytest.mark.parametrize("name", ["vit_b_17", "fasterrcnn_resnet50_fpn", "timm"])
def test_unknown_backbone_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"is not known.* it is one of torchvision's classifiers"):
        get_backbone(name)


def test_unknown_generation_says_what_there_is() -> None:
    with pytest.raises(WeightsError, match="neither imagenet1k_v1, nor random:SEED"):
        load_backbone(get_backbone("vgg11", "imagenet1k_v7"), "imagenet1k_v7")


def test_network_that_insists_on_the_version_of_its_weights(tmp_path: Path) -> None:
    torch.save(get_model("mnasnet0_5", weights=None).state_dict(), tmp_path / "w.pth")
    load_backbone(get_backbone("mnasnet0_5"), str(tmp_path / "w.pth"))


@pytest.mark.parametrize("weights", ["random:²", "random:99999999999999999999", "random:"])
def test_seed_that_is_none_is_refused(weights: str) -> None:
    with pytest.raises(UsageError, match="whole number"):
        load_backbone(BACKBONES["resnet18"], weights)


@pytest.mark.parametrize("weights", ["~nobody-of-that-name/x.pth", "", "."])
def test_weights_that_are_no_file_are_refused(weights: str) -> None:
    with pytest.raises(WeightsError, match="nor an existing file"):
        load_backbone(BACKBONES["resnet18"], weights)


def test_weights_for_detectors_are_no_choice() -> None:
    assert get_backbone("vgg16", "imagenet1k_features").pretrained == "imagenet1k_v1"
