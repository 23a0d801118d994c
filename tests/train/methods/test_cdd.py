"""CAN's discrepancy is that of its authors, and holds for any classes in a batch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.cdd import contrastive_discrepancy, spherical_clusters
from ta3n.train.model.prediction import observe

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, wave

MakeTrainer = Callable[..., Trainer]


def members(labels: list[int], num_classes: int) -> Tensor:
    return F.one_hot(torch.tensor(labels), num_classes).double()


def test_it_is_the_authors(shared: Path) -> None:
    def loss(f_s: Tensor, f_t: Tensor) -> Tensor:
        labels = members([0, 0, 0, 0, 1, 1], 2), members([0, 0, 1, 1], 2)
        return contrastive_discrepancy([f_s], [f_t], *labels)

    check(cases(shared)["contrastive/cdd/6-4"], loss)


def test_order_and_absent_classes_do_not_matter(shared: Path) -> None:
    source, target = wave((6, 8), 3, 1.5).abs(), wave((4, 8), 4, 1.2).abs() + 0.2
    kept = contrastive_discrepancy(
        [source], [target], members([0, 0, 0, 0, 1, 1], 2), members([0, 0, 1, 1], 2)
    )
    assert float(kept) == pytest.approx(cases(shared)["contrastive/cdd/6-4"]["outputs"]["value"])
    order = torch.tensor([5, 0, 3, 4, 1, 2])
    # Of five classes, two are in both domains; a row of zeros takes a video out.
    of_source = members([3, 3, 3, 3, 1, 1, 0], 5)
    of_target = torch.cat([members([3, 3, 1, 1, 4], 5), torch.zeros(1, 5).double()])
    others = wave((1, 8), 7, 1.0)
    mixed = contrastive_discrepancy(
        [torch.cat([source[order], others])],
        [torch.cat([target, others, 2 * others])],
        torch.cat([of_source[:6][order], of_source[6:]]),
        of_target,
    )
    # The origin of the distances moves with the other items, which is rounding.
    torch.testing.assert_close(mixed, kept, rtol=1e-9, atol=1e-12)


def test_layers_are_added() -> None:
    source, target = wave((6, 8), 3, 1.5), wave((4, 8), 4, 1.2)
    labels = members([0, 1, 0, 1, 0, 1], 2), members([0, 1, 1, 0], 2)
    one = contrastive_discrepancy([source], [target], *labels)
    two = contrastive_discrepancy([source, source], [target, target], *labels)
    torch.testing.assert_close(two, 2 * one)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 1), (2, 3)])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_equal_features_one_item_and_no_common_class_are_finite(
    n: int, m: int, size: float
) -> None:
    source = torch.full((n, 4), size, requires_grad=True)
    target = torch.full((m, 4), size, requires_grad=True)
    for target_class in (0, 1):
        value = contrastive_discrepancy(
            [source],
            [target],
            members([0] * n, 2).float(),
            members([target_class] * m, 2).float(),
        )
        gradients = torch.autograd.grad(value, [source, target])
        assert float(value.detach()) == pytest.approx(0, abs=1e-5)
        assert all(not gradient.any() for gradient in gradients)


def test_clusters_start_from_the_source_and_are_found() -> None:
    angles = torch.tensor([0.0, 0.2, 0.4, 1.2, 1.4, 1.6])
    features = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1.0, 7)[:, None]
    centres = torch.tensor([[0.9, 0.5], [0.8, 0.6], [-1.0, -1.0]])
    assert spherical_clusters(features, centres).tolist() == [0, 0, 0, 1, 1, 1]
    assert spherical_clusters(features, centres[[1, 0, 2]]).tolist() == [1, 1, 1, 0, 0, 0]


def test_a_class_without_source_videos_takes_no_target_video() -> None:
    features = torch.tensor([[1.0, 0.1], [0.1, 1.0], [-1.0, -1.0]])
    centres = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    assert spherical_clusters(features[:2], centres).tolist() == [0, 2]
    # The last is far from both; the direction of the absent class is none.
    assert 1 not in spherical_clusters(features, centres).tolist()
    assert spherical_clusters(features, torch.zeros(3, 2)).tolist() == [0, 0, 0]


def test_it_is_stacked_resumed_and_learns(make_trainer: MakeTrainer) -> None:
    check_stacked(make_trainer, "cdd")
    check_resumed(make_trainer, "cdd")
    check_precision(make_trainer, "cdd")
    check_trains(make_trainer, "cdd")


def test_an_epoch_begins_with_clusters_around_the_classes_of_the_source(
    make_trainer: MakeTrainer,
) -> None:
    trainer = make_trainer("cdd")
    assert trainer.data.target_features is not None
    source, target = (
        observe(trainer.model, videos).features
        for videos in (trainer.data.source_features, trainer.data.target_features)
    )
    unit, labels = F.normalize(source, dim=1), trainer.data.source_labels
    centres = torch.stack([unit[labels == number].mean(dim=0) for number in range(3)])
    trainer.run_epoch()
    found = trainer.model.state_of("contrastive_discrepancy")["classes"]
    assert len(set(found.tolist())) > 1
    assert torch.equal(found, spherical_clusters(target, centres))


def test_one_video_a_step_is_enough(make_trainer: MakeTrainer) -> None:
    record = make_trainer("cdd", source_batch=1).run_epoch()
    assert all(value == value for value in record.losses.values())
