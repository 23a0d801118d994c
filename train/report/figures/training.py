"""What training measured after each epoch: curves, and scores held against accuracy.

Legend: S seeds, E epochs, P parts of a video.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log, nan
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ta3n.common.errors import UsageError
from ta3n.train.encoders.registry import ENCODERS, part_names
from ta3n.train.paper.labels import rule_place
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import mean_rank_correlation, pick_like
from ta3n.train.report.figures.look import (
    LINE_LOOKS,
    REFERENCE,
    TARGET,
    Data,
    Panel,
    Picture,
    draw,
    evenly,
    legend_below,
    minus,
    new_figure,
    picture,
    row_look,
)
from ta3n.train.runs.records import Run
from ta3n.train.runs.rule_notes import rules_on_note

Curves = NDArray[np.float64]

LEAST_ATTENTION = 1 - log(2)
"""Domain attention of a relation whose discriminator guesses (section 2.3)."""
ALIKE = "1 − ln 2: domains look alike"  # noqa: RUF001
"""What `LEAST_ATTENTION` is called in pictures."""

# More relations cannot be told apart: then the shortest, the longest, and some between them.
_MOST_RELATIONS = 6

# More rows cannot be told apart by colour: then the few that the page is about, and others in grey.
_MOST_ROWS = 9
_OF_OTHERS = {"color": "#bbbbbb", "linewidth": 0.9, "zorder": 1}
_FOCAL_WIDTH = 2.3

_NATS = ("classification", "adversarial", "attentive_entropy")
"""Starts of the names of losses that are cross entropies, or entropies."""
_WIDE = 50
"""How many times another one's size makes a loss hide it on one scale."""

_COLUMNS = 2
_MOST_POINTS = 40
# Light to dark, so that early and late differ in grey too; a shade for each stretch of epochs.
_SHADES = ("#b5d3e9", "#6baed6", "#2171b5", "#08306b")
_DOT = {"linestyle": "none", "marker": "o", "markersize": 3.4, "markeredgewidth": 0}
_DOTS: list[dict[str, Any]] = [{**_DOT, "color": shade} for shade in _SHADES]
_RING: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 8.5,
    "markerfacecolor": "none",
    "markeredgecolor": TARGET["color"],
    "markeredgewidth": 1.6,
}


def attention_kind(row: RunGroup) -> str:
    """Return what kind of attention a row has: `domain`, `conventional` or `none`."""
    return str(row.config.settings["method"].get("attention", "none"))


def part_of(row: RunGroup) -> str:
    """Return what a part of a video is called that attention weighs, such as `relation`."""
    try:
        return ENCODERS.find(row.config.temporal).part
    except UsageError:  # of a plug-in that is not loaded
        return "part"


def accuracy_curves(row: RunGroup) -> Curves:
    """Return target accuracy in percent: [S, E]."""
    return np.asarray([run.accuracies for run in row.runs], np.float64)


def curves_of(row: RunGroup, *keys: str) -> Curves | None:
    """Return a measurement of every epoch: [S, E], or None where no seed has it.

    A seed that lacks it in any epoch is left out, as runs of an earlier version may. The `keys`
    lead to it in an epoch's record, from the outside in.
    """
    return _complete([[_number(epoch, *keys) for epoch in run.epochs] for run in row.runs])


def attention_curves(row: RunGroup) -> Curves | None:
    """Return mean attention of each part, such as a relation, the last first: [S, E, P].

    None where no seed has it.
    """
    kept = [[epoch.get("attention") for epoch in run.epochs] for run in row.runs]
    if part_of(row) == "relation":
        num_parts = row.config.settings["recipe"]["num_segments"] - 1
    else:
        num_parts = max((len(v) for run in kept for v in run if isinstance(v, list)), default=0)
    if num_parts == 0:
        return None
    return _complete([[_numbers(values, num_parts) for values in run] for run in kept])


def _complete(by_seed: list[list[Any]]) -> Curves | None:
    """Return the curves of the seeds that have a number for every epoch, or None."""
    curves = [np.asarray(curve, np.float64) for curve in by_seed]
    complete = [curve for curve in curves if np.isfinite(curve).all()]
    return np.stack(complete) if complete else None


def measured_names(row: RunGroup, key: str) -> list[str]:
    """Return the names that a table of measurements has in any epoch, in order of appearance."""
    tables = (epoch.get(key) for run in row.runs for epoch in run.epochs)
    return list(dict.fromkeys(name for t in tables if isinstance(t, Mapping) for name in t))


