"""If this breaks, features of a user's own network are not its own, or two versions are mixed."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ta3n.common.errors import UsageError, WeightsError
from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.common.sampling import Window
from ta3n.common.store import ShardReader, shard_path
from ta3n.extract import extract_features, release_networks
from ta3n.extract.backbones import (
    get_backbone,
    load_backbone,
    weights_identity,
    with_window,
)
from ta3n.extract.cli import main
from ta3n.extract.inference.engine import start_engine

from ...support.clip_networks import write_network
from ...support.videos import WriteClip

TRAINED = "trained=True"


@pytest.fixture
def clip(tmp_path: Path, write_clip: WriteClip) -> Path:
    return write_clip(tmp_path / "clips" / "one.avi", 7)


def extract(clip: Path, backbone: str, *more: str) -> Result:
    line = ["--videos", str(clip), "--backbone", backbone, "--out", str(clip.parents[1] / "out")]
    return CliRunner().invoke(main, [*line, "--device", "cpu", *more])


def manifest_of(clip: Path) -> Manifest:
    return read_record(Manifest, clip.parents[1] / "out" / "videos" / MANIFEST_NAME)


def test_worker_process_writes_what_python_computes(tmp_path: Path, clip: Path) -> None:
    """The worker imports the file by itself, wherever it lies."""
    name = write_network(tmp_path / "net.py", more="crop=crop, std=(1.0, 2.0, 3.0)")
    result = extract(clip, name, "--weights", "random:3", "--window-step", "2")
    assert result.exit_code == 0, result.stderr
    manifest = manifest_of(clip)
    config = manifest.config
    assert (config.backbone, config.profile) == ("python:net.py:build", "own")
    assert (config.feature_dim, config.image_size) == (8, 32)
    assert config.clip_window == Window(4, 2)
    (record,) = manifest.clips
    with ShardReader(shard_path(tmp_path / "out" / "videos", record.shard)) as shard:
        rows = shard.rows(record.start, range(record.length))
    (ours,) = extract_features(
        clip, backbone=name, weights="random:3", window_step=2, device="cpu"
    ).values()
    assert ours.config.hash == config.hash
    assert np.array_equal(ours.features, rows)
    assert rows.shape == (7, 8)
    assert np.unique(rows, axis=0).shape == rows.shape


def test_same_command_does_nothing_and_an_edited_file_is_refused(
    tmp_path: Path, clip: Path
) -> None:
    def run(more: str = "") -> Result:
        name = write_network(tmp_path / "net.py", more=more)
        return extract(clip, name, "--weights", "random:0", "--no-supervise")

    assert run().exit_code == 0
    again = run()
    assert again.exit_code == 0
    assert "1 of 1 shards of this job are done" in again.stderr
    for more in ("std=(1.0, 1.0, 1.0)", "unused=('x',)"):
        edited = run(more)
        assert edited.exit_code == 1
        assert "source is " in edited.stderr


def test_features_of_other_windows_are_not_mixed(tmp_path: Path, clip: Path) -> None:
    name = write_network(tmp_path / "net.py")
    options = ["--weights", "random:0", "--no-supervise"]
    assert extract(clip, name, *options).exit_code == 0
    for other in (["--window", "5"], ["--window-step", "3"], ["--window-pad", "zero"]):
        refused = extract(clip, name, *options, *other)
        assert refused.exit_code == 1
        assert f"{other[0][2:].replace('-', '_')} is " in refused.stderr


def test_weights_of_its_own_are_part_of_what_it_is(tmp_path: Path) -> None:
    first = get_backbone(write_network(tmp_path / "net.py", more=TRAINED))
    second = get_backbone(write_network(tmp_path / "net.py", width=9, more=TRAINED))
    identities = [weights_identity(backbone, backbone.pretrained) for backbone in (first, second)]
    assert all(identity.startswith("own:") for identity in identities)
    assert identities[0] != identities[1]
    assert load_backbone(second, "own").weights_sha256 == identities[1].removeprefix("own:")
    with pytest.raises(UsageError, match="comes with weights, so that random:0 draws none"):
        weights_identity(second, "random:0")


def test_network_without_weights_asks_for_them(tmp_path: Path, clip: Path) -> None:
    name = write_network(tmp_path / "net.py")
    refused = extract(clip, name)
    assert refused.exit_code == 1
    assert "comes without trained weights; name a file of them with --weights" in refused.stderr
    backbone = get_backbone(name)
    body = load_backbone(backbone, "random:5").body
    torch.save({"model": body.state_dict()}, tmp_path / "w.pth")
    loaded = load_backbone(backbone, str(tmp_path / "w.pth")).body
    assert torch.equal(loaded.state_dict()["mix.weight"], body.state_dict()["mix.weight"])
    torch.save({"mix.weight": torch.zeros(8, 24)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="4 parameters are missing"):
        load_backbone(backbone, str(tmp_path / "w.pth"))
    with pytest.raises(WeightsError, match="are neither random:SEED, nor an existing file"):
        load_backbone(backbone, "imagenet1k_v1")


def test_weights_that_differ_each_time_are_refused(tmp_path: Path) -> None:
    name = write_network(tmp_path / "net.py", more=TRAINED)
    text = (tmp_path / "net.py").read_text()
    drawn = text.replace("network=Means()", "network=count(Means())")
    counted = "CALLS = []\n\n\ndef count(net):\n    CALLS.append(0)\n"
    counted += "    net.mix.weight.data.fill_(len(CALLS))\n    return net\n"
    (tmp_path / "net.py").write_text(f"{drawn}\n\n{counted}")
    with pytest.raises(WeightsError, match="makes other weights each time that it is called"):
        load_backbone(get_backbone(name), "own")


def test_module_that_python_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_networks").mkdir()
    write_network(tmp_path / "my_networks" / "small.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    backbone = get_backbone("python:my_networks.small:build")
    assert (backbone.name, backbone.feature_dim) == ("python:my_networks.small:build", 8)
    for name in [name for name in sys.modules if name.startswith("my_networks")]:
        monkeypatch.delitem(sys.modules, name)


def test_random_numbers_of_the_caller_stay(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    get_backbone(write_network(tmp_path / "net.py"))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_network_of_images(tmp_path: Path, clip: Path) -> None:
    text = "class Net(nn.Module):\n    def forward(self, images):\n"
    text = f"from torch import nn\nfrom ta3n.extract import CustomBackbone\n\n\n{text}"
    text += "        return images.mean((2, 3))\n\n\n"
    text += "def build():\n    return CustomBackbone(network=Net(), feature_dim=3, trained=True)\n"
    (tmp_path / "net.py").write_text(text)
    name = f"python:{tmp_path / 'net.py'}:build"
    (found,) = extract_features(clip, backbone=name, device="cpu").values()
    assert found.features.shape == (7, 3)
    assert (found.config.window, found.config.profile) == (0, "ta3n")
    with pytest.raises(UsageError, match="makes features of single frames"):
        extract_features(clip, backbone=name, window=4, device="cpu")
    with pytest.raises(UsageError, match=r"profile own is .* which .* has not; use profile ta3n"):
        extract_features(clip, backbone=name, profile="own", device="cpu")
    release_networks()


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


MISTAKES: dict[str, tuple[Callable[[str], str], str]] = {
    "no function": (lambda t: edited(t, "def build", "def made"), "has no function build"),
    "error": (lambda t: edited(t, "return CustomBackbone", "1 / 0\n    return CustomBackbone"),
              r"build\(\) of .*net\.py fails: ZeroDivisionError.*net\.py, line \d+\)"),
    "exit": (lambda t: edited(t, "def build():", "def build():\n    raise SystemExit(0)"),
             r"build\(\) of .*net\.py fails: SystemExit: 0"),
    "error at import": (lambda t: f"{t}\nraise KeyError('x')", r"net\.py fails: KeyError: x"),
    "no Python": (lambda t: f"{t}\ndef :",
                  r"fails: SyntaxError: invalid syntax \([^()]*net\.py, line \d+\)$"),
    "lacks a package": (lambda t: f"import not_there\n{t}", "No module named 'not_there'"),
    "returns None": (lambda t: edited(t, "return CustomBackbone", "CustomBackbone"),
                     "returns a NoneType, not a ta3n.extract.CustomBackbone"),
    "no module": (lambda t: edited(t, "network=Means()", "network=crop"),
                  "returns a CustomBackbone of a function"),
    "width": (lambda t: edited(t, "feature_dim=8", "feature_dim=9"),
              r"makes \[8\] of an input \[3, 4, 32, 32\], not the \[9\]"),
    "kind of width": (lambda t: edited(t, "feature_dim=8", "feature_dim='8'"), "is '8', not a"),
    "fails on its window": (lambda t: edited(t, "nn.Linear(24", "nn.Linear(25"),
                            r"RuntimeError: .*net\.py, line \d+\)"),
    "crop": (lambda t: edited(t, "window=", "crop=lambda f: f[:9], window="),
             r"makes uint8 \[9, 320, 3\] of a frame \[240, 320, 3\], not uint8 \[32, 32, 3\]"),
    "crop fails": (lambda t: edited(t, "window=", "crop=lambda f: f.x, window="),
                   "its crop fails: AttributeError"),
    "mean": (lambda t: edited(t, "window=", "mean=0.5, window="), "mean is 0.5, not three values"),
    "std": (lambda t: edited(t, "window=", "std=(1.0, 0.0, 1.0), window="),
            "std is .*, and pixels are divided"),
    "window": (lambda t: edited(t, "Window(4)", "4"), "window is 4, not a Window, or None"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_one_line(tmp_path: Path, mistake: str) -> None:
    name = write_network(tmp_path / "net.py")
    edit, told = MISTAKES[mistake]
    (tmp_path / "net.py").write_text(edit((tmp_path / "net.py").read_text()))
    with pytest.raises(UsageError, match=told) as caught:
        get_backbone(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("python:", "has not the form python:MODULE:FACTORY"),
        ("python:build", "has not the form"),
        ("python:net.py:", "has not the form"),
        ("python:nowhere.py:build", "no file .*nowhere.py"),
        ("python:no_such.net:build", "Python finds no module 'no_such.net'"),
    ],
)
def test_names_that_lead_nowhere_are_refused(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        get_backbone(name)


def test_code_that_changes_while_it_is_used_is_refused(tmp_path: Path) -> None:
    backbone = get_backbone(write_network(tmp_path / "net.py"))
    with (tmp_path / "net.py").open("a") as file:
        file.write("\n# another version\n")
    with pytest.raises(UsageError, match="changed since this began"):
        load_backbone(backbone, "random:0")


def test_window_that_it_does_not_take_is_refused(tmp_path: Path) -> None:
    name = write_network(tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text()
    pooled = "nn.functional.adaptive_avg_pool3d(self.norm(clips), 2)"
    (tmp_path / "net.py").write_text(edited(text, pooled, "clips[..., :1, :2]"))
    backbone = get_backbone(name)
    assert with_window(backbone, None, 5, None).window == Window(4, 5)
    with pytest.raises(UsageError, match="takes no windows of 6 frames, its own are of 4"):
        with_window(backbone, 6, None, None)


def test_network_that_fails_where_it_is_run_is_told(tmp_path: Path) -> None:
    name = write_network(tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text()
    failing = "        assert clips.device.type == 'meta'\n        return self.mix"
    (tmp_path / "net.py").write_text(edited(text, "        return self.mix", failing))
    with pytest.raises(UsageError, match="does not run on cpu with profile ta3n: AssertionError"):
        start_engine(
            get_backbone(name), "random:0", profile="ta3n", device="cpu", batch_size=None,
            compiled="off",
        )  # fmt: skip
