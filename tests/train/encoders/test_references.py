"""Blocks of the temporal modules against published references and PyTorch's own layers."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ta3n.train.encoders import tcn
from ta3n.train.encoders.gru import run_gru
from ta3n.train.encoders.transferattn import domain_attention, quick_gelu
from ta3n.train.encoders.transformer import block, dot_products, run_block, stack
from ta3n.train.layers.normalisation import Domains
from ta3n.train.layers.temporal import EncoderModule, Layers
from ta3n.train.model.model import TA3N, ModelSpec

from ...support.objectives import (
    FLOOR,
    GRADIENT_RTOL,
    Case,
    cases,
    check_gradients,
    check_value,
    inputs_of,
    wave,
)


def made(name: str, *, num_segments: int, hidden_dim: int, relation_dim: int = 1) -> EncoderModule:
    """Return a temporal module with weights drawn, in double precision."""
    spec = ModelSpec(
        num_classes=2,
        feature_dim=3,
        temporal=name,
        num_segments=num_segments,
        hidden_dim=hidden_dim,
        relation_dim=relation_dim,
    )
    return TA3N(spec, torch.Generator().manual_seed(0)).double().encoder


def table_of(case: Case) -> dict[str, Tensor]:
    """Return the weights of a case by the reference's names."""
    made = {}
    for k, name, shape, kind in case["parameters"]["table"]:
        scale = shape[-1] ** -0.5 if kind == "weight" else 0.05
        made[name] = wave(shape, k, scale) + (1 if kind.startswith("norm") else 0)
    return made


def spread(table: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield weights, with what stacks query, key and value cut into three."""
    for name, value in table.items():
        prefix, in_proj, kind = name.partition("in_proj_")
        if in_proj:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                yield f"{prefix}{part}.{kind}", third
        else:
            yield name, value


def load(module: nn.Module, table: dict[str, Tensor], names: dict[str, str]) -> None:
    """Give a module the weights of a reference, whose parts have other names."""
    state = {}
    for name, value in spread(table):
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        state[name] = value
    module.double().load_state_dict(state)


def check_norms(case: Case, value: Tensor, module: nn.Module, names: dict[str, str]) -> None:
    """Hold the norms of the gradients of a module's weights against a case."""
    for theirs, expected in case["parameter_gradient_norms"].items():
        ((first, _), *more) = spread({theirs: torch.empty(3)})
        parts = []
        for name in (first, *(name for name, _ in more)):
            for one, other in names.items():
                name = name.replace(one, other)
            parts.append(module.get_parameter(name))
        found = torch.autograd.grad(value, parts, retain_graph=True)
        norm = torch.cat([grad.flatten() for grad in found]).norm()
        assert abs(float(norm) - expected) <= GRADIENT_RTOL * expected + FLOOR, theirs


BLOCK = {
    "self_attn.out_proj": "output",
    "self_attn.": "",
    "linear1": "expand",
    "linear2": "contract",
    "norm1": "attention_norm",
    "norm2": "forward_norm",
    "layers.": "blocks.",
}


def transformer_of(case: Case) -> nn.ModuleDict:
    """Return the layers of a transformer with the weights of a case, half as wide inside."""
    layers = stack(16, 2)
    blocks: Layers = layers["blocks"]
    for one in blocks:
        one["expand"], one["contract"] = nn.Linear(16, 32), nn.Linear(32, 16)
    load(layers, table_of(case), BLOCK)
    return layers


@pytest.mark.parametrize("activation", ["relu", "gelu/padding"])
def test_the_transformer_is_the_published_one(shared: Path, activation: str) -> None:
    weights = cases(shared)["transformer/pre-norm/relu"]
    case = cases(shared)[f"transformer/pre-norm/{activation}"]
    layers, inputs = transformer_of(weights), inputs_of(case)
    valid = torch.ones(10, 5, dtype=torch.bool)
    if "padding" in activation:
        valid[::2, 3:] = False

    def of_valid(query: Tensor, key: Tensor) -> Tensor:
        scores: Tensor = query @ key.mT / query.shape[-1] ** 0.5
        return scores.masked_fill(~valid[:, None, None], -torch.inf).softmax(dim=-1)

    tokens = inputs["x"] + wave((5, 16), 499, 0.05)
    blocks: Layers = layers["blocks"]
    for one in blocks:
        tokens = run_block(
            one,
            tokens,
            num_heads=4,
            activation=F.relu if activation == "relu" else F.gelu,
            attention=dot_products if valid.all() else of_valid,
        )
    encoded = layers["norm"](tokens)
    pooled = (encoded * valid[:, :, None]).sum(dim=1) / valid.sum(dim=1, keepdim=True)
    check_value(pooled, case["outputs"]["pooled"])
    value = (pooled * wave((10, 16), 9, 1.0)).sum()
    check_value(value, case["outputs"]["value"])
    if activation == "relu":
        check_value(encoded[0], case["outputs"]["output_item0"])
        check_norms(case, value, layers, BLOCK)
    check_gradients(case, value, inputs)


TRANSFERATTN = {
    "attn.out_proj": "output",
    "attn.": "",
    "attn2.ad_net.classifer": "judge",
    "attn2.out": "output",
    "attn2.": "",
    "mlp.c_fc": "expand",
    "mlp.c_proj": "contract",
    "ln_1": "attention_norm",
    "ln_2": "forward_norm",
}


@pytest.mark.parametrize("kind", ["plain-block", "dtab-block"])
def test_the_blocks_of_transferattn_are_the_published_ones(shared: Path, kind: str) -> None:
    case = cases(shared)[f"transferattn/{kind}"]
    layers, inputs = block(8), inputs_of(case)
    run = partial(run_block, num_heads=2, activation=quick_gelu)
    if kind == "dtab-block":
        hidden = (nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 7), nn.ReLU(), nn.Linear(7, 1))
        layers["judge"] = nn.Sequential(*hidden)
        coefficient = case["parameters"]["reversal_coefficient"]
        run = partial(run, attention=domain_attention(layers["judge"], coefficient))
    load(layers, table_of(case), TRANSFERATTN)
    output = run(layers, inputs["x"].transpose(0, 1)).transpose(0, 1)  # [K, B, H] as there
    check_value(output[:, 0], case["outputs"]["output_first_item"])
    value = (output * wave((5, 4, 8), 9, 1.0)).sum()
    check_value(value, case["outputs"]["value"])
    check_norms(case, value, layers, TRANSFERATTN)
    check_gradients(case, value, inputs)


