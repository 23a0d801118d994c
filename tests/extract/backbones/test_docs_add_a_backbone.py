"""The example of the page on own backbones runs as it stands there."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.common.sampling import Window
from ta3n.extract import CustomBackbone
from ta3n.extract.backbones import get_backbone, load_backbone
from ta3n.extract.cli import main

PAGE = (Path(__file__).parents[3] / "docs" / "add-a-backbone.md").read_text()
((FILE, TEXT),) = re.findall(r"```python\n# (.*?\.py)\n(.*?)```", PAGE, re.DOTALL)
(COMMAND,) = re.findall(r"```sh[^\n]*\n(.*?)\n```", PAGE, re.DOTALL)
BACKBONE = f"python:{FILE}:build"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ucf_tree: Path) -> Path:
    """Return a folder with the page's file, and weights and videos as its command names them."""
    (tmp_path / FILE).write_text(TEXT)
    (tmp_path / "UCF-101").symlink_to(ucf_tree)
    monkeypatch.chdir(tmp_path)
    state = load_backbone(get_backbone(BACKBONE), "random:0").body.state_dict()
    # As published: with a classifier, and without counts of batches.
    state = {key: value for key, value in state.items() if "num_batches" not in key}
    state["logits.conv3d.weight"] = torch.zeros(400, 1024, 1, 1, 1)
    torch.save(state, tmp_path / "rgb_imagenet.pt")
    return tmp_path


@pytest.mark.usefixtures("example")
def test_its_command_runs(tmp_path: Path) -> None:
    program, *arguments = shlex.split(COMMAND)
    assert program == "ta3n-extract"
    small = ["--frames", "segments:2", "--limit", "1", "--device", "cpu"]
    result = CliRunner().invoke(main, [*arguments, *small])
    assert result.exit_code == 0, result.stderr
    manifest = read_record(Manifest, tmp_path / "features" / "ucf101" / MANIFEST_NAME)
    assert [(clip.status, clip.length) for clip in manifest.clips] == [("ok", 2)]
    config = manifest.config
    assert (config.feature_dim, config.clip_window) == (2048, Window(16, 1, "zero"))
    assert (config.backbone, config.profile) == (BACKBONE, "own")
    assert len(config.source) == 64
    assert config.weights.startswith("sha256:")


@pytest.mark.usefixtures("example")
def test_its_network_is_as_published() -> None:
    """Widths, strides and padding, by what is known of I3D: 12.3 million weights, 8 times less."""
    body = load_backbone(get_backbone(BACKBONE), "random:0").body
    num_weights = sum(parameter.numel() for parameter in body.parameters())
    # 12,697,264 with 400 classes, which take 1024 weights and one more each.
    assert num_weights == 12_697_264 - 400 * 1025
    with torch.device("meta"):
        clips = torch.empty(1, 3, 16, 224, 224)
    assert body.to("meta")(clips).shape == (1, 2048)


def test_the_page_lists_all_there_is_to_say() -> None:
    table = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    listed = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    assert {field.name for field in fields(CustomBackbone)} == {*listed} - {"CustomBackbone"}


@pytest.mark.usefixtures("example")
def test_its_crop_is_the_centre_of_the_frame() -> None:
    from ta3n.extract.backbones import geometry_of

    frame = np.zeros((256, 340, 3), np.uint8)
    frame[16:240, 58:282] = 255
    assert (geometry_of(get_backbone(BACKBONE))(frame) == 255).all()
