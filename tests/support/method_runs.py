"""What every method must hold beside its formula: stacked, resumed, in float32, and learning."""

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import Any

import pytest
import torch

from ta3n.train.loop.batches import Batch
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.objective import run_update
from ta3n.train.loop.stacked import StackedTrainer

MakeTrainer = Callable[..., Trainer]


def check_stacked(make_trainer: MakeTrainer, method: str) -> None:
    """Train two seeds as one program and each alone: weights and states agree to rounding.

    In float64, since updates enlarge what one order of sums rounds otherwise than another, and
    the order is the processor's.
    """

    def make(seed: int) -> Trainer:
        single = make_trainer(method, seed=seed, epochs=2)
        return Trainer(single.settings, single.data, dtype=torch.float64)

    members, singles = ([make(seed) for seed in (0, 1)] for _ in range(2))
    assert len(list(StackedTrainer(members).epochs())) == 2
    for member, single in zip(members, singles, strict=True):
        for record, own in zip(member.history, single.epochs(), strict=True):
            assert record.losses == pytest.approx(own.losses, rel=1e-9, abs=1e-11)
        ours, theirs = member.model.state_dict(), single.model.state_dict()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-9, atol=1e-11)


def check_resumed(make_trainer: MakeTrainer, method: str) -> None:
    """Stop after an epoch and go on in another trainer: equal to the bit."""
    whole, first, second = (make_trainer(method, epochs=3) for _ in range(3))
    list(whole.epochs())
    first.run_epoch()
    second.load_state_dict(first.state_dict())
    list(second.epochs())
    ours, theirs = second.model.state_dict(), whole.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def check_trains(make_trainer: MakeTrainer, method: str, **recipe: Any) -> Trainer:
    """Train to the end: every loss is finite, and the classes of the source are learned."""
    trainer = make_trainer(method, epochs=30, **recipe)
    records = list(trainer.epochs())
    assert all(isfinite(value) for record in records for value in record.losses.values())
    assert records[-1].losses["classification"] < records[0].losses["classification"]
    return trainer


def whole_batch(trainer: Trainer) -> Batch:
    """Return all training videos of a trainer as one batch."""
    data = trainer.data
    return Batch(
        source_features=data.source_features,
        source_labels=data.source_labels,
        target_features=data.target_features,
        source_indices=torch.arange(data.num_source),
        target_indices=torch.arange(data.num_target),
    )


def check_precision(make_trainer: MakeTrainer, method: str) -> None:
    """Measure all losses of a step in float32 and in float64: they agree to float32's digits."""
    trainer = make_trainer(method)
    trainer.run_epoch()
    batch = whole_batch(trainer)
    assert batch.target_features is not None
    weights = trainer.weights(0, 1)

    def losses(of: Batch) -> dict[str, Any]:
        run = run_update(trainer.model, of, None, objective=trainer.objective, weights=weights)
        return {name: float(loss.detach()) for name, loss in run.losses.items()}

    single = losses(batch)
    trainer.model.double()
    double = losses(
        replace(
            batch,
            source_features=batch.source_features.double(),
            target_features=batch.target_features.double(),
        )
    )
    assert single == pytest.approx(double, rel=1e-4, abs=1e-5)
