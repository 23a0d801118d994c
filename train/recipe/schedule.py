"""Schedules over the true number of steps of a run, which batches decide: rate and reversal.

p is the progress of a run. The authors' program counts epochs from 1 and steps from 0, so p starts
at 1/epochs and ends just above 1; this is kept, because it shapes the first and the last epoch.
No torch here.
"""

from math import cos, exp, pi

from ta3n.train.recipe.recipes import Recipe


def progress(*, epoch: int, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return p = (step + epoch * steps) / (epochs * steps).

    Args:
        epoch: current epoch, from 1.
        step: current step within the epoch, from 0.
        steps_per_epoch: steps in every epoch of the run.
        epochs: epochs of the whole run.
    """
    return (step + epoch * steps_per_epoch) / (epochs * steps_per_epoch)


def target_batch_size(source_batch: int, num_source: int, num_target: int) -> int:
    """Return floor(B_S N_T / N_S), at least 1: both domains last about equally many steps.

    Without any source it is B_S, the size of a batch.
    """
    return max(1, source_batch * num_target // num_source) if num_source else source_batch


def learning_rate(recipe: Recipe, p: float, *, epoch: int = 1) -> float:
    """Return the rate of the step after the one at p; the very first step uses the rate at 0.

    `inverse` is base / (1 + a p) ** b (Ganin and Lempitsky), `cosine` falls to 0 along half a
    cosine, `constant` stays, `steps` divides by 10 at the start of some epochs.

    Args:
        recipe: names the schedule, with the rate at the start, a and b.
        p: progress at the step just made.
        epoch: that of the step that the rate is for, from 1.
    """
    base = recipe.learning_rate
    if recipe.schedule == "constant":
        return base
    if recipe.schedule == "steps":
        return float(base / 10 ** sum(epoch >= start for start in recipe.lr_steps))
    if recipe.schedule == "cosine":
        return base * (1 + cos(pi * min(p, 1.0))) / 2
    return float(base / (1 + recipe.lr_decay_rate * p) ** recipe.lr_decay_power)


def dann_ramp(p: float, rate: float = 10.0) -> float:
    """Return 2 / (1 + exp(-rate p)) - 1, which rises from 0 towards 1 (Ganin and Lempitsky)."""
    return 2 / (1 + exp(-rate * p)) - 1
