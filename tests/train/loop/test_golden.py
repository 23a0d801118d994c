"""The program computes what the authors' program computes, number by number, in float64."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ta3n.train.layers.reversal import Coefficients
from ta3n.train.loop.batches import Batch
from ta3n.train.loop.objective import Objective, step_features
from ta3n.train.loop.step import SingleLearner, train_step
from ta3n.train.losses.entropy import attentive_entropy_loss, entropy
from ta3n.train.losses.mmd import joint_mmd_loss, mmd_loss
from ta3n.train.methods.base import Method
from ta3n.train.methods.mcd import classifier_discrepancy
from ta3n.train.methods.registry import method_for
from ta3n.train.model.model import TA3N, model_spec
from ta3n.train.recipe.optimizers import make_optimizer
from ta3n.train.recipe.recipes import OFFICIAL

Wave = Callable[[tuple[int, ...], float, float], Tensor]

METHODS = {
    "source_only_pool": method_for("source-only", "pooling"),
    "source_only_relation": method_for("source-only", "relation"),
    "revgrad_pool": method_for("revgrad", "pooling"),
    "ta2n": method_for("ta2n", "relation"),
    "ta3n_u2h": method_for("ta3n", "relation"),
    "ta3n_h2u": method_for("ta3n", "relation"),
    "jan_relation": method_for("jan", "relation"),
    "mcd_relation": method_for("mcd", "relation"),
}


class GoldenCase:
    """One case of the reference: its model, batches and settings."""

    def __init__(self, name: str, figures: Any, wave: Wave) -> None:
        self.method: Method = METHODS[name]
        self.figures = figures
        self._wave = wave
        self.coefficients = Coefficients(*figures["settings"]["beta"])
        self.weights = {
            **{f"beta_{level}": beta for level, beta in self.coefficients._asdict().items()},
            **{name: figures["settings"].get(name, 0) for name in ("gamma", "alpha", "mu")},
        }
        self.model = self._model()
        self.learner = SingleLearner(self.model, make_optimizer(self.model.parameters(), OFFICIAL))

    def _model(self) -> TA3N:
        recipe = replace(OFFICIAL, hidden_dim=8)
        spec = model_spec(self.method, recipe, num_classes=12, feature_dim=16)
        model = TA3N(spec, torch.Generator()).double()
        state = {}
        for entry in self.figures["parameters"]:
            shape = tuple(entry["shape"])
            scale = shape[-1] ** -0.5 if entry["name"].endswith("weight") else 0.05
            state[ours(entry["name"])] = self._wave(shape, entry["index"], scale)
        model.load_state_dict(state)
        return model

    def batch(self, step: int) -> Batch:
        return Batch(
            source_features=self._wave((6, 5, 16), 100 + 7 * step, 1.0).abs(),
            source_labels=(3 * torch.arange(6) + step) % 12,
            target_features=(self._wave((4, 5, 16), 200 + 11 * step, 1.3) + 0.2).abs(),
        )

    def step(self, step: int) -> dict[str, float]:
        result = train_step(
            self.learner,
            self.batch(step),
            [None],
            objective=Objective(method=self.method, recipe=OFFICIAL),
            weights=self.weights,
        )
        return {name: value.item() for name, value in result.losses.items()}


def ours(name: str) -> str:
    """Return our name of a parameter: `relation_5.fc.weight` is `encoder.5.fc.weight`."""
    return re.sub(r"^relation_(?=\d)", "encoder.", name)


def close(actual: Tensor, expected: Any, rtol: float) -> None:
    torch.testing.assert_close(
        actual.detach(), torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=0
    )


@pytest.fixture(params=METHODS)
def case(request: pytest.FixtureRequest, golden_reference: Any, wave: Wave) -> GoldenCase:
    return GoldenCase(request.param, golden_reference[request.param], wave)


def test_the_methods_place_what_the_reference_placed(case: GoldenCase) -> None:
    settings = case.figures["settings"]
    placed = {level for level, is_placed in settings["place"].items() if is_placed}
    assert set(case.method.discriminators) == placed
    assert (case.method.choice("entropy") == "attentive") == bool(settings["ent"])
    assert (case.method.choice("alignment") == "jan") == bool(settings.get("jan"))
    assert (case.method.choice("alignment") == "mcd") == bool(settings.get("mcd"))
    assert (case.method.attention == "domain") == (settings["attn"] == "TransAttn")


def test_first_forward_pass(case: GoldenCase) -> None:
    expected = case.figures["first_step"]
    batch = case.batch(0)
    assert batch.target_features is not None
    output = case.model(
        torch.cat([batch.source_features, batch.target_features]), case.coefficients
    )
    close(output.logits, expected["logits_source"] + expected["logits_target"], rtol=1e-8)
    assert (output.attention is not None) == ("attention_source" in expected)
    if output.attention is not None:
        attention = expected["attention_source"] + expected["attention_target"]
        close(output.attention, attention, rtol=1e-8)


def test_first_gradients_and_where_none_arrives(case: GoldenCase) -> None:
    measured = case.step(0)
    assert measured["grad_norm"] < OFFICIAL.clip_norm, "clipping would hide the gradients"
    parameters = dict(case.model.named_parameters())
    expected = case.figures["first_step_grad_norms"]
    assert {ours(name) for name in expected} == set(parameters)
    for name, norm in expected.items():
        grad = parameters[ours(name)].grad
        assert (grad is None) == (norm is None), name
        if grad is not None:
            assert grad.norm().item() == pytest.approx(norm, rel=1e-8, abs=0), name


def test_every_loss_along_the_trajectory(case: GoldenCase) -> None:
    for step, expected in enumerate(case.figures["trajectory"]):
        assert case.step(step) == pytest.approx(expected, rel=1e-6, abs=0), f"step {step}"


def test_the_step_runs_on_the_target_only_if_a_loss_needs_it(case: GoldenCase) -> None:
    videos = 6 + (4 if case.method.uses_target else 0)
    assert len(step_features(case.batch(0), case.method)) == videos


def test_entropy_and_attentive_entropy(golden_functions: Any, wave: Wave) -> None:
    expected = golden_functions["losses"]
    a, c = wave((6, 4), 1, 2), wave((6, 3), 3, 1.5)
    close(entropy(a).mean(), expected["entropy_mean"], rtol=1e-8)
    key = "attentive_entropy(logits=a,domain_logits=first two columns of c)"
    close(attentive_entropy_loss(a, c[:, :2]), expected[key], rtol=1e-8)


def test_discrepancies(golden_functions: Any, wave: Wave) -> None:
    expected = golden_functions["losses"]
    a, b = wave((6, 4), 1, 2), wave((6, 4), 2, 2)
    c, d = wave((6, 3), 3, 1.5), wave((6, 3), 4, 1.5)
    close(classifier_discrepancy(a, b), expected["mcd_discrepancy(a,b)"], rtol=1e-8)
    mmd = mmd_loss(a, b, estimator="paired", bandwidth_floor=1e-12)
    close(mmd, expected["mmd_rbf(a,b,mul=2,num=5)"], rtol=1e-8)
    joint = joint_mmd_loss(
        [a, c], [b, d], num_bandwidths=(2, 5), estimator="paired", bandwidth_floor=1e-12
    )
    close(joint, expected["joint_mmd([a,c],[b,d],mul=2,2,num=2,5)"], rtol=1e-8)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ta3n_reference.json", "functions_reference.json"])
def test_the_copied_figures_are_the_reference_figures(shared: Path, name: str) -> None:
    copy = Path(__file__).parents[2] / "golden" / name
    assert copy.read_bytes() == (shared / "golden" / name).read_bytes()
