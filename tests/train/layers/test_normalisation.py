"""Each domain is normalised by its own statistics; testing takes the target's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ta3n.common.errors import TrainingError
from ta3n.train.layers.normalisation import DomainNorm, Domains
from ta3n.train.layers.reversal import Coefficients
from ta3n.train.loop.batches import Batch, TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.model.prediction import observe
from ta3n.train.recipe.recipes import OFFICIAL, PAPER

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_norm(*, shared: bool = True) -> DomainNorm:
    norm = DomainNorm("norm", 4, shared_affine=shared).double()
    with torch.no_grad():
        for seed, parameter in enumerate(norm.parameters()):
            parameter.copy_(draw(4, seed=seed))
    return norm


def test_training_is_batch_norm_of_each_domain_by_itself() -> None:
    norm, features = make_norm(), draw(7, 3, 4)
    seen = Domains(5)
    ours = norm(features, seen)
    for part, domain in ((slice(0, 5), 0), (slice(5, 7), 1)):
        theirs = nn.BatchNorm1d(4).double()
        theirs.load_state_dict(
            {"weight": norm.source_weight, "bias": norm.source_bias}, strict=False
        )
        items = features[part].reshape(-1, 4)
        torch.testing.assert_close(ours[part].reshape(-1, 4), theirs(items))
        running = norm.running[domain].lerp(seen.statistics["norm"][domain], 0.1)
        assert theirs.running_mean is not None
        assert theirs.running_var is not None
        torch.testing.assert_close(running, torch.stack([theirs.running_mean, theirs.running_var]))


def test_testing_uses_the_running_statistics_of_the_domain() -> None:
    norm = make_norm(shared=False).eval()
    norm.running[0, 0], norm.running[1, 0], norm.running[1, 1] = 5, 7, 4
    features = torch.full((1, 4), 9.0, dtype=torch.float64)
    as_target = norm(features, Domains(0))
    assert norm.target_weight is not None
    assert norm.target_bias is not None
    torch.testing.assert_close(
        as_target[0], norm.target_weight + norm.target_bias, rtol=1e-5, atol=0
    )
    as_source = norm(features, Domains(1))
    expected = 4 * norm.source_weight + norm.source_bias
    torch.testing.assert_close(as_source[0], expected, rtol=1e-5, atol=0)


def test_a_training_batch_without_one_domain_is_refused() -> None:
    with pytest.raises(TrainingError, match="3 source and 0 target"):
        make_norm()(draw(3, 4), Domains(3))


def test_one_video_has_no_spread_but_defined_values() -> None:
    features = draw(2, 4).requires_grad_()
    seen = Domains(1)
    normalised = make_norm()(features, seen)
    normalised.square().sum().backward()
    assert bool(normalised.isfinite().all())
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())
    assert not seen.statistics["norm"][:, 1].any()


@pytest.mark.parametrize(
    ("recipe", "temporal", "layers"),
    [
        (OFFICIAL, "pooling", {"frame_norm"}),
        (OFFICIAL, "relation", {"frame_norm"}),
        (PAPER, "pooling", {"frame_norm"}),
        (PAPER, "relation", {"frame_norm", *(f"encoder.{n}.norm" for n in (2, 3, 4, 5))}),
    ],
)
def test_every_layer_of_the_recipe_is_normalised_and_learns_its_statistics(
    make_trainer: MakeTrainer, recipe: Any, temporal: str, layers: set[str]
) -> None:
    trainer = make_trainer("adabn", temporal, norm_layers=recipe.norm_layers)
    before = {name: value.clone() for name, value in trainer.model.named_buffers()}
    trainer.run_epoch()
    after = dict(trainer.model.named_buffers())
    assert set(after) == {f"{layer}.running" for layer in layers}
    for name, value in after.items():
        assert not torch.equal(value[0], before[name][0]), "source statistics"
        assert not torch.equal(value[1], before[name][1]), "target statistics"
        assert not torch.equal(value[0], value[1])


def test_predictions_depend_on_target_statistics_alone(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    trainer, features = make_trainer("adabn"), make_data().source_features
    trainer.run_epoch()
    norm = trainer.model.frame_norm
    assert norm is not None
    before = observe(trainer.model, features, 8).logits
    norm.running[0] += 1
    assert torch.equal(observe(trainer.model, features, 8).logits, before)
    norm.running[1] += 1
    assert not torch.equal(observe(trainer.model, features, 8).logits, before)


def test_one_video_left_in_the_last_batch_does_not_take_the_domains_spread(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    """Relations of all frames are one item a video, whose variance is 0."""
    data = make_data(16, 17)
    trainer = make_trainer("adabn", data=data, norm_layers="all", batches="cycle")
    running = trainer.model.get_buffer("encoder.5.norm.running")
    trainer.run_epoch()
    whole, alone = (
        Batch(
            source_features=data.source_features,
            source_labels=data.source_labels,
            target_features=data.target_features[:count],
        )
        for count in (17, 1)
    )
    trainer._step(whole, 0, 2)
    before = running.clone()
    trainer._step(alone, 1, 2)
    assert torch.equal(running[1, 1], before[1, 1])
    assert not torch.equal(running[1, 0], before[1, 0])
    assert not torch.equal(running[0], before[0])


def test_batch_size_of_predictions_does_not_matter(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    trainer, features = make_trainer("adabn", norm_layers="all"), make_data().source_features
    trainer.run_epoch()
    torch.testing.assert_close(
        observe(trainer.model, features, 1).logits, observe(trainer.model, features, 21).logits
    )


@pytest.mark.parametrize("recipe", [OFFICIAL, PAPER])
def test_statistics_for_evaluation_are_those_without_dropout(
    make_trainer: MakeTrainer, recipe: Any
) -> None:
    """Dropped frame features would add variance to every relation, which evaluation lacks."""
    trainer = make_trainer("adabn", norm_layers=recipe.norm_layers)
    data = trainer.data
    assert data.target_features is not None
    videos = torch.cat([data.source_features, data.target_features])
    (masks,) = trainer.draw_masks(len(videos))
    assert masks is not None
    assert bool((masks.frame == 0).any())
    none, given = (
        trainer.model(videos, Coefficients(0, 0, 0), masks=each, num_source=data.num_source)
        for each in (None, masks)
    )
    assert given.statistics.keys() == none.statistics.keys()
    assert len(none.statistics) == (1 if recipe is OFFICIAL else 5)
    for name, expected in none.statistics.items():
        assert torch.equal(given.statistics[name], expected)
    # Training itself normalises what it has, the dropped features.
    assert not torch.equal(given.logits, none.logits)
