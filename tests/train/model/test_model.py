"""The model's switches, its start, and that several seeds can be stacked into one program."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from ta3n.common.errors import UsageError
from ta3n.train.encoders.registry import Encoder, register_encoder
from ta3n.train.layers.dropout import DropoutMasks, draw_masks
from ta3n.train.layers.normalisation import Domains
from ta3n.train.layers.reversal import Coefficients
from ta3n.train.layers.temporal import EncoderModule, TemRelation
from ta3n.train.loop.batches import Batch
from ta3n.train.loop.objective import Objective, Weights, run_update
from ta3n.train.methods.base import LEVELS, Level
from ta3n.train.methods.registry import method_for
from ta3n.train.model.model import TA3N, ModelSpec
from ta3n.train.recipe.recipes import OFFICIAL

from ...support.plugins import forgotten_afterwards

SPEC = ModelSpec(
    num_classes=4, feature_dim=6, hidden_dim=8, relation_dim=7, dropout=0.5, attention="domain"
)
HALF = Coefficients(relation=0.5, video=0.5, frame=0.5)


def make_model(spec: ModelSpec = SPEC, seed: int = 0) -> TA3N:
    return TA3N(spec, torch.Generator().manual_seed(seed))


def make_masks(seed: int, num_videos: int = 5) -> DropoutMasks:
    masks = draw_masks(
        torch.Generator().manual_seed(seed),
        frame_shape=(num_videos, SPEC.num_segments, SPEC.hidden_dim),
        video_dim=SPEC.video_dim,
        probability=SPEC.dropout,
        dtype=torch.float64,
    )
    assert masks is not None
    return masks


@pytest.mark.parametrize("num_segments", [2, 5, 64])
@pytest.mark.parametrize("num_videos", [1, 3])
def test_shapes_of_all_outputs(num_segments: int, num_videos: int) -> None:
    model = make_model(replace(SPEC, num_segments=num_segments))
    features = torch.rand(num_videos, num_segments, 6)
    output = model(features, HALF, levels=("frame", "relation", "video"))
    assert output.logits.shape == (num_videos, 4)
    assert output.video_features.shape == (num_videos, 7)
    assert output.domain_logits["frame"].shape == (num_videos, num_segments, 2)
    assert output.domain_logits["relation"].shape == (num_videos, num_segments - 1, 2)
    assert output.domain_logits["video"].shape == (num_videos, 2)
    assert output.attention is not None
    assert output.attention.shape == (num_videos, num_segments - 1)


@pytest.mark.parametrize(
    ("attention", "asked", "evaluated"),
    [
        ("none", (), ()),
        ("none", ("frame", "video"), ("video", "frame")),
        ("domain", (), ("relation",)),
        ("domain", ("video",), ("relation", "video")),
    ],
)
def test_only_needed_discriminators_are_evaluated(
    attention: Any, asked: tuple[Level, ...], evaluated: tuple[Level, ...]
) -> None:
    model = make_model(replace(SPEC, attention=attention))
    output = model(torch.rand(2, 5, 6), HALF, levels=asked)
    assert output.levels == evaluated
    assert (output.attention is None) == (attention == "none")


def test_attention_lets_gradients_through() -> None:
    model = make_model()
    model(torch.rand(2, 5, 6), HALF).logits.sum().backward()
    encoder = model.encoder
    assert isinstance(encoder, TemRelation)
    for relation in encoder.relations():
        assert relation.discriminator.output.weight.grad is not None


def test_same_seed_same_weights_whatever_the_global_generator() -> None:
    torch.manual_seed(1)
    first = make_model().state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = make_model().state_dict()
    assert torch.equal(torch.get_rng_state(), before), "building a model used the global generator"
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = make_model(seed=1).state_dict()
    assert not torch.equal(first["frame_fc.weight"], other["frame_fc.weight"])


class Mixed(EncoderModule):
    """Layers that draw their weights from the global generator, as most do."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.convolution = nn.Conv1d(width, width, 1)
        self.places = nn.Parameter(torch.randn(5, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, domains: Domains) -> Tensor:  # noqa: ARG002
        tokens = frames + self.places
        seen: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return seen.mean(dim=1)


def mixed(dropout: float = 0.0) -> ModelSpec:
    register_encoder(
        Encoder(
            name="mixed",
            label="Mixed",
            source="a test",
            build=lambda spec: Mixed(spec.hidden_dim, dropout),
        )
    )
    return ModelSpec(num_classes=4, feature_dim=6, hidden_dim=8, temporal="mixed")


def test_the_seed_alone_decides_the_weights_of_any_kind_of_layer() -> None:
    with forgotten_afterwards():
        spec = mixed()
        torch.manual_seed(1)
        first = make_model(spec).state_dict()
        torch.manual_seed(2)
        before = torch.get_rng_state()
        second = make_model(spec).state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        assert "encoder.attention.in_proj_weight" in first
        assert all(torch.equal(first[name], second[name]) for name in first)
        other = make_model(spec, seed=1).state_dict()
        drawn = {name for name in first if not torch.equal(first[name], other[name])}
        assert {"encoder.attention.in_proj_weight", "encoder.places"} <= drawn
        assert {"encoder.convolution.weight", "encoder.convolution.bias"} <= drawn
        # No layer has the numbers of another: the first 30 of both are not proportional.
        ours, theirs = (first[n].flatten()[:30] for n in ("encoder.places", "frame_fc.weight"))
        assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1].abs() < 0.5