def curves_picture(direction: DirectionRuns, focal: RunGroup | None) -> Picture:
    """Draw accuracy over epochs of every row, and the losses of the focal one."""
    accuracy = _plot_accuracy(direction, focal)
    told = ["caption"] if len(direction.rows) <= _MOST_ROWS else ["caption", "others"]
    if focal is None:
        return picture("curves", accuracy, more=told)
    losses = _plot_losses(focal)
    return picture("curves", accuracy, losses, more=(*told, "losses"), row=focal.label)


def losses_picture(row: RunGroup) -> Picture:
    """Draw the losses of a row alone."""
    return picture("curves", _plot_losses(row), more=("losses_alone",), row=row.label)


def domain_pictures(row: RunGroup) -> Iterator[Picture | str]:
    """Draw how discriminators and attention of a row develop in training, as far as it has any."""
    panels: dict[str, Panel] = {}
    if domain := _plot_domain_accuracy(row):
        panels["discriminators"] = domain
    if attention_kind(row) == "none":
        yield f"Attention in training: {row.label} has no attention."
    elif attention := _plot_attention(row):
        panels["attention"] = attention
    else:
        yield f"Attention in training: the runs of {row.label} kept none."
    if domain is None:
        yield f"Domain accuracy: the runs of {row.label} kept none."
    if panels:
        yield picture(
            "domains", *panels.values(), more=[*panels, "caption"], row=row.label, part=part_of(row)
        )


def named_rows(direction: DirectionRuns, focal: RunGroup | None) -> list[RunGroup]:
    """Return the rows that have a colour and a name among curves: all, as far as one can look.

    Of more they are the focal one and those that bound what it could come to.
    """
    if len(direction.rows) <= _MOST_ROWS:
        return list(direction.rows)
    like = focal or direction.rows[0]
    bounds = [pick_like(direction.rows, name, like) for name in ("target-only", "source-only")]
    return [row for row in (*bounds, focal) if row is not None]


