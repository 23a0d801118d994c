"""MCD: two classifiers that are made to disagree on the target, and features that prevent it."""

from typing import TYPE_CHECKING

from ta3n.train.methods.base import Method, Term, Update, Weight
from ta3n.train.methods.registry import register_method

if TYPE_CHECKING:
    from torch import Tensor

    from ta3n.train.loop.objective import Step
    from ta3n.train.recipe.recipes import Recipe


def _is_classifier(parameter: str) -> bool:
    return parameter.startswith("video_classifier")


def _is_feature(parameter: str) -> bool:
    return not _is_classifier(parameter)


def _reversed_discrepancy(step: "Step") -> "Tensor":
    """Return the discrepancy for one step, negative since the classifiers maximise it."""
    from ta3n.train.layers.reversal import reverse_gradient
    from ta3n.train.losses.classifier_discrepancy import classifier_discrepancy

    model, mu = step.model, step.weights["mu"]
    assert model.video_classifier_2 is not None, "MCD has a second classifier"
    turned = reverse_gradient(step.output.classified, mu)
    first, second = model.video_classifier(turned), model.video_classifier_2(turned)
    return -classifier_discrepancy(first[step.num_source :], second[step.num_source :])


def _target_discrepancy(step: "Step") -> "Tensor":
    from ta3n.train.losses.classifier_discrepancy import classifier_discrepancy

    assert step.output.second_logits is not None, "MCD has a second classifier"
    second = step.output.second_logits[step.num_source :]
    return classifier_discrepancy(step.target_logits, second)


def _maximised(step: "Step") -> "dict[str, Tensor]":
    discrepancy = _target_discrepancy(step)
    total = step.classification() - discrepancy
    return {"discrepancy_mcd_maximised": discrepancy, "total": total}


def _minimised(step: "Step") -> "dict[str, Tensor]":
    discrepancy = _target_discrepancy(step)
    return {
        "discrepancy_mcd_minimised": discrepancy,
        "total": step.weights["mu"] * discrepancy,
    }


_STEP_B = Update(name="classifiers", moves=_is_classifier, losses=_maximised)
_STEP_C = Update(name="generator", moves=_is_feature, losses=_minimised)


def _updates(recipe: "Recipe") -> tuple[Update, ...]:
    """Return nothing for one step with a reversal, or B and C of Saito et al., section 3.3."""
    return () if recipe.mcd == "one" else (_STEP_B, *[_STEP_C] * recipe.mcd_generator_updates)


def _joint(step: "Step") -> "Tensor | None":
    return _reversed_discrepancy(step) if step.recipe.mcd == "one" else None


MCD = Term(
    name="discrepancy_mcd",
    label="MCD",
    loss=_joint,
    weight=Weight(
        name="mu",
        default=1.0,
        about="how strongly MCD's discrepancy acts on the features",
        origin="ours: takes the discrepancy as it is",
        ramps=True,
    ),
    scales="gradient",
    group="alignment",
    choice="mcd",
    second_classifier=True,
    reads=("mcd", "mcd_generator_updates", "mcd_rate"),
    updates=_updates,
)

register_method(
    Method(name="mcd", label="MCD", source="Saito et al., CVPR 2018; Table 3", terms=(MCD,), rank=7)
)