def test_layers_that_draw_while_training_are_refused() -> None:
    with forgotten_afterwards(), pytest.raises(UsageError, match=r"encoder\.dropout"):
        make_model(mixed(dropout=0.5))


def test_weights_start_as_the_recipe_says() -> None:
    spec = ModelSpec(num_classes=12, feature_dim=64, hidden_dim=128, relation_dim=128)
    for name, value in make_model(spec).state_dict().items():
        if name.startswith("encoder."):
            fan_in = make_model(spec).get_submodule(name.rpartition(".")[0]).in_features
            bound = cast(int, fan_in) ** -0.5
            assert value.abs().max() <= bound, name
            if value.numel() > 100:
                assert value.std().item() == pytest.approx(bound / 3**0.5, rel=0.15), name
        elif name.endswith("bias"):
            assert not value.any(), name
        else:
            assert value.std().item() == pytest.approx(0.001, rel=0.15), name


def test_methods_of_one_seed_start_from_the_same_weights() -> None:
    attentive, plain = make_model(), make_model(replace(SPEC, attention="none"))
    ours, theirs = attentive.state_dict(), plain.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_dropout_masks_scale_what_they_keep() -> None:
    masks = make_masks(0, num_videos=200)
    assert set(masks.frame.flatten().tolist()) == {0.0, 2.0}
    assert masks.frame.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(masks.video, make_masks(0, num_videos=200).video)
    assert not torch.equal(masks.video, make_masks(1, num_videos=200).video)


def test_dropout_reaches_classifier_and_discriminators_but_not_the_video_features() -> None:
    model = make_model().double()
    features = torch.rand(5, 5, 6, dtype=torch.float64)
    levels: tuple[Level, ...] = ("frame", "video")
    plain = model(features, HALF, levels=levels)
    ones = torch.ones_like(make_masks(0).frame)
    late = model(features, HALF, masks=replace(make_masks(0), frame=ones), levels=levels)
    assert torch.equal(plain.video_features, late.video_features)
    assert torch.equal(plain.domain_logits["frame"], late.domain_logits["frame"])
    assert not torch.equal(plain.logits, late.logits)
    assert not torch.equal(plain.domain_logits["video"], late.domain_logits["video"])
    early = model(features, HALF, masks=make_masks(0), levels=levels)
    assert not torch.equal(plain.domain_logits["frame"], early.domain_logits["frame"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"num_segments": 1}, "num_segments"),
        ({"num_segments": 65}, "num_segments"),
        ({"num_classes": 0}, "num_classes"),
        ({"dropout": 1.0}, "dropout"),
        ({"temporal": "pooling"}, "attention"),
    ],
)
def test_impossible_models_are_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        replace(SPEC, **change)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-13)


class Losses(nn.Module):
    """All losses of a step, from the weights of one member."""

    def __init__(self, model: TA3N) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, features: Tensor, labels: Tensor, beta: Tensor, masks: DropoutMasks
    ) -> dict[str, Tensor]:
        objective = Objective(method=method_for("ta3n", "relation"), recipe=OFFICIAL)
        weights: Weights = {**{f"beta_{level}": beta for level in LEVELS}, "gamma": 0.3}
        batch = Batch(
            source_features=features[:3], source_labels=labels, target_features=features[3:]
        )
        return run_update(self.model, batch, masks, objective=objective, weights=weights).losses


def test_two_stacked_members_equal_the_single_ones() -> None:
    """Weights, masks and coefficients of two seeds run, with gradients, as one program."""
    members = [Losses(make_model(seed=seed).double()) for seed in (3, 4)]
    features = torch.rand(2, 5, 5, 6, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1])
    betas = torch.tensor([0.75, 0.25], dtype=torch.float64)
    masks = [make_masks(seed) for seed in (5, 6)]

    def losses(
        weights: Mapping[str, Tensor], features: Tensor, beta: Tensor, frame: Tensor, video: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        args = (features, labels, beta, DropoutMasks(frame=frame, video=video))
        terms = functional_call(members[0], dict(weights), args)
        return terms["total"], terms

    step = grad_and_value(losses, has_aux=True)
    weights, _ = stack_module_state(cast(list[Any], members))
    frame_masks = torch.stack([m.frame for m in masks])
    video_masks = torch.stack([m.video for m in masks])
    stacked = vmap(step)(weights, features, betas, frame_masks, video_masks)
    for index, member in enumerate(members):
        gradients, (total, terms) = step(
            dict(member.named_parameters()),
            features[index],
            betas[index],
            masks[index].frame,
            masks[index].video,
        )
        stacked_gradients, (stacked_total, stacked_terms) = stacked
        close(stacked_total[index], total)
        for name in terms:
            close(stacked_terms[name][index], terms[name])
        for name in gradients:
            close(stacked_gradients[name][index], gradients[name])
