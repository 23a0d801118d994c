"""Schedules over the true number of steps of a run: learning rate and gradient reversal.

p is the progress of a run. The authors' program counts epochs from 1 and steps from 0, so p starts
at 1/epochs and ends just above 1; this is kept, because it shapes the first and the last epoch.
"""

from math import exp

from ta3n.train.recipes import ReversalCoefficients
from ta3n.train.reversal import Coefficients


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


def resolve_coefficients(configured: ReversalCoefficients, p: float) -> Coefficients:
    """Return the coefficients at p: each negative one replaced by the DANN ramp."""

    def resolve(value: float) -> float:
        return dann_ramp(p) if value < 0 else value

    return Coefficients(
        relation=resolve(configured.relation),
        video=resolve(configured.video),
        frame=resolve(configured.frame),
    )
