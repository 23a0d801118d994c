"""AaD is its formula, video by video; no published figures of it are at hand."""

import pytest
import torch
from torch import Tensor

from ta3n.train.methods.aad import attracting_and_dispersing
from ta3n.train.methods.atdoc import neighbour_predictions


def draw(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def by_loops(
    p: Tensor, memory: Tensor, predictions: Tensor, places: list[int], dispersion: float
) -> float:
    total = 0.0
    for i, place in enumerate(places):
        others = [n for n in range(len(memory)) if n != place]
        nearest = sorted(others, key=lambda n: -float(memory[place] @ memory[n]))[:5]
        total -= sum(float(p[i] @ predictions[n]) for n in nearest)
        total += dispersion * sum(float(p[i] @ p[j]) for j in range(len(p)) if j != i)
    return total / len(places)


@pytest.mark.parametrize("total", [12, 4])
def test_it_is_its_formula(total: int) -> None:
    memory = torch.nn.functional.normalize(draw(total, 3, seed=0))
    predictions = draw(total, 4, seed=1).softmax(dim=1)
    places = [3, 0, 2]
    p = draw(3, 4, seed=2).softmax(dim=1)
    mean = neighbour_predictions(memory[places], memory, predictions, torch.tensor(places))
    value = attracting_and_dispersing(p, min(5, total - 1) * mean, 0.3)
    assert float(value) == pytest.approx(by_loops(p, memory, predictions, places, 0.3), rel=1e-12)


def test_what_pulls_is_the_neighbours_and_they_are_not_moved() -> None:
    p, neighbours = (draw(3, 4, seed=n).softmax(dim=1).requires_grad_() for n in (0, 1))
    pulled, pushed = torch.autograd.grad(
        attracting_and_dispersing(p, neighbours, 0.0), [p, neighbours], allow_unused=True
    )
    torch.testing.assert_close(pulled, -neighbours.detach() / 3)
    assert pushed is None


def test_a_single_video_has_nothing_to_disagree_with() -> None:
    p = draw(1, 4, seed=0).softmax(dim=1)
    assert float(attracting_and_dispersing(p, torch.zeros(1, 4), 1.0)) == 0
