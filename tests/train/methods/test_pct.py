"""PCT is that of its authors, and finite where a video or a prototype has no direction."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.pct import next_prior, transport_cost

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, check_value, wave

MakeTrainer = Callable[..., Trainer]


@pytest.mark.parametrize(("rate", "share"), [(0.0, 0.5), (0.1, 0.5), (0.0, 1.0), (0.0, 0.0)])
def test_it_is_the_authors(shared: Path, rate: float, share: float) -> None:
    case = cases(shared)[f"prototype/pct/beta{rate}/s{share}"]

    def loss(prototypes: Tensor, features: Tensor) -> Tensor:
        start = torch.full((5,), 0.2, dtype=torch.float64)
        prior = next_prior(start, prototypes, features, rate)
        check_value(prior, case["outputs"]["proportions"])
        return transport_cost(prototypes, features, prior, share)

    check(case, loss)


@pytest.mark.parametrize("features", [torch.zeros(1, 8), torch.ones(3, 8), 1e4 * torch.ones(2, 8)])
def test_what_has_no_direction_or_is_far_away_is_finite(features: Tensor) -> None:
    features = features.clone().requires_grad_()
    prototypes = wave((5, 8), 71, 0.5).float().requires_grad_()
    prior = torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0])
    value = transport_cost(prototypes, features, prior)
    gradients = torch.autograd.grad(value, [features, prototypes])
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert next_prior(prior, prototypes, features).sum() == pytest.approx(1)


def test_a_video_on_its_prototype_costs_nothing() -> None:
    eye = 100 * torch.eye(3, dtype=torch.float64)
    value = transport_cost(eye, eye, torch.full((3,), 1 / 3, dtype=torch.float64))
    assert float(value) == pytest.approx(0, abs=1e-12)


def test_it_is_stacked_resumed_and_learns(make_trainer: MakeTrainer) -> None:
    check_stacked(make_trainer, "pct")
    check_resumed(make_trainer, "pct")
    check_precision(make_trainer, "pct")
    check_trains(make_trainer, "pct")


def test_one_video_a_step_is_enough_and_the_prior_moves(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("pct", source_batch=1)
    record = trainer.run_epoch()
    assert all(value == value for value in record.losses.values())
    prior = trainer.model.state_of("prototype_transport")["prior"]
    assert float(prior.sum()) == pytest.approx(1)
    assert not torch.equal(prior, torch.full_like(prior, 1 / 3))
