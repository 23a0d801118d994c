"""If this breaks, a run records no scores, or scores by which no epoch can be chosen."""

import subprocess
import sys
from dataclasses import fields, replace
from math import isfinite

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ta3n.train.validators.rules import RULES, ValidatorInputs, score_by_rule

NAMES = ["source_val", "entropy", "im", "snd", "bnm", "dev", "corr_c"]
FROM_PREDICTIONS = ["entropy", "im", "snd", "bnm", "corr_c"]


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(
    n: int = 12, s: int = 14, m: int = 9, *, c: int = 3, e: int = 6, scale: float = 2.0
) -> ValidatorInputs:
    return ValidatorInputs(
        target_logits=draw(n, c, seed=1, scale=scale),
        target_features=draw(n, e, seed=2),
        source_features=draw(s, e, seed=3),
        held_out_logits=draw(m, c, seed=4, scale=scale),
        held_out_features=draw(m, e, seed=5),
        held_out_labels=torch.arange(m) % c,
    )


def score(inputs: ValidatorInputs) -> dict[str, float]:
    """Return what the rules come to, withheld or not."""
    return {rule: each.value for rule, each in score_by_rule(inputs).items()}


def test_all_rules_are_scored_in_their_order() -> None:
    scores = score(make())
    assert list(scores) == NAMES == [rule.name for rule in RULES]
    assert all(type(value) is float and isfinite(value) for value in scores.values())


def test_every_rule_is_described_in_a_line() -> None:
    for rule in RULES:
        assert rule.description
        assert rule.citation
        assert "\n" not in rule.description + rule.citation
        assert set(rule.fewest) <= set(rule.inputs) <= {field.name for field in fields(make())}


def test_what_rules_are_called_needs_no_torch() -> None:
    """Tables and the command line's help read it."""
    program = "import sys, ta3n.train.validators.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd="/").returncode == 0


def test_nothing_random_happens() -> None:
    """Scoring must neither vary nor shift the random numbers of the training that goes on."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = score(make()), score(make())
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


def test_inputs_are_left_as_they_are_and_may_need_gradients() -> None:
    inputs = make()
    kept = {f.name: getattr(inputs, f.name).clone() for f in fields(inputs)}
    tracked = replace(inputs, target_features=kept["target_features"].clone().requires_grad_())
    assert score(tracked) == score(inputs)
    assert all(torch.equal(value, getattr(inputs, name)) for name, value in kept.items())


def test_there_is_no_place_for_target_labels() -> None:
    names = {field.name for field in fields(ValidatorInputs)}
    assert {name for name in names if "label" in name} == {"held_out_labels"}


def test_predictions_alone_give_the_rules_that_need_no_more() -> None:
    assert list(score(ValidatorInputs(target_logits=draw(4, 3)))) == FROM_PREDICTIONS


def test_held_out_predictions_without_features_give_no_dev() -> None:
    inputs = replace(make(), held_out_features=None)
    assert list(score(inputs)) == ["source_val", *FROM_PREDICTIONS]


@pytest.mark.parametrize(("n", "s", "m"), [(4, 14, 9), (12, 4, 9), (12, 14, 1)])
def test_too_few_videos_give_no_dev(n: int, s: int, m: int) -> None:
    assert list(score(make(n, s, m))) == ["source_val", *FROM_PREDICTIONS]


@pytest.mark.parametrize(("n", "s", "m"), [(5, 5, 2), (600, 5, 2), (5, 600, 2)])
def test_just_enough_videos_give_every_rule(n: int, s: int, m: int) -> None:
    assert list(score(make(n, s, m))) == NAMES


def test_no_held_out_video_gives_no_score_of_them() -> None:
    assert list(score(make(m=0))) == FROM_PREDICTIONS


def test_a_diverged_model_has_no_scores() -> None:
    broken = torch.full((12, 3), torch.nan)
    assert list(score(replace(make(), target_logits=broken))) == ["source_val", "dev"]
    lost = replace(make(), target_features=torch.full((12, 6), torch.inf))
    assert "dev" not in score(lost)
    assert list(score(replace(make(), held_out_logits=broken[:9]))) == FROM_PREDICTIONS


SIZES = st.integers(1, 9)
LOGITS = st.sampled_from([-1000.0, -30.0, 0.0, 1e-8, 1.0, 30.0, 1000.0])
FEATURES = st.sampled_from([-1e30, -1e4, 0.0, 1e-30, 1.0, 1e4, 1e30])


@st.composite
def extreme_inputs(draw_from: st.DrawFn) -> ValidatorInputs:
    """Few videos, fewer than classes too, with logits and features of any size."""
    n, s, m, c, e = (draw_from(SIZES) for _ in range(5))

    def matrix(rows: int, columns: int, values: st.SearchStrategy[float]) -> Tensor:
        cells = st.lists(values, min_size=rows * columns, max_size=rows * columns)
        return torch.tensor(draw_from(cells)).reshape(rows, columns)

    return ValidatorInputs(
        target_logits=matrix(n, c, LOGITS),
        target_features=matrix(n, e, FEATURES),
        source_features=matrix(s, e, FEATURES),
        held_out_logits=matrix(m, c, LOGITS),
        held_out_features=matrix(m, e, FEATURES),
        held_out_labels=torch.arange(m) % c,
    )


@settings(max_examples=60, deadline=None)
@given(extreme_inputs())
def test_scores_are_finite_whatever_the_outputs(inputs: ValidatorInputs) -> None:
    scores = score(inputs)
    assert all(isfinite(value) for value in scores.values())
    assert set(scores) >= {"source_val", *FROM_PREDICTIONS}


@pytest.mark.parametrize("n", [1, 7])
def test_one_class_predicted_with_huge_logits(n: int) -> None:
    logits = torch.tensor([1000.0, -1000.0, 0.0]).repeat(n, 1)
    scores = score(ValidatorInputs(target_logits=logits))
    assert list(scores) == FROM_PREDICTIONS
    assert scores["entropy"] == scores["im"] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_serve(dtype: torch.dtype) -> None:
    inputs = make()
    tensors = {f.name: getattr(inputs, f.name) for f in fields(inputs)}
    labels = tensors.pop("held_out_labels")
    cast = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    scores = score(ValidatorInputs(**cast, held_out_labels=labels))
    assert scores == pytest.approx(score(inputs), rel=0.1, abs=0.1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_does_not_decide_the_scores() -> None:
    inputs = make(200, 300, 100, e=256)
    moved = ValidatorInputs(**{f.name: getattr(inputs, f.name).cuda() for f in fields(inputs)})
    assert score(moved) == pytest.approx(score(inputs), abs=1e-3)
    assert score(moved) == score(moved)
