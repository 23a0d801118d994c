"""Schedules over the true number of steps of a run: learning rate and gradient reversal.

p is the progress of a run. The authors' program counts epochs from 1 and steps from 0, so p starts
at 1/epochs and ends just above 1; this is kept, because it shapes the first and the last epoch.
"""

from dataclasses import dataclass
from math import exp

from ta3n.train.layers.reversal import Coefficient, Coefficients
from ta3n.train.recipe.directions import Adaptation, ReversalCoefficients


@dataclass(frozen=True, kw_only=True)
class TradeOffs:
    """The weights of the losses in force at one step: numbers or 0-d tensors, never a ramp.

    Args:
        coefficients: gradient reversal per level.
        gamma: of the attentive or the target entropy.
        alpha: of the discrepancy of DAN or JAN.
        mu: of MCD's discrepancy for the features.
    """

    coefficients: Coefficients
    gamma: Coefficient = 0.0
    alpha: Coefficient = 0.0
    mu: Coefficient = 0.0


def progress(*, epoch: int, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return p = (step + epoch * steps) / (epochs * steps).

    Args:
        epoch: current epoch, from 1.
        step: current step within the epoch, from 0.
        steps_per_epoch: steps in every epoch of the run.
        epochs: epochs of the whole run.
    """
    return (step + epoch * steps_per_epoch) / (epochs * steps_per_epoch)


def learning_rate(p: float, *, base: float, decay_rate: float, decay_power: float) -> float:
    """Return the rate of the step after the one at p: base / (1 + a p) ** b.

    The very first step of a run uses `base` itself.

    Args:
        p: progress at the step just made.
        base: rate at the start.
        decay_rate: a, 10 in the official recipe.
        decay_power: b, 0.75 in the official recipe.
    """
    return float(base / (1 + decay_rate * p) ** decay_power)


def dann_ramp(p: float) -> float:
    """Return 2 / (1 + exp(-10 p)) - 1, which rises from 0 towards 1 (Ganin and Lempitsky)."""
    return 2 / (1 + exp(-10 * p)) - 1


def resolve(configured: float, p: float) -> float:
    """Return a trade-off at p: as configured, or the DANN ramp for a negative one."""
    return dann_ramp(p) if configured < 0 else configured


def resolve_coefficients(configured: ReversalCoefficients, p: float) -> Coefficients:
    """Return the coefficients at p: each negative one replaced by the DANN ramp."""
    return Coefficients(
        relation=resolve(configured.relation, p),
        video=resolve(configured.video, p),
        frame=resolve(configured.frame, p),
    )


def resolve_trade_offs(adaptation: Adaptation, p: float) -> TradeOffs:
    """Return all weights at p."""
    return TradeOffs(
        coefficients=resolve_coefficients(adaptation.coefficients, p),
        gamma=adaptation.gamma,
        alpha=resolve(adaptation.alpha, p),
        mu=resolve(adaptation.mu, p),
    )
