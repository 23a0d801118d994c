"""Every registered temporal module trains with every method, goes on to the bit, and stacks."""

import copy
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ta3n.common.errors import UsageError
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.layers.reversal import Coefficients
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.stacked import StackedTrainer
from ta3n.train.methods.registry import METHODS, method_for
from ta3n.train.model.model import TA3N, ModelSpec, model_spec
from ta3n.train.recipe.recipes import OFFICIAL

MakeTrainer = Callable[..., Trainer]
NAMES = [*ENCODERS.all()]
METHOD_NAMES = [*METHODS.all()]
ONE = Coefficients(relation=1.0, video=1.0, frame=1.0, encoder=1.0)


def adversary_of(name: str) -> str:
    """Return the method that asks most of a temporal module."""
    return "ta3n" if ENCODERS.find(name).has_parts else "revgrad"


def in_double(trainer: Trainer) -> Trainer:
    return Trainer(trainer.settings, trainer.data, dtype=torch.float64)


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_with_every_method_or_is_refused_in_one_line(
    make_trainer: MakeTrainer, make_data: Callable[..., TrainingData], name: str, method: str
) -> None:
    encoder = ENCODERS.find(name)
    terms = (METHODS.find(method).with_encoder or {}).get(name, METHODS.find(method).terms)
    if METHODS.find(method).closed_form:  # trained in tests/train/methods/test_closed_form.py
        if name != "pooling":
            with pytest.raises(UsageError, match="no temporal module but pooling"):
                method_for(method, name)
        return
    if any(term.needs_parts for term in terms) and not encoder.has_parts:
        with pytest.raises(UsageError, match=f"which {encoder.label} does not have") as refused:
            method_for(method, name)
        assert "\n" not in str(refused.value)
        return
    data = make_data()
    if METHODS.find(method).trains_on == "nothing":
        data = replace(
            data, source_features=data.source_features[:0], source_labels=data.source_labels[:0]
        )
    trainer = make_trainer(method, name, data=data)
    before = copy.deepcopy(trainer.model.state_dict())
    record = trainer.run_epoch()
    assert all(torch.tensor(loss).isfinite() for loss in record.losses.values())
    moved = trainer.model.state_dict()
    of_encoder = [key for key, _ in trainer.model.encoder.named_parameters(prefix="encoder")]
    learned = [key for key in of_encoder if "discriminator" not in key and "judge" not in key]
    assert all(not torch.equal(moved[key], before[key]) for key in learned if key.endswith("t"))


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_equal_to_the_bit(make_trainer: MakeTrainer, name: str) -> None:
    whole, half, rest = (make_trainer(adversary_of(name), name) for _ in range(3))
    for _ in range(3):
        whole.run_epoch()
    half.run_epoch()
    file = io.BytesIO()
    torch.save(half.state_dict(), file)
    file.seek(0)
    rest.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(2):
        rest.run_epoch()
    ours, theirs = whole.state_dict()["model"], rest.state_dict()["model"]
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert whole.history == rest.history


@pytest.mark.parametrize("name", NAMES)
def test_a_stacked_seed_is_its_single_run(make_trainer: MakeTrainer, name: str) -> None:
    for method in ("dan", adversary_of(name)):
        stacked, alone = (
            [in_double(make_trainer(method, name, seed=seed)) for seed in (0, 4)] for _ in range(2)
        )
        stack = StackedTrainer(stacked)
        for _ in range(2):
            stack.run_epoch()
        for member, single in zip(stacked, alone, strict=True):
            for _ in range(2):
                single.run_epoch()
            theirs = single.state_dict()["model"]
            for key, value in member.state_dict()["model"].items():
                torch.testing.assert_close(value, theirs[key], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_its_weights_are_decided_by_the_seed_alone(make_trainer: MakeTrainer, name: str) -> None:
    def weights(seed: int) -> dict[str, Any]:
        return dict(make_trainer("source-only", name, seed=seed).model.state_dict())

    first = weights(1)
    torch.rand(7)
    again, other = weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = [key for key in first if key.startswith("encoder") and key.endswith("weight")]
    scales = [key for key in drawn if first[key].ndim == 1]
    assert all(not torch.equal(first[key], other[key]) for key in drawn if key not in scales)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("num_segments", [2, 5, 25])
@pytest.mark.parametrize("name", NAMES)
def test_it_takes_any_number_of_frames_and_odd_widths(
    name: str, num_segments: int, dtype: torch.dtype
) -> None:
    encoder = ENCODERS.find(name)
    spec = ModelSpec(
        num_classes=3,
        feature_dim=11,
        num_segments=num_segments,
        hidden_dim=13,
        relation_dim=7,
        temporal=name,
        attention="domain" if encoder.has_parts else "none",
    )
    model = TA3N(spec, torch.Generator().manual_seed(0)).to(dtype)
    output = model(torch.rand(4, num_segments, 11, dtype=dtype), ONE, levels=("frame", "video"))
    assert output.logits.shape == (4, 3)
    assert output.logits.dtype == dtype
    assert output.video_features.shape == (4, spec.video_dim)
    assert (output.parts is not None) == encoder.has_parts
    output.logits.square().sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    if output.parts is not None:
        assert output.attention is not None
        assert output.attention.shape == output.parts.shape[:2]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_laid_out_without_memory_on_the_meta_device(name: str) -> None:
    spec = ModelSpec(num_classes=3, feature_dim=5, temporal=name)
    with torch.device("meta"):
        model = TA3N(spec, torch.Generator(device="cpu"))
    assert all(value.is_meta for value in model.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_hashed_by_what_it_reads_alone(make_trainer: MakeTrainer, name: str) -> None:
    settings = make_trainer("source-only", name).settings
    wider = replace(settings, recipe=replace(settings.recipe, relation_dim=99))
    encoder = ENCODERS.find(name)
    is_read = (
        model_spec(settings.method, wider.recipe, num_classes=3, feature_dim=5).video_dim == 99
    )
    assert ("relation_dim" in encoder.reads) == is_read
    changed = settings.as_usual().identity() != wider.as_usual().identity()
    assert changed == is_read
    assert ("beta_encoder" in settings.weights) == encoder.reverses


def test_they_are_listed_without_torch() -> None:
    code = (
        "import sys\nfrom ta3n.train.methods.registry import describe_methods\n"
        "print(describe_methods())\nassert 'torch' not in sys.modules"
    )
    listed = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert all(f"  {name} " in listed for name in NAMES)


def test_a_reversal_inside_an_encoder_is_a_weight_of_runs_that_have_it() -> None:
    assert OFFICIAL.ramp == "epoch"
    with_it, without = method_for("dan", "transferattn"), method_for("dan", "transformer")
    assert with_it.weights["beta_encoder"].default < 0
    assert with_it.weights["beta_encoder"].ramps
    assert without.weights.keys() == {"alpha"}