def _plot_accuracy(direction: DirectionRuns, focal: RunGroup | None) -> Panel:
    every = {row.label: accuracy_curves(row) for row in direction.rows}
    named = named_rows(direction, focal)
    looks = [{**row_look(row), "linewidth": _FOCAL_WIDTH if row is focal else 1.4} for row in named]
    curves = {row.label: every[row.label] for row in named}
    others = [curve for label, curve in every.items() if label not in curves]
    with new_figure(3.6 + 0.2 * ((len(curves) + 2) // 2)) as (figure, axes):
        for number, curve in enumerate(others):
            label = None if number else f"{len(others)} other rows"
            epochs = np.arange(1, curve.shape[1] + 1)
            mark = {"marker": "."} if len(epochs) == 1 else {}
            axes.plot(epochs, curve.mean(axis=0), label=label, **_OF_OTHERS, **mark)
        _draw_lines(axes, curves, looks)
        axes.set_ylabel("target accuracy (%)")
        axes.set_ylim(bottom=0)
        legend_below(figure, axes)
        alt = f"Lines of target accuracy in percent {_ends(curves, 0)}"
        if others:
            last = sorted(float(curve[:, -1].mean()) for curve in others)
            alt += f" {len(others)} other rows end between {last[0]:.0f} and {last[-1]:.0f}."
        data = _curves_data("row", "accuracy_percent", every)
        return draw(figure, "learning-curves", "Target accuracy in training", alt, data)


def _plot_losses(row: RunGroup) -> Panel:
    terms = {term: curve for term, curve in _measured(row, "losses").items() if term != "total"}
    curves = {_term_label(term): curve for term, curve in terms.items()}
    with new_figure(4.0) as (figure, axes):
        _draw_lines(axes, curves)
        if any(term.startswith("adversarial") for term in terms):
            axes.axhline(log(2), label="ln 2: domains look alike", **REFERENCE)
        in_nats = all(term.startswith(_NATS) for term in terms)
        unit = "nats" if in_nats else "each in its own unit"
        means = [curve.mean(axis=0) for curve in curves.values()]
        sizes = [float(np.abs(curve).max()) for curve in means]
        if sizes and max(sizes) > _WIDE * max(min(sizes), 1 / _WIDE):
            axes.set_yscale("symlog", linthresh=1)
            axes.yaxis.set_major_formatter("{x:g}")
            unit += ", log above 1"
        axes.set_ylabel(f"loss ({unit})")
        if all((curve >= 0).all() for curve in means):
            axes.set_ylim(bottom=0)
        legend_below(figure, axes)
        alt = f"Lines of the losses of {row.label} {_ends(curves, 3)}"
        data = _curves_data("loss", "nats" if in_nats else "value", curves)
        return draw(figure, "losses", f"Loss terms of {row.method} in training", alt, data)


def _plot_domain_accuracy(row: RunGroup) -> Panel | None:
    """Draw the accuracy of every discriminator, or nothing where it was not kept."""
    curves = {level: 100 * curve for level, curve in _measured(row, "domain_accuracy").items()}
    if not curves:
        return None
    with new_figure(3.7) as (figure, axes):
        _draw_lines(axes, {f"{level} discriminator": c for level, c in curves.items()})
        # All domains count the same, so that one who knows nothing has half of two right.
        config = row.config
        guessing = 100 / (len(config.sources) + 1 if config.are_domains else 2)
        axes.axhline(guessing, label="guessing", **REFERENCE)
        axes.set_ylabel("domain accuracy (%)")
        lowest = min(curve.min() for curve in curves.values())
        axes.set_ylim(min(guessing - 10, lowest - 2), 102)
        legend_below(figure, axes)
        ends = _ends(curves, 0, f"; {guessing:.0f} is guessing")
        alt = f"Lines of the domain accuracy of {row.label} in percent {ends}"
        title = f"Discriminators of {row.method} in training"
        data = _curves_data("discriminator", "accuracy_percent", curves)
        return draw(figure, "domain-accuracy", title, alt, data)


def _plot_attention(row: RunGroup) -> Panel | None:
    """Draw mean attention of each part, or nothing where it was not kept."""
    curves = attention_curves(row)
    if curves is None:
        return None
    part = part_of(row)
    names = part_names(part, curves.shape[2])
    every = -(-len(names) // _MOST_RELATIONS)
    numbers = [*range(0, len(names) - 1, every), len(names) - 1]
    more = " relation" if part == "relation" else ""
    shown = {f"{names[n]}{more}": curves[:, :, n] for n in numbers}
    with new_figure(3.9) as (figure, axes):
        _draw_lines(axes, shown)
        if attention_kind(row) == "domain":
            axes.axhline(LEAST_ATTENTION, label=ALIKE, **REFERENCE)
        axes.set_ylabel("mean attention w (no unit)")
        legend_below(figure, axes)
        alt = f"Lines of the mean attention of {row.label} by {part} {_ends(shown, 2)}"
        title = f"Attention of {row.method} in training"
        by_part = {name: curves[:, :, n] for n, name in enumerate(names)}
        data = _curves_data(part, "attention", by_part)
        return draw(figure, "attention-in-training", title, alt, data)


def _curves_data(of: str, measure: str, curves: Mapping[str, Curves]) -> Data:
    """Return what `_draw_lines` draws: means over seeds, the lowest and the highest seed."""
    lines = (
        (label, epoch, float(seeds.mean()), float(seeds.min()), float(seeds.max()))
        for label, curve in curves.items()
        for epoch, seeds in enumerate(curve.T, start=1)
    )
    return (of, "epoch", measure, "lowest_seed", "highest_seed"), lines


def _draw_lines(
    axes: Axes, curves: Mapping[str, Curves], looks: Sequence[dict[str, Any]] = LINE_LOOKS
) -> None:
    """Draw means of curves [S, E] over epochs, with bands from the lowest seed to the highest."""
    for number, (label, curve) in enumerate(curves.items()):
        look = {**looks[number % len(looks)], "markeredgecolor": "white", "markeredgewidth": 0.6}
        epochs = np.arange(1, curve.shape[1] + 1)
        # Marks are few, and those of several lines staggered.
        every = max(1, len(epochs) // 6)
        low, high = curve.min(axis=0), curve.max(axis=0)
        axes.fill_between(epochs, low, high, color=look["color"], alpha=0.13, linewidth=0)
        staggered = (number % every, every)
        axes.plot(epochs, curve.mean(axis=0), label=label, markevery=staggered, **look)
    axes.set_xlabel("epoch")
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def _measured(row: RunGroup, key: str) -> dict[str, Curves]:
    found = {name: curves_of(row, key, name) for name in measured_names(row, key)}
    return {name: curve for name, curve in found.items() if curve is not None}


def _term_label(name: str) -> str:
    kind, _, level = name.partition("_")
    return f"domain, {level}" if kind == "adversarial" else name.replace("_", " ")


def _ends(curves: Mapping[str, Curves], digits: int, note: str = "") -> str:
    means = {name: curve.mean(axis=0) for name, curve in curves.items()}
    ends = [f"{name} from {m[0]:.{digits}f} to {m[-1]:.{digits}f}" for name, m in means.items()]
    return f"over epochs, mean over seeds{note}. {'; '.join(ends)}."


def _numbers(values: Any, count: int) -> list[float]:
    """Return so many numbers, NaN where there are others."""
    fits = isinstance(values, list) and len(values) == count
    return [_number(value) for value in values] if fits else [nan] * count


def _number(value: Any, *keys: str) -> float:
    """Return the number to which keys lead, NaN where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else nan


def scored_rules(row: RunGroup) -> list[str]:
    """Return the rules that have a score in some epoch of some seed."""
    names = sorted(measured_names(row, "validators"), key=rule_place)
    return [name for name in names if any(_points(run, name) for run in row.runs)]


def selection_picture(row: RunGroup) -> Picture | str:
    """Draw accuracy against the score of every label-free rule, a point for an epoch and seed."""
    rules = scored_rules(row)
    if not rules:
        return f"Selection: the runs of {row.label} kept no validator scores."
    height = (len(rules) + _COLUMNS - 1) // _COLUMNS
    grid = {"nrows": height, "ncols": _COLUMNS, "sharey": True, "squeeze": False}
    with new_figure(1.9 + 1.5 * height, **grid) as (figure, cells):
        panels = list(cells.flat)
        found = {rule: mean_rank_correlation(row.runs, rule) for rule in rules}
        for axes, rule in zip(panels, rules, strict=False):
            _draw_rule(axes, row, rule)
            axes.set_title(f"{rule}: {_rho(found[rule])}", fontsize=10)
        for axes in panels[len(rules) :]:
            axes.remove()
        figure.supylabel("target accuracy (%)", fontsize=10)
        # The lowest of each column.
        for axes in panels[max(len(rules) - _COLUMNS, 0) : len(rules)]:
            axes.set_xlabel("score (higher is better)")
        _explain(figure, len(row.runs[0].epochs))
        told = "; ".join(f"{rule} {_rho(value)}" for rule, value in found.items())
        what = f"Scatter plots of target accuracy against the score of {len(rules)} selection rules"
        title = f"Rules that need no target labels, {row.method}"
        alt = f"{what} over the epochs of {row.label}. {told}."
        columns = ("rule", "seed", "epoch", "score", "accuracy_percent", "chosen")
        panel = draw(figure, "selection", title, alt, (columns, _selection_lines(row, rules)))
    return picture("selection", panel, row=row.label, videos=rules_on_note(row.config.settings))


def _selection_lines(row: RunGroup, rules: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for rule in rules:
        for run in row.runs:
            chosen = run.result.rules.get(rule)
            for epoch, score, accuracy in _points(run, rule):
                is_chosen = chosen is not None and epoch == chosen.epoch
                yield rule, run.seed, epoch, score, accuracy, is_chosen


def _points(run: Run, rule: str) -> list[tuple[int, float, float]]:
    """Return epoch, score and accuracy of the epochs with a score."""
    epochs = enumerate(zip(run.scores(rule), run.accuracies, strict=True), start=1)
    return [(epoch, score, accuracy) for epoch, (score, accuracy) in epochs if score is not None]


def _draw_rule(axes: Axes, row: RunGroup, rule: str) -> None:
    stretches = _stretches(len(row.runs[0].epochs))
    for run in row.runs:
        points = _points(run, rule)
        if not points:
            continue
        thin = evenly(len(points), _MOST_POINTS)
        for stretch, look in zip(stretches, _DOTS, strict=False):
            inside = [points[i] for i in thin if points[i][0] in stretch]
            axes.plot([score for _, score, _ in inside], [hit for *_, hit in inside], **look)
        chosen = run.result.rules.get(rule)
        for epoch, score, accuracy in points:
            if chosen is not None and epoch == chosen.epoch:
                axes.plot(score, accuracy, **_RING)
    axes.tick_params(labelsize=8.5)
    axes.locator_params(axis="x", nbins=4)
    axes.margins(0.08)


def _stretches(num_epochs: int) -> list[range]:
    """Return the epochs in as many stretches as there are shades, or one each if they are few."""
    count = min(num_epochs, len(_SHADES))
    ends = [1 + number * num_epochs // count for number in range(count + 1)]
    return [range(low, high) for low, high in pairwise(ends)]


def _explain(figure: Figure, num_epochs: int) -> None:
    handles = [Line2D([], [], label="chosen by the rule (each seed)", **_RING)]
    for stretch, look in zip(_stretches(num_epochs), _DOTS, strict=False):
        name = f"epochs {stretch[0]}–{stretch[-1]}" if len(stretch) > 1 else f"epoch {stretch[0]}"  # noqa: RUF001
        handles.append(Line2D([], [], label=name, **{**look, "markersize": 6}))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _rho(value: float | None) -> str:
    text = "undefined" if value is None else minus(f"{value:+.2f}")
    return f"ρ = {text}"  # noqa: RUF001
