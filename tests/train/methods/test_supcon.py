"""The supervised contrast is the published one, over what takes part, and finite without pairs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.supcon import supervised_contrastive

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, wave

MakeTrainer = Callable[..., Trainer]


def of_views(views: Tensor, labels: list[int], temperature: float) -> Tensor:
    """Return the contrast of [B, 2, F], two views of each of the items with labels [B]."""
    taking_part = torch.ones(2 * len(labels), dtype=torch.bool)
    classes = torch.tensor(labels).repeat(2)
    return supervised_contrastive(torch.cat(views.unbind(1)), classes, taking_part, temperature)


@pytest.mark.parametrize(("name", "labels"), [("simclr", [0, 1, 2, 3]), ("labels", [0, 1, 0, 2])])
def test_it_is_the_authors(shared: Path, name: str, labels: list[int]) -> None:
    case = cases(shared)[f"contrastive/supcon/{name}"]
    check(case, lambda views: of_views(F.normalize(views, dim=-1), labels, 0.07))


def test_the_variant_is_that_of_comix(shared: Path) -> None:
    def loss(logits_fast: Tensor, logits_slow: Tensor) -> Tensor:
        views = torch.stack([logits_fast.softmax(dim=1), logits_slow.softmax(dim=1)], dim=1)
        return of_views(views, [0, 1, 0, 2], 0.5)

    check(cases(shared)["contrastive/comix-tpl/4"], loss)


def test_what_does_not_take_part_is_as_if_it_were_not_there() -> None:
    items, classes = wave((6, 4), 1, 1.0), torch.tensor([0, 1, 0, 1, 0, 1])
    kept = torch.tensor([True, True, True, False, True, True])
    some = supervised_contrastive(items, classes, kept, 0.5)
    alone = supervised_contrastive(items[kept], classes[kept], kept[kept], 0.5)
    torch.testing.assert_close(some, alone)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("takes_part", [True, False])
def test_without_a_pair_it_is_nothing(count: int, takes_part: bool) -> None:
    items = torch.ones(count, 4, requires_grad=True)
    taking_part = torch.full((count,), takes_part)
    value = supervised_contrastive(items, torch.arange(count), taking_part, 0.07)
    (gradient,) = torch.autograd.grad(value, items)
    assert float(value.detach()) == 0
    assert not gradient.any()


@pytest.mark.parametrize("method", ["supcon", "supcon-comix"])
def test_it_is_stacked_resumed_and_learns(make_trainer: MakeTrainer, method: str) -> None:
    check_stacked(make_trainer, method)
    check_resumed(make_trainer, method)
    check_precision(make_trainer, method)
    check_trains(make_trainer, method)


@pytest.mark.parametrize("method", ["supcon", "supcon-comix"])
def test_one_video_a_step_is_enough(make_trainer: MakeTrainer, method: str) -> None:
    record = make_trainer(method, source_batch=1).run_epoch()
    assert all(value == value for value in record.losses.values())
