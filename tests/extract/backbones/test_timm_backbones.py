"""If this breaks, features of a timm model come from other weights or pixels than timm's own."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from ta3n.common.errors import UsageError, WeightsError
from ta3n.common.records import collect_manifest
from ta3n.common.store import ShardReader, shard_path
from ta3n.extract.backbones import get_backbone, load_backbone, weights_identity
from ta3n.extract.cli import main
from ta3n.extract.inference.network import FeatureNetwork, load_network
from ta3n.extract.inference.preprocessing import cropper_for

from ...support.videos import WriteClip

timm = pytest.importorskip("timm", reason="extra 'timm' not installed")

CPU = torch.device("cpu")
SMALL = "timm:test_vit.r160_in1k"
CLIP = "timm:vit_base_patch16_clip_224.openai"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point both caches at empty folders, cut the network; return where files may be brought to."""
    import huggingface_hub

    def refuse(*_: object, **__: object) -> str:
        raise FileNotFoundError("network is unreachable\nand more lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def small_model(num_classes: int = 1000) -> Any:
    torch.manual_seed(4)
    return timm.create_model("test_vit.r160_in1k", num_classes=num_classes).eval()


@pytest.mark.parametrize(
    ("name", "width", "size"),
    [
        (CLIP, 768, 224),
        ("timm:resnet50", 2048, 224),
        ("timm:convnext_tiny.in12k_ft_in1k_384", 768, 384),
        ("timm:efficientnet_b0.ra_in1k", 1280, 224),
        ("timm:mobilenetv3_small_100", 1024, 224),
        (SMALL, 64, 160),
    ],
)
def test_described_as_timm_does(name: str, width: int, size: int) -> None:
    backbone = get_backbone(name)
    assert (backbone.feature_dim, backbone.image_size) == (width, size)
    model = timm.create_model(name.removeprefix("timm:"), pretrained=False)
    data = timm.data.resolve_model_data_config(model)
    assert (backbone.mean, backbone.std) == (tuple(data["mean"]), tuple(data["std"]))
    pixels = np.random.default_rng(7).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    crop = cropper_for("timm", backbone, CPU)(pixels)
    assert crop.shape == (size, size, 3)
    expected = timm.data.create_transform(**data, is_training=False)(Image.fromarray(pixels))
    found = FeatureNetwork(nn.Identity(), backbone)(torch.from_numpy(crop.copy())[None])[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_name_without_weights_is_recorded_with_them() -> None:
    assert get_backbone("timm:resnet50").name == "timm:resnet50.a1_in1k"
    identity = weights_identity(get_backbone("timm:resnet50"), "a1_in1k")
    assert identity == "a1_in1k:resnet50.a1_in1k.safetensors"


def test_transform_is_recorded_in_words() -> None:
    assert get_backbone(CLIP).transform == "bicubic, crop_pct 0.9 center, 224"


def test_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"timm has no model 'resnet-50' \(did you mean 'resnet50'"
    ):
        get_backbone("timm:resnet-50")


@pytest.mark.parametrize("form", ["safetensors", "pth"])
@pytest.mark.parametrize("num_classes", [1000, 7])
def test_weights_of_a_file(tmp_path: Path, form: str, num_classes: int) -> None:
    model = small_model(num_classes)
    path = tmp_path / f"w.{form}"
    save(model, path)
    loaded = load_backbone(get_backbone(SMALL), str(path))
    assert loaded.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    model.reset_classifier(0)
    images = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(loaded.body(images), model(images))


def save(model: nn.Module, path: Path) -> None:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)


