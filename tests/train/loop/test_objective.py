"""Each method minimises its own terms, and MCD moves in each step what Saito et al. say."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ta3n.train.loop.batches import Batch, TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.objective import Objective, Step, compute_losses, run_update
from ta3n.train.losses.entropy import entropy
from ta3n.train.methods.base import Update
from ta3n.train.methods.registry import find_choice, method_for
from ta3n.train.model.prediction import NO_REVERSAL
from ta3n.train.recipe.recipes import OFFICIAL, PAPER

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]
THREE: dict[str, Any] = {"mcd": "three", "mcd_generator_updates": 2}


def whole_batch(data: TrainingData) -> Batch:
    return Batch(
        source_features=data.source_features,
        source_labels=data.source_labels,
        target_features=data.target_features,
    )


def test_three_steps_of_mcd_move_what_they_should_to_the_bit(
    make_trainer: MakeTrainer, make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B leaves the generator and C the classifiers as they are, and each moves the rest."""
    trainer = make_trainer("mcd", **THREE)
    trainer.run_epoch()  # momenta and weight decay must not move them either
    learner = trainer._learner
    snapshots: list[dict[str, torch.Tensor]] = []
    step = learner.optimizer.step

    def step_and_look() -> None:
        step()
        snapshots.append({name: p.detach().clone() for name, p in learner.parameters.items()})

    monkeypatch.setattr(learner.optimizer, "step", step_and_look)
    snapshots.append({name: p.detach().clone() for name, p in learner.parameters.items()})
    trainer._step(whole_batch(make_data()), 0, 3)
    start, a, b, *cs = snapshots
    assert len(cs) == 2
    reached = {"frame_fc", *(f"encoder.{n}.fc" for n in (2, 3, 4, 5))}
    both = {"video_classifier", "video_classifier_2"}
    for before, after, moved in ((start, a, reached | both), (a, b, both), (b, cs[0], reached)):
        changed = {name for name in after if not torch.equal(before[name], after[name])}
        assert {name.rpartition(".")[0] for name in changed} == moved
    assert torch.equal(cs[0]["video_classifier.weight"], cs[1]["video_classifier.weight"])
    assert not torch.equal(cs[0]["frame_fc.weight"], cs[1]["frame_fc.weight"])


def test_step_b_maximises_the_discrepancy_and_step_c_minimises_it(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    trainer = make_trainer("mcd", dropout=0.0, **THREE)
    weights = {**trainer.weights(0, 1), "mu": 0.5}

    def measure(update: Update) -> dict[str, torch.Tensor]:
        batch, objective = whole_batch(make_data()), trainer.objective
        return run_update(
            trainer.model, batch, None, objective=objective, update=update, weights=weights
        ).losses

    joint, b, c, _ = (measure(update) for update in trainer.objective.updates)
    discrepancy = b["discrepancy_mcd_maximised"]
    assert discrepancy > 0
    torch.testing.assert_close(b["total"], joint["classification"] - discrepancy)
    torch.testing.assert_close(c["total"], 0.5 * discrepancy)


def test_updates_follow_method_and_recipe() -> None:
    def updates(method: str, recipe: Any) -> int:
        return len(Objective(method=method_for(method, "pooling"), recipe=recipe).updates)

    assert updates("mcd", OFFICIAL) == 1
    assert updates("mcd", PAPER) == 2 + PAPER.mcd_generator_updates
    assert updates("jan", PAPER) == 1


@pytest.mark.parametrize(
    ("method", "recipe", "terms"),
    [
        ("dan", {}, {"classification", "discrepancy_dan"}),
        ("jan", {}, {"classification", "discrepancy_jan"}),
        ("mcd", {}, {"classification", "discrepancy_mcd"}),
        (
            "mcd",
            THREE,
            {"classification", "discrepancy_mcd_maximised", "discrepancy_mcd_minimised"},
        ),
        ("adabn", {}, {"classification"}),
    ],
)
def test_only_the_terms_of_the_method_are_recorded(
    make_trainer: MakeTrainer, method: str, recipe: dict[str, Any], terms: set[str]
) -> None:
    assert set(make_trainer(method, "pooling", **recipe).run_epoch().losses) == {*terms, "total"}


def test_target_entropy_is_that_of_target_videos_alone(
    make_trainer: MakeTrainer, make_data: MakeData
) -> None:
    trainer = make_trainer("source-only", dropout=0.0)
    method = replace(trainer.settings.method, terms=(find_choice("entropy", "target"),))
    data = make_data()
    assert data.target_features is not None
    videos = torch.cat([data.source_features, data.target_features])
    output = trainer.model(videos, NO_REVERSAL)
    step = Step(
        model=trainer.model,
        batch=whole_batch(data),
        method=method,
        recipe=trainer.settings.recipe,
        output=output,
        weights={"gamma": 0.3},
    )
    losses = compute_losses(step)
    expected = entropy(output.logits[21:]).mean()
    torch.testing.assert_close(losses["target_entropy"], expected)
    total = losses["classification"] + 0.3 * expected
    torch.testing.assert_close(losses["total"], total)


def test_paper_compares_probabilities_where_official_compares_logits(
    make_trainer: MakeTrainer,
) -> None:
    losses = {
        kind: make_trainer("jan", joint_input=kind).run_epoch().losses["discrepancy_jan"]
        for kind in ("logits", "softmax")
    }
    assert losses["logits"] != losses["softmax"]


@pytest.mark.parametrize("recipe", [OFFICIAL, PAPER], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(
    ("method", "num_source", "num_target", "batch"),
    [
        (method, *sizes)
        for method in ("dan", "jan", "adabn", "mcd", "ta3n")
        for sizes in ((5, 1, 1), (1, 4, 2), (3, 2, 128))
        # A single video of a domain has no spread: such runs are refused.
        if method != "adabn" or 1 not in sizes
    ],
)
def test_sizes_that_do_not_match_are_trained_on_and_counted(
    make_trainer: MakeTrainer,
    make_data: MakeData,
    recipe: Any,
    method: str,
    num_source: int,
    num_target: int,
    batch: int,
) -> None:
    """Batches of one, and domains smaller than their batch."""
    switches = ("batches", "mmd_estimator", "joint_input", "mcd", "norm_layers", "bandwidth_floor")
    trainer = make_trainer(
        method,
        data=make_data(num_source, num_target),
        source_batch=batch,
        epochs=2,
        **{name: getattr(recipe, name) for name in switches},
    )
    records = list(trainer.epochs())
    assert all(
        torch.isfinite(torch.tensor(list(record.losses.values()))).all() for record in records
    )
    assert all(bool(p.isfinite().all()) for p in trainer.model.parameters())
    used = (records[-1].source_videos, records[-1].target_videos)
    if recipe is PAPER:
        assert used == (num_source, num_target)
    else:
        assert used == {(5, 1): (1, 1), (1, 4): (1, 4), (3, 2): (3, 2)}[num_source, num_target]
