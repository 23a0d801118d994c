"""Label smoothing: the classification and the term together are the published smoothed loss."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ta3n.train.loop.batches import Batch
from ta3n.train.loop.objective import Step, compute_losses, step_features
from ta3n.train.methods.label_smoothing import smoothing, smoothing_of_others
from ta3n.train.model.prediction import NO_REVERSAL

from ...support.extremes import SATURATED, check_finite, check_stacks
from ...support.method_runs import MakeTrainer, check_precision, check_stacked, check_trains
from ...support.objectives import cases, check, wave

LABELS = torch.tensor([0, 3, 1])


def smoothed(added: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return the whole loss with epsilon 0.1; class weights are read and have no effect."""

    def loss(logits: Tensor, labels: Tensor, **_unused: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels) + 0.1 * added(logits, labels)

    return loss


@pytest.mark.parametrize("program", ["shot", "torch", "comix-size-average", "atdoc-weighted"])
def test_value_and_gradient_are_published(shared: Path, program: str) -> None:
    check(cases(shared)[f"label-smoothing/{program}/0.1"], smoothed(smoothing))


def test_targets_of_another_program_sum_to_less_than_one(shared: Path) -> None:
    check(cases(shared)["label-smoothing/tllib/0.1"], smoothed(smoothing_of_others))


@pytest.mark.parametrize("objective", [smoothing, smoothing_of_others])
def test_saturated_logits_and_a_single_video_are_finite(
    objective: Callable[[Tensor, Tensor], Tensor],
) -> None:
    for logits in (SATURATED, 1e4 * SATURATED, SATURATED[:1]):
        check_finite(lambda x: objective(x, LABELS[: len(x)]), logits)
    check_stacks(lambda x: objective(x, LABELS), wave([3, 5], 2, 2.5).float())


def test_the_total_of_a_step_is_the_smoothed_loss(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("label-smoothing")
    method, data = trainer.objective.method, trainer.data
    batch = Batch(source_features=data.source_features, source_labels=data.source_labels)
    output = trainer.model(step_features(batch, method), NO_REVERSAL, num_source=data.num_source)
    step = Step(
        model=trainer.model,
        batch=batch,
        method=method,
        recipe=trainer.objective.recipe,
        output=output,
        weights=trainer.weights(0, 1),
    )
    expected = F.cross_entropy(output.logits, batch.source_labels, label_smoothing=0.1)
    assert compute_losses(step)["total"].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("method", ["label-smoothing", "label-smoothing-others"])
def test_it_trains_alone_and_stacked(make_trainer: MakeTrainer, method: str) -> None:
    check_trains(make_trainer, method)
    check_stacked(make_trainer, method)
    check_precision(make_trainer, method)