def test_weights_of_another_model_are_refused_in_one_line(tmp_path: Path) -> None:
    save(timm.create_model("test_resnet.r160_in1k"), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"are not of timm:test_vit\.r160_in1k") as caught:
        load_backbone(get_backbone(SMALL), str(tmp_path / "w.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"half a file", b"junk\n"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_file_is_refused_in_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match="cannot be read") as caught:
        load_backbone(get_backbone(SMALL), str(tmp_path / name))
    assert name == "w.safetensors" or "damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_offline_message_says_which_file_to_put_where(offline: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load_backbone(get_backbone(SMALL), "r160_in1k")
    message = str(caught.value)
    assert "\n" not in message
    assert "test_vit.r160_in1k/resolve/main/model.safetensors" in message
    assert str(offline / "test_vit.r160_in1k.safetensors") in message
    assert "--weights FILE" in message


def test_file_that_was_brought_is_used(offline: Path) -> None:
    offline.mkdir(parents=True)
    model = small_model()
    save(model, offline / "test_vit.r160_in1k.safetensors")
    body = load_backbone(get_backbone(SMALL), "r160_in1k").body
    model.reset_classifier(0)
    images = torch.rand(1, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(body(images), model(images))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_byobnet"])
def test_fast_form_computes_what_the_plain_one_does(name: str) -> None:
    backbone = get_backbone(f"timm:{name}")
    network, _ = load_network(backbone, "random:0", CPU)
    plain = FeatureNetwork(load_backbone(backbone, "random:0").body, backbone).eval()
    size = backbone.image_size
    crops = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(network(crops), plain(crops), rtol=1e-4, atol=1e-5)


def test_without_timm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(WeightsError, match=r"pip install 'ta3n\[timm\]'"):
        get_backbone("timm:resnet50")


def test_command_writes_features_of_its_width_and_records_the_transform(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    write_clip(tmp_path / "clips" / "one.avi", 6)
    args = ["--videos", tmp_path / "clips", "--backbone", "timm:test_vit", "--weights", "random:0"]
    args += ["--out", tmp_path, "--device", "cpu", "--no-supervise"]
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == 0, result.output
    manifest = collect_manifest(tmp_path / "videos")
    config = manifest.config
    assert (config.backbone, config.profile, config.image_size) == (SMALL, "timm", 160)
    assert config.transform == "bicubic, crop_pct 0.95 center, 160"
    assert (config.feature_dim, manifest.clips[0].length) == (64, 6)
    with ShardReader(shard_path(tmp_path / "videos", manifest.clips[0].shard)) as shard:
        assert shard.rows(0, range(6)).shape == (6, 64)
    other = CliRunner().invoke(main, list(map(str, [*args, "--profile", "ta3n"])))
    assert other.exit_code == 1
    assert "transform is bicubic, crop_pct 0.95 center, 160 there, none now" in other.output


@pytest.mark.parametrize("name", ["timm:dla46_c", "timm:test_vit"])
@pytest.mark.parametrize(
    "content", [{"backbone.conv1.weight": torch.zeros(3, 3)}, {}, {"state_dict": {}}]
)
def test_file_that_gives_a_model_nothing_is_refused(
    tmp_path: Path, offline: Path, name: str, content: dict[str, Any]
) -> None:
    """Timm itself loads some models with whatever fits, and the rest stays as it was drawn."""
    torch.save(content, tmp_path / "foreign.pth")
    with pytest.raises(WeightsError, match=r"are not of timm:|hold no state dict"):
        load_backbone(get_backbone(name), str(tmp_path / "foreign.pth"))
    assert nn.Module.load_state_dict.__name__ == "load_state_dict"


def test_model_of_other_convolutions_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """Its weights of five dimensions cannot lie channels last."""
    network, _ = load_network(get_backbone("timm:lambda_resnet26t"), "random:0", CPU)
    with torch.inference_mode():
        assert network(torch.zeros(1, 256, 256, 3, dtype=torch.uint8)).shape == (1, 2048)
    assert "runs as its library builds it" in caplog.text


@pytest.mark.parametrize("name", ["timm:resnet18.foo", "timm:resnet18.", "timm:"])
def test_unknown_weights_of_a_model_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="timm has no model"):
        get_backbone(name)


def test_weights_are_not_kept_twice(tmp_path: Path) -> None:
    save(small_model(), tmp_path / "w.pth")
    body: Any = load_backbone(get_backbone(SMALL), str(tmp_path / "w.pth")).body
    assert "state_dict" not in body.pretrained_cfg