def test_the_attention_of_transferattn_reverses_twice_for_queries_and_once_for_the_judge() -> None:
    judge = nn.Linear(4, 1).double()
    query, key = torch.randn(2, 3, 2, 5, 4, dtype=torch.float64).requires_grad_()

    def gradients(coefficient: float) -> list[Tensor]:
        weighed = domain_attention(judge, coefficient)(query, key)
        assert torch.allclose(weighed.sum(dim=-1), torch.ones((), dtype=torch.float64))
        value = (weighed * torch.arange(5)).square().sum()
        return list(torch.autograd.grad(value, [query, key, judge.weight]))

    plain = gradients(-1.0)
    for ours, theirs, factor in zip(gradients(0.5), plain, (0.25, 0.25, -0.5), strict=True):
        torch.testing.assert_close(ours, factor * theirs)
    assert all(not grad.any() for grad in gradients(0.0))


def test_the_gru_is_that_of_pytorch_both_ways() -> None:
    encoder = made("gru", num_segments=6, hidden_dim=5, relation_dim=3)
    reference = nn.GRU(5, 3, batch_first=True, bidirectional=True).double()
    state = {}
    for direction, suffix in (("ahead", ""), ("back", "_reverse")):
        for ours, theirs in (("input", "ih"), ("state", "hh")):
            for kind in ("weight", "bias"):
                value = encoder.get_parameter(f"layers.{direction}.{ours}.{kind}")
                state[f"{kind}_{theirs}_l0{suffix}"] = value.detach()
    reference.load_state_dict(state)
    frames = torch.randn(4, 6, 5, dtype=torch.float64)
    expected, _ = reference(frames)  # [B, K, 2 R]
    layers = encoder.get_submodule("layers.ahead")
    assert isinstance(layers, nn.ModuleDict)
    ahead = torch.stack(run_gru(layers, list(frames.unbind(dim=1))), dim=1)
    torch.testing.assert_close(ahead, expected[..., :3], rtol=1e-12, atol=1e-14)


def test_a_level_of_the_tcn_is_a_dilated_convolution() -> None:
    assert tcn.dilations(2) == (1,)
    assert tcn.dilations(5) == (1, 3)
    assert tcn.dilations(25) == (1, 3, 7, 15)
    linear = nn.Linear(12, 6).double()
    frames = torch.randn(3, 7, 4, dtype=torch.float64)
    weight = linear.weight.reshape(6, 3, 4).mT  # [R', H, taps]
    expected = F.conv1d(frames.mT, weight, linear.bias, padding=3, dilation=3).mT
    torch.testing.assert_close(tcn.convolve(linear, frames, 3), expected)


def test_every_level_of_the_tcn_has_a_discriminator_of_its_own() -> None:
    encoder = made("tcn", num_segments=9, hidden_dim=5, relation_dim=3)
    parts = torch.randn(2, 2, 3, dtype=torch.float64)
    logits = encoder.domain_logits(parts, 1.0)
    second = encoder.get_submodule("layers.discriminators.1")(parts[:, 1], 1.0)
    assert torch.equal(logits[:, 1], second)
    assert not torch.allclose(encoder.domain_logits(parts.flip(1), 1.0), logits.flip(1))


@pytest.mark.parametrize("name", ["transformer", "tcn", "gru", "position-minus-static"])
def test_the_order_of_the_frames_matters(name: str) -> None:
    encoder = made(name, num_segments=5, hidden_dim=8, relation_dim=6)
    frames = torch.rand(2, 5, 8, dtype=torch.float64)
    turned = encoder(frames[:, [3, 1, 4, 0, 2]], Domains(0))
    assert not torch.allclose(turned, encoder(frames, Domains(0)), rtol=1e-3)


def test_without_positions_nothing_is_left_beside_the_static_stream() -> None:
    encoder = made("position-minus-static", num_segments=5, hidden_dim=8)
    state = encoder.state_dict()
    same = {name: state[name.replace("ordered", "static")] for name in state}
    encoder.load_state_dict(same)
    frames = torch.rand(2, 5, 8, dtype=torch.float64)
    assert encoder(frames, Domains(0)).norm() > 1e-6
    encoder.load_state_dict({**same, "layers.places.weight": torch.zeros(5, 8)})
    torch.testing.assert_close(encoder(frames, Domains(0)), torch.zeros(2, 8).double())
