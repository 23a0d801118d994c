"""If this breaks, a small source is drowned, or methods take sources for what they are not."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ta3n.common.errors import TrainingError, UsageError
from ta3n.train.layers.attention import domain_attention
from ta3n.train.layers.domains import by_domain, source_shares
from ta3n.train.layers.reversal import Coefficients
from ta3n.train.loop.batches import (
    EpochPlan,
    TrainingData,
    plan_epoch,
)
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import measure
from ta3n.train.loop.objective import Step, compute_losses
from ta3n.train.loop.randomness import RunGenerators
from ta3n.train.losses.entropy import domain_entropy, entropy
from ta3n.train.methods.adversarial import domain_loss
from ta3n.train.methods.registry import METHODS
from ta3n.train.methods.run_settings import Domains
from ta3n.train.recipe.recipes import Batches

from ...support.method_runs import check_resumed, check_stacked, whole_batch

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]
ADAPTING = [
    name
    for name, method in METHODS.all().items()
    if method.trains_on == "source" and not method.closed_form
]


def joined(make_data: MakeData, *sizes: int, num_target: int = 13) -> TrainingData:
    """Return sources of so many videos, each shifted against the others, and a target."""
    parts = [make_data(size, num_target, seed=n) for n, size in enumerate(sizes)]
    shifted = [part.source_features + 0.3 * n for n, part in enumerate(parts)]
    return TrainingData(
        source_features=torch.cat(shifted),
        source_labels=torch.cat([part.source_labels for part in parts]),
        target_features=parts[0].target_features,
        source_sizes=sizes,
    )


def make_plan(data: TrainingData, batch: int = 12, policy: Batches = "zip") -> EpochPlan:
    generators = RunGenerators(0, torch.device("cpu"))
    return plan_epoch(
        data, source_batch=batch, uses_target=True, policy=policy, generators=generators
    )


@pytest.fixture(scope="module")
def several(make_data: MakeData, make_trainer: MakeTrainer) -> MakeTrainer:
    """Return a maker of small runs from two sources of 21 and 9 videos."""
    data = joined(make_data, 21, 9)

    def make(method: str = "ta3n", domains: Domains = "each", **more: Any) -> Trainer:
        one = make_trainer(method, METHODS.find(method).temporal, data=data, **more)
        return Trainer(replace(one.settings, domains=domains), data)

    return make


def test_every_batch_has_equal_parts_of_sources_and_of_their_classes(make_data: MakeData) -> None:
    data = joined(make_data, 21, 9, 30)
    plan = make_plan(data, batch=14)
    assert plan.steps == 5  # 60 videos, as if they were of one dataset
    for batch in plan.source_batches:
        assert len(batch) == 14
        parts = torch.split(batch, [5, 5, 4])
        for part, (low, high) in zip(parts, [(0, 21), (21, 30), (30, 60)], strict=True):
            assert ((part >= low) & (part < high)).all()
            counts = data.source_labels[part].bincount(minlength=3)
            assert counts.max() - counts.min() <= 1


def test_a_frequent_class_has_no_more_of_a_batch_than_a_rare_one(make_data: MakeData) -> None:
    data = joined(make_data, 21, 9)
    # Two of 21 videos are of class 2, and none of the other source.
    labels = torch.tensor([0] * 19 + [2] * 2 + [0, 1] * 4 + [1])
    plan = make_plan(replace(data, source_labels=labels))
    for batch in plan.source_batches:
        assert labels[batch[:6]].bincount(minlength=3).tolist() == [3, 0, 3]
        assert labels[batch[6:]].bincount(minlength=3).tolist() == [3, 3, 0]


def test_no_video_comes_again_before_each_of_its_class_came(make_data: MakeData) -> None:
    data = joined(make_data, 21, 9)
    drawn = torch.cat([batch[:6] for batch in make_plan(data).source_batches])  # 18 of 21
    assert len(set(drawn.tolist())) == len(drawn)
    again = torch.cat([batch[6:] for batch in make_plan(data).source_batches])  # 18 of 9
    assert again.bincount(minlength=30)[21:].tolist() == [2] * 9


def test_the_plan_counts_the_videos_that_it_uses(make_data: MakeData) -> None:
    plan = make_plan(joined(make_data, 21, 9))
    assert plan.source_videos == len(set(torch.cat(plan.source_batches).tolist())) == 27


def test_batches_larger_than_all_videos_are_cut_to_them(make_data: MakeData) -> None:
    plan = make_plan(joined(make_data, 4, 3), batch=128)
    assert (plan.steps, len(plan.source_batches[0])) == (1, 7)


def test_a_target_with_more_batches_goes_on_with_balanced_ones(make_data: MakeData) -> None:
    data = joined(make_data, 21, 9, num_target=40)
    plan = make_plan(data, policy="cycle")
    assert plan.steps == len(plan.target_batches or ()) > 2
    assert all((batch < 21).sum().item() == 6 for batch in plan.source_batches)
    assert all(len(batch) == 12 for batch in plan.source_batches)


def test_neighbours_in_a_part_are_not_always_of_one_class(make_data: MakeData) -> None:
    data = joined(make_data, 60, 60)
    labels = [data.source_labels[b[:30]] for b in make_plan(data, batch=60).source_batches]
    equal = torch.cat([part[1:] == part[:-1] for part in labels]).double().mean()
    assert 0.1 < equal < 0.6


@pytest.mark.parametrize("sizes", [(30,), (30, 0), (20, 9)])
def test_sizes_that_are_not_those_of_the_videos_are_refused(
    make_data: MakeData, sizes: tuple[int, ...]
) -> None:
    with pytest.raises(TrainingError, match="source_sizes"):
        replace(joined(make_data, 21, 9), source_sizes=sizes)


def test_a_batch_of_fewer_videos_than_sources_is_refused(several: MakeTrainer) -> None:
    with pytest.raises(TrainingError, match="--batch-size to 2 at least"):
        several(source_batch=1)


def test_shares_add_up_and_rows_are_split_by_them() -> None:
    assert source_shares(14, 3) == [5, 5, 4]
    assert [part.tolist() for part in by_domain(torch.arange(9), 5, 3)] == [
        [0, 1, 2],
        [3, 4],
        [5, 6, 7, 8],
    ]
    assert [part.tolist() for part in by_domain(torch.arange(3), 2, 2)] == [[0, 1], [2]]


def test_the_domain_loss_of_three_domains_is_their_cross_entropy() -> None:
    logits = torch.randn(9, 4, 3, generator=torch.Generator().manual_seed(0))
    domains = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    expected = F.cross_entropy(logits.flatten(0, 1), domains.repeat_interleave(4))
    found = domain_loss(*torch.split(logits, [3, 2, 4]))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_attention_has_its_range_with_any_number_of_domains() -> None:
    for count in (2, 3, 7):
        nothing, all_of_it = torch.zeros(1, 1, count), 1e4 * torch.eye(count)[None, :1]
        assert domain_attention(nothing).item() == pytest.approx(1 - log(2))
        assert domain_attention(all_of_it).item() == pytest.approx(1)
    two = torch.randn(5, 2)
    assert torch.equal(domain_entropy(two), entropy(two))


def step_of(trainer: Trainer) -> Step:
    """Return a step of all videos at once, without dropout."""
    batch, method = whole_batch(trainer), trainer.settings.method
    target = batch.target_features
    assert target is not None
    # Equal parts, as batches have them: 9 videos of either source.
    chosen = torch.cat([torch.arange(9), torch.arange(21, 30)])
    batch = replace(
        batch,
        source_features=batch.source_features[chosen],
        source_labels=batch.source_labels[chosen],
        source_indices=chosen,
    )
    output = trainer.model(
        torch.cat([batch.source_features, target]),
        Coefficients(relation=1.0, video=1.0, frame=1.0),
        levels=method.levels,
        num_source=18,
    )
    return Step(
        model=trainer.model,
        batch=batch,
        method=method,
        recipe=trainer.settings.recipe,
        output=output,
        weights=trainer.weights(0, 1),
    )


@pytest.mark.parametrize("level", ["frame", "relation", "video"])
def test_discriminators_tell_each_source_and_the_target_apart(
    several: MakeTrainer, level: Any
) -> None:
    step = step_of(several("ta3n"))
    logits = step.output.domain_logits[level]
    assert logits.shape[-1] == 3
    of_video = torch.tensor([0] * 9 + [1] * 9 + [2] * 13)
    items = logits[0].numel() // 3
    expected = F.cross_entropy(logits.reshape(-1, 3), of_video.repeat_interleave(items))
    found = compute_losses(step)[f"adversarial_{level}"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    measured = measure(step.output, 18, (level,))[f"domain_accuracy_{level}"]
    told = logits.reshape(31, items, 3).argmax(-1) == of_video[:, None]
    shares = [told[of_video == domain].float().mean().item() for domain in range(3)]
    assert measured.item() == pytest.approx(sum(shares) / 3)


def test_cdan_tells_each_source_and_the_target_apart(several: MakeTrainer) -> None:
    trainer = several("cdan")
    *_, last = trainer.model.extra["adversarial_cdan"].children()
    assert last.out_features == 3
    loss = compute_losses(step_of(trainer))["adversarial_cdan"]
    assert 0.5 * log(3) < loss.item() < 2 * log(3)


@pytest.mark.parametrize("method", ["coral", "dan", "jan", "afn"])
def test_a_discrepancy_is_the_mean_over_the_sources(several: MakeTrainer, method: str) -> None:
    trainer = several(method)
    step = step_of(trainer)
    (term,) = trainer.settings.method.terms
    assert term.loss is not None
    found = compute_losses(step)[term.name]
    alone = []
    for first in (0, 9):
        rows = torch.cat([torch.arange(first, first + 9), torch.arange(18, 31)])
        batch, output = step.batch, step.output
        own = replace(
            step,
            batch=replace(batch, source_labels=batch.source_labels[first : first + 9]),
            output=replace(
                output, logits=output.logits[rows], video_features=output.video_features[rows]
            ),
        )
        value = term.loss(own)
        assert value is not None
        alone.append(value.item())
    assert found.item() == pytest.approx(sum(alone) / 2, rel=1e-5)


@pytest.mark.parametrize("method", ADAPTING)
def test_every_method_trains_to_finite_losses(several: MakeTrainer, method: str) -> None:
    trainer = several(method, epochs=2)
    records = list(trainer.epochs())
    assert all(torch.tensor(list(r.losses.values())).isfinite().all() for r in records)
    assert (trainer.model.spec.num_domains, records[0].steps) == (3, 4)


@pytest.mark.parametrize("method", ["ta3n", "coral", "cdan-e-original", "cdd", "jan-a-tllib"])
def test_a_stacked_seed_is_its_single_run(several: MakeTrainer, method: str) -> None:
    check_stacked(several, method)


@pytest.mark.parametrize("domains", ["one", "each"])
def test_a_resumed_run_is_equal_to_the_bit(several: MakeTrainer, domains: Domains) -> None:
    def make(method: str, **more: Any) -> Trainer:
        return several(method, domains=domains, **more)

    check_resumed(make, "ta3n")


def test_combined_sources_have_discriminators_of_two_domains(several: MakeTrainer) -> None:
    trainer = several("ta3n", domains="one")
    assert trainer.model.spec.num_domains == 2
    trainer.run_epoch()
    trained: Tensor = trainer.model.frame_discriminator.output.weight
    assert trained.shape[0] == 2


def test_a_term_that_knows_two_domains_is_refused(several: MakeTrainer) -> None:
    trainer = several("ta3n", domains="one")
    method = trainer.settings.method
    terms = tuple(replace(term, sources="one") for term in method.terms)
    settings = replace(trainer.settings, method=replace(method, terms=terms), domains="each")
    with pytest.raises(UsageError, match=r"two domains alone.*leave out --domains each"):
        Trainer(settings, trainer.data)


def test_discriminators_of_other_domains_start_anew(several: MakeTrainer) -> None:
    before = several("ta3n", domains="one")
    weights = before.model.state_dict()
    after = Trainer(several("ta3n").settings, before.data, initial=weights)
    own = after.model.state_dict()
    for name, value in weights.items():
        if own[name].shape == value.shape:
            assert torch.equal(own[name], value), name
        else:
            assert name.endswith(("discriminator.output.weight", "discriminator.output.bias"))
