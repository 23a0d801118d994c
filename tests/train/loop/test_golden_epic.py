"""Two-headed TA3N computes what the baseline for EPIC-KITCHENS-100 computes, in float64."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ta3n.train.layers.reversal import Coefficients
from ta3n.train.loop.batches import Batch, TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import EpochRecord
from ta3n.train.methods.heads import ClassHead
from ta3n.train.methods.registry import method_for
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.recipe.recipes import EPIC100

Wave = Callable[[tuple[int, ...], float, float], Tensor]

GOLDEN = Path(__file__).parents[2] / "golden" / "epic_reference.json"
CASES: Any = json.loads(GOLDEN.read_text())
SIZES = {"verb": 7, "noun": 9}
COMPARED = ("classification", "attentive_entropy", "total", "grad_norm")


class GoldenRun:
    """One case of the reference, as a run of the recipe that stands before its first step."""

    def __init__(self, name: str, wave: Wave) -> None:
        self.figures = CASES[name]
        self._wave = wave
        self.settings = settings = self.figures["settings"]
        trained = settings["heads"].split("+")
        betas = dict(zip(("relation", "video", "frame"), settings["beta"], strict=True))
        method = method_for("ta3n" if settings["ent"] else "source-only", "relation")
        given = {f"beta_{level}": beta for level, beta in betas.items()}
        given["gamma"] = settings["gamma"]
        first = self.batch(0)
        self.trainer = Trainer(
            RunSettings(
                method=method,
                recipe=replace(EPIC100, hidden_dim=8, dropout=0.0, source_batch=6),
                weights={name: given[name] for name in method.weights},
                num_classes=sum(SIZES.values()),
                seed=1,
                heads=tuple(ClassHead(n, c, float(n in trained)) for n, c in SIZES.items()),
            ),
            TrainingData(
                source_features=first.source_features,
                source_labels=first.source_labels,
                target_features=first.target_features,
            ),
            dtype=torch.float64,
        )
        self.trainer.history = [_epoch(number) for number in range(1, settings["epochs_run"][0])]
        self.trainer.model.load_state_dict(dict(self._parameters()))

    def _parameters(self) -> Any:
        for entry in self.figures["parameters"]:
            shape = tuple(entry["shape"])
            scale = shape[-1] ** -0.5 if entry["name"].endswith("weight") else 0.05
            yield ours(entry["name"]), self._wave(shape, entry["index"], scale)

    def batch(self, step: int) -> Batch:
        num_source, num_target = self.settings["batches"][step]
        i = torch.arange(num_source)
        target = self._wave((num_target, 5, 12), 200 + 11 * step, 1.3) + 0.2
        return Batch(
            source_features=self._wave((num_source, 5, 12), 100 + 7 * step, 1.0).abs(),
            source_labels=torch.stack([(3 * i + step) % 7, (2 * i + 3 * step) % 9], dim=1),
            target_features=target.abs(),
        )

    def step(self, number: int) -> dict[str, Any]:
        """Make a step; return what the reference records of it."""
        trainer, per_epoch = self.trainer, self.settings["steps_per_epoch"]
        within, batch = number % per_epoch, self.batch(number)
        weights = trainer.weights(within, per_epoch)
        of_heads = self._losses_of_heads(batch)
        rate = trainer.optimizer.param_groups[0]["lr"]
        losses = {n: v.item() for n, v in self.losses(number).items() if n != "attention"}
        if within == per_epoch - 1:
            trainer.history.append(_epoch(trainer.epoch + 1))
        return {**losses, **of_heads, "lr": rate, "weights": weights}

    def losses(self, number: int) -> dict[str, Tensor]:
        per_epoch = self.settings["steps_per_epoch"]
        return self.trainer._step(self.batch(number), number % per_epoch, per_epoch)

    @torch.no_grad()
    def _losses_of_heads(self, batch: Batch) -> dict[str, float]:
        logits = self.logits(batch.source_features)
        return {
            f"classification_{name}": float(F.cross_entropy(logits[name], labels))
            for name, labels in zip(SIZES, batch.source_labels.unbind(dim=1), strict=True)
        }

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        output = self.trainer.model(features, Coefficients(0, 0, 0))
        return dict(zip(SIZES, output.logits.split(list(SIZES.values()), dim=1), strict=True))


def _epoch(number: int) -> EpochRecord:
    return EpochRecord(
        epoch=number,
        steps=1,
        losses={},
        grad_norm=0.0,
        learning_rate=0.0,
        reversal={},
        domain_accuracy={},
        attention=None,
        source_videos=0,
        target_videos=0,
    )


def ours(name: str) -> str:
    """Return our name of a parameter."""
    name = re.sub(r"^relation_(?=\d)", "encoder.", name)
    return name.replace("video_classifier_", "video_classifier.")


def close(actual: Tensor, expected: Any, rtol: float) -> None:
    """Hold a tensor against figures, relative to the largest of them."""
    wanted = torch.tensor(expected, dtype=torch.float64)
    assert actual.shape == wanted.shape
    assert float((actual.detach() - wanted).abs().max()) <= rtol * float(wanted.abs().max())


@pytest.fixture(params=CASES)
def run(request: pytest.FixtureRequest, wave: Wave) -> GoldenRun:
    return GoldenRun(request.param, wave)


def test_first_forward_pass(run: GoldenRun) -> None:
    expected, batch, model = run.figures["first_step"], run.batch(0), run.trainer.model
    for domain, features in (("source", batch.source_features), ("target", batch.target_features)):
        assert features is not None
        output = model(features, Coefficients(0, 0, 0), levels=run.trainer.settings.method.levels)
        for name, logits in run.logits(features).items():
            close(logits, expected[f"logits_{name}_{domain}"], 1e-8)
        for level, judged in output.domain_logits.items():
            close(judged, expected[f"domain_logits_{level}_{domain}"], 1e-8)
        assert (output.attention is not None) == (f"attention_{domain}" in expected)
        if output.attention is not None:
            close(output.attention, expected[f"attention_{domain}"], 1e-8)


def test_first_gradients_and_where_none_arrives(run: GoldenRun) -> None:
    assert float(run.losses(0)["grad_norm"]) < EPIC100.clip_norm
    parameters = dict(run.trainer.model.named_parameters())
    expected = run.figures["first_step_grad_norms"]
    assert {ours(name) for name in expected} == set(parameters)
    for name, norm in expected.items():
        grad = parameters[ours(name)].grad
        assert (grad is None) == (norm is None), name
        if grad is not None:
            assert float(grad.norm()) == pytest.approx(norm, rel=1e-8, abs=0), name


def test_trajectory_rates_and_ramp(run: GoldenRun) -> None:
    for number, expected in enumerate(run.figures["trajectory"]):
        found, rel = run.step(number), 1e-6 if number else 1e-8
        adversarial = {name for name in expected if name.startswith("adversarial_")}
        of_heads = {f"classification_{name}" for name in SIZES}
        for name in {*COMPARED, *adversarial, *of_heads} & expected.keys():
            assert found[name] == pytest.approx(expected[name], rel=rel, abs=0), (number, name)
        assert found["lr"] == pytest.approx(expected["lr"], rel=1e-12)
        betas = dict(zip(("relation", "video", "frame"), expected["beta"], strict=True))
        reversal = {k: v for k, v in found["weights"].items() if k.startswith("beta_")}
        assert reversal == pytest.approx({k: betas[k.removeprefix("beta_")] for k in reversal})


def test_weights_and_outputs_after_training(run: GoldenRun) -> None:
    before = {name: value.clone() for name, value in run.trainer.model.named_parameters()}
    for number in range(len(run.figures["trajectory"])):
        run.step(number)
    expected = run.figures["after_training"]
    without = {n for n, norm in run.figures["first_step_grad_norms"].items() if norm is None}
    for name, value in run.trainer.model.named_parameters():
        close(value.norm(), expected["parameter_norms"][_theirs(name)], 1e-6)
        assert torch.equal(value, before[name]) == (_theirs(name) in without), name
    target = run.batch(0).target_features
    assert target is not None
    for name, logits in run.logits(target).items():
        close(logits.softmax(dim=1), expected[f"probabilities_{name}_target"], 1e-6)
    if "attention_target" in expected:
        attention = run.trainer.model(target, Coefficients(0, 0, 0)).attention
        close(attention, expected["attention_target"], 1e-6)


def _theirs(name: str) -> str:
    return name.replace("encoder.", "relation_").replace("video_classifier.", "video_classifier_")


@pytest.mark.shared
def test_the_copied_figures_are_the_reference_figures(shared: Path) -> None:
    assert GOLDEN.read_bytes() == (shared / "epic" / "golden" / GOLDEN.name).read_bytes()
