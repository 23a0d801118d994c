"""ATDOC is that of its authors, its memory is that of the run, and one video is enough."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.objective import run_update
from ta3n.train.methods.atdoc import (
    centroid_labels,
    neighbour_loss,
    neighbour_predictions,
    next_centroids,
    replaced,
    sharpened,
)
from ta3n.train.model.prediction import observe

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, check_value, inputs_of

MakeTrainer = Callable[..., Trainer]
METHODS = ("atdoc-nc", "atdoc-na")
K = 3


def test_centroids_are_the_authors(shared: Path) -> None:
    def loss(features: Tensor, logits: Tensor, memory: Tensor) -> Tensor:
        labels = centroid_labels(features, memory)
        assert labels.tolist() == case["outputs"]["pseudo_labels"]
        return F.cross_entropy(logits, labels)

    case = cases(shared)["atdoc/nc/4"]
    check(case, loss)


def test_centroids_move_as_the_authors_do(shared: Path) -> None:
    case = cases(shared)["atdoc/nc-update/4"]
    inputs = inputs_of(case)
    moved = next_centroids(inputs["memory"], inputs["features"], inputs["logits"])
    check_value(moved, case["outputs"]["memory"])


def weighted(logits: Tensor, predictions: Tensor) -> Tensor:
    """Return the mean of the weighted losses, as another library has it."""
    weights, labels = predictions.detach().max(dim=1)
    return (weights * F.cross_entropy(logits, labels, reduction="none")).mean()


def unweighted(logits: Tensor, predictions: Tensor) -> Tensor:
    """Return the plain mean, an option of the authors."""
    return F.cross_entropy(logits, predictions.argmax(dim=1))


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("atdoc/na/4", neighbour_loss),
        ("atdoc/na-unweighted/4", unweighted),
        ("atdoc/na/pytorch-adapt/4", weighted),
    ],
)
def test_neighbours_are_the_published_ones(
    shared: Path, name: str, objective: Callable[[Tensor, Tensor], Tensor]
) -> None:
    case = cases(shared)[name]

    def loss(
        features: Tensor,
        logits: Tensor,
        memory_features: Tensor,
        memory_predictions: Tensor,
        index: Tensor,
    ) -> Tensor:
        seen = neighbour_predictions(features, memory_features, memory_predictions, index, K)
        assert seen.argmax(dim=1).tolist() == case["outputs"]["pseudo_labels"]
        if "weights" in case["outputs"]:
            check_value(seen.amax(dim=1), case["outputs"]["weights"])
        else:
            check_value(seen, case["outputs"]["mean_predictions"])
        return objective(logits, seen)

    check(case, loss)


def test_the_memory_of_neighbours_is_renewed_as_the_authors_do(shared: Path) -> None:
    case = cases(shared)["atdoc/na-update/4"]
    inputs, expected = inputs_of(case), case["outputs"]
    places = inputs["index"]
    features = F.normalize(inputs["features"], dim=1)
    made = replaced(inputs["memory_features"], places, features)
    check_value(made, expected["memory_features"])
    made = replaced(inputs["memory_predictions"], places, sharpened(inputs["logits"]))
    check_value(made, expected["memory_predictions"])


@pytest.mark.parametrize(("total", "neighbours"), [(4, 5), (2, 5), (1, 5)])
def test_a_small_memory_never_gives_a_video_itself(total: int, neighbours: int) -> None:
    memory = F.normalize(torch.arange(1.0, 3 * total + 1).reshape(total, 3), dim=1)
    predictions = torch.eye(total)
    places = torch.arange(total)
    seen = neighbour_predictions(memory, memory, predictions, places, neighbours)
    assert not seen.diagonal().any()
    torch.testing.assert_close(seen.sum(dim=1), torch.full((total,), float(total > 1)))


def test_nothing_known_and_equal_or_certain_videos_are_finite() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    loss = neighbour_loss(logits, torch.zeros(3, 4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()
    certain = sharpened(torch.tensor([[400.0, 0.0, 0.0]] * 2))
    assert certain.tolist() == [[0.5, 0, 0]] * 2
    no_centroid = centroid_labels(torch.ones(2, 3), torch.zeros(4, 3))
    assert no_centroid.tolist() == [0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_it_is_stacked_resumed_and_learns(make_trainer: MakeTrainer, method: str) -> None:
    check_stacked(make_trainer, method)
    check_resumed(make_trainer, method)
    check_precision(make_trainer, method)
    check_trains(make_trainer, method)


@pytest.mark.parametrize("method", METHODS)
def test_one_video_a_step_is_enough(make_trainer: MakeTrainer, method: str) -> None:
    record = make_trainer(method, source_batch=1).run_epoch()
    assert all(value == value for value in record.losses.values())


def test_the_memory_holds_what_the_model_makes_of_each_video(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("atdoc-na", epochs=2, learning_rate=1e-9, source_batch=21)
    start: Any = trainer.model.state_of("atdoc_na")["features"].clone()
    trainer.run_epoch()
    state = trainer.model.state_of("atdoc_na")
    assert not torch.allclose(state["features"], start)
    features = trainer.data.target_features
    assert features is not None
    seen = observe(trainer.model, features)
    expected = F.normalize(seen.features, dim=1)
    torch.testing.assert_close(state["features"], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state["predictions"], sharpened(seen.logits), rtol=1e-5, atol=1e-6)


def test_its_weight_grows_with_the_epochs(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("atdoc-nc", epochs=4)
    growth = [float(trainer.model.state_of("atdoc_nc")["growth"]) for _ in trainer.epochs()]
    assert growth == [0.25, 0.5, 0.75, 1.0]


def test_before_any_video_was_seen_there_are_no_labels(make_trainer: MakeTrainer) -> None:
    """Equal shares of all classes would be a tie, which rounding decides: other runs if stacked."""
    trainer = make_trainer("atdoc-na", epochs=1, source_batch=21)
    plan = trainer.begin_epoch()
    batch = next(iter(plan.batches(trainer.data)))
    step = run_update(
        trainer.model, batch, None, objective=trainer.objective, weights=trainer.weights(0, 1)
    )
    assert float(step.losses["atdoc_na"].detach()) == 0.0
