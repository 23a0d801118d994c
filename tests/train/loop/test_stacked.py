"""A stacked seed is the single run of that seed, and either can go on with the other's state."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from ta3n.common.errors import DataConflictError
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.checks import NonFiniteError
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import EpochRecord
from ta3n.train.loop.stacked import StackedLearner, StackedTrainer
from ta3n.train.recipe.recipes import OFFICIAL, PAPER

from ...support.waiting import NoWaiting

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]
SEEDS = (0, 1, 7)

ROWS = [
    ("source-only", "pooling"),
    ("revgrad", "pooling"),
    ("dan", "relation"),
    ("jan", "relation"),
    ("adabn", "relation"),
    ("mcd", "relation"),
    ("ta3n", "relation"),
]
DEFECTS = ("ramp", "batches", "mmd_estimator", "joint_input", "bandwidth_floor", "mcd")


def make_members(make_trainer: MakeTrainer, *args: Any, **kwargs: Any) -> list[Trainer]:
    return [make_trainer(*args, seed=seed, **kwargs) for seed in SEEDS]


def close(first: Trainer, second: Trainer) -> None:
    """Weights, running statistics, momenta, rates, generators and records of two runs agree."""
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys()
    assert ours["model"].keys() == theirs["model"].keys()
    for name, value in ours["model"].items():
        torch.testing.assert_close(value, theirs["model"][name], rtol=1e-4, atol=1e-5)
    assert ours["optimizer"]["param_groups"] == theirs["optimizer"]["param_groups"]
    momenta = [state["optimizer"]["state"] for state in (ours, theirs)]
    assert momenta[0].keys() == momenta[1].keys(), "another set of weights was moved"
    for key, state in momenta[0].items():
        buffers = state["momentum_buffer"], momenta[1][key]["momentum_buffer"]
        torch.testing.assert_close(*buffers, rtol=1e-3, atol=2e-4)
    for name, generator in ours["generators"].items():
        assert torch.equal(generator, theirs["generators"][name])
    for one, other in zip(first.history, second.history, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-4, abs=1e-5)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-3)
        assert (one.source_videos, one.steps) == (other.source_videos, other.steps)


def run(trainer: StackedTrainer | Trainer, epochs: int) -> None:
    for _ in range(epochs):
        trainer.run_epoch()


@pytest.mark.parametrize("recipe", [OFFICIAL, PAPER], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(("method", "temporal"), ROWS)
def test_members_equal_their_single_runs(
    make_trainer: MakeTrainer, method: str, temporal: str, recipe: Any
) -> None:
    switches = {name: getattr(recipe, name) for name in (*DEFECTS, "norm_layers")}
    members, singles = (
        make_members(make_trainer, method, temporal, epochs=3, **switches) for _ in range(2)
    )
    stack = StackedTrainer(members)
    assert len(list(stack.epochs())) == 3
    for member, single in zip(members, singles, strict=True):
        run(single, 3)
        close(member, single)
    weights = [member.model.video_classifier.weight for member in members]
    assert not torch.allclose(weights[0], weights[1])


def through_a_file(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    assert file.tell() < 150_000, "a member's file holds the whole stack"
    file.seek(0)
    return torch.load(file, weights_only=True)


def resume(members: Sequence[Trainer], states: Sequence[Trainer]) -> None:
    for member, state in zip(members, states, strict=True):
        member.load_state_dict(through_a_file(state.state_dict()))


@pytest.mark.parametrize("method", ["ta3n", "adabn"])
def test_a_stack_goes_on_with_single_runs_and_a_single_run_with_a_stack(
    make_trainer: MakeTrainer, method: str
) -> None:
    singles, stacked, back, whole = (make_members(make_trainer, method) for _ in range(4))
    for single in singles:
        run(single, 1)
    resume(stacked, singles)
    run(StackedTrainer(stacked), 2)
    resume(back, stacked)
    for member, undisturbed in zip(back, whole, strict=True):
        run(member, 1)
        run(undisturbed, 4)
        close(member, undisturbed)


def test_a_member_trains_on_alone_where_its_stack_stopped(make_trainer: MakeTrainer) -> None:
    members, (_, single, _) = make_members(make_trainer), make_members(make_trainer)
    run(StackedTrainer(members), 2)
    run(members[1], 2)
    run(single, 4)
    close(members[1], single)


def test_clipping_is_done_member_by_member(make_trainer: MakeTrainer) -> None:
    members, singles = (make_members(make_trainer, clip_norm=0.3) for _ in range(2))
    run(StackedTrainer(members), 3)
    for member, single in zip(members, singles, strict=True):
        run(single, 3)
        assert single.history[-1].grad_norm > 0.3, "nothing was clipped"
        close(member, single)


def test_what_cannot_share_a_program_is_refused(make_trainer: MakeTrainer) -> None:
    with pytest.raises(DataConflictError, match="different recipe cannot be stacked"):
        StackedTrainer([make_trainer(), make_trainer(seed=2, learning_rate=0.01)])
    ahead = make_trainer(seed=2)
    ahead.run_epoch()
    with pytest.raises(DataConflictError, match="different epoch"):
        StackedTrainer([make_trainer(), ahead])


@pytest.mark.parametrize("method", ["ta3n", "adabn", "mcd"])
def test_a_member_that_diverges_is_named_by_its_seed_and_the_others_go_on(
    make_trainer: MakeTrainer, method: str
) -> None:
    members, singles = (make_members(make_trainer, method) for _ in range(2))
    stack = StackedTrainer(members)
    stack.run_epoch()
    with torch.no_grad():
        members[1].model.video_classifier.weight.fill_(torch.nan)
    one, error, other = stack.run_epoch()
    assert isinstance(error, NonFiniteError)
    assert re.match("seed 1, epoch 2: classification was nan at step 1", str(error))
    assert isinstance(one, EpochRecord)
    assert isinstance(other, EpochRecord)
    assert len(stack.run_epoch()) == 2
    for number in (0, 2):
        run(singles[number], 3)
        close(members[number], singles[number])


def test_runs_without_dropout_or_target_stack(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    data = replace(make_data(), target_features=None)
    members, singles = (
        make_members(make_trainer, "target-only", data=data, dropout=0.0) for _ in range(2)
    )
    run(StackedTrainer(members), 2)
    for member, single in zip(members, singles, strict=True):
        run(single, 2)
        close(member, single)


@pytest.mark.parametrize("method", ["ta3n", "mcd", "jan", "adabn"])
def test_no_stacked_step_waits_for_the_device(make_trainer: MakeTrainer, method: str) -> None:
    members = make_members(make_trainer, method, mcd="three")
    stack, learner = StackedTrainer(members), StackedLearner(members)
    data = members[0].data
    assert data.target_features is not None
    batch = type(next(members[0].begin_epoch().batches(data)))(
        source_features=data.source_features.expand(3, -1, -1, -1),
        source_labels=data.source_labels.expand(3, -1),
        target_features=data.target_features.expand(3, -1, -1, -1),
    )
    with NoWaiting():  # type: ignore[no-untyped-call]
        stack._step(learner, batch, 0, 3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_members_equal_their_single_runs_on_a_gpu(make_trainer: MakeTrainer) -> None:
    def on_gpu() -> list[Trainer]:
        made = make_members(make_trainer)
        return [Trainer(m.settings, m.data, device=torch.device("cuda")) for m in made]

    members, singles = on_gpu(), on_gpu()
    run(StackedTrainer(members), 3)
    for member, single in zip(members, singles, strict=True):
        run(single, 3)
        close(member, single)
