"""Which class a row takes for which, on the target.

Legend: C classes.
"""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ta3n.train.paper.labels import method_label
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.figures.look import (
    WIDTH_IN,
    Panel,
    draw,
    new_figure,
    set_title,
    shown_name,
    write_in_cell,
)

_MOST_CLASSES_WITH_COUNTS = 16
_MOST_CLASSES_WITH_NAMES = 40
_DARK = 0.55


def confusion_counts(row: RunGroup) -> NDArray[np.int64]:
    """Return [C, C]: videos of a true class (row) by predicted class, summed over seeds."""
    num_classes = len(row.classes)
    counts = np.zeros((num_classes, num_classes), np.int64)
    for run in row.runs:
        for prediction in run.predictions:
            counts[prediction.label, prediction.last] += 1
    return counts


def plot_confusion(row: RunGroup, name: str) -> Panel:
    """Draw the confusion matrix of the last epoch; every row of a class with videos sums to 1.

    Args:
        row: Whose predictions.
        name: Stem of the files.
    """
    counts = confusion_counts(row)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    with new_figure(0.9 * WIDTH_IN) as (figure, axes):
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_facecolor("#eeeeee")
        axes.grid(visible=False)
        _name_classes(axes, row.classes)
        if len(row.classes) <= _MOST_CLASSES_WITH_COUNTS:
            _write_counts(axes, counts, shares)
        axes.set(xlabel="predicted class", ylabel="true class")
        set_title(figure, f"Confusion matrix of {method_label(row.config.method)} on the target")
        bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)
        return draw(figure, name, _alt(row, counts))


def _name_classes(axes: Axes, classes: list[str]) -> None:
    named = len(classes) <= _MOST_CLASSES_WITH_NAMES
    places = range(len(classes)) if named else range(0, len(classes), 10)
    size = 8.5 if len(classes) <= _MOST_CLASSES_WITH_COUNTS else 6
    names = [shown_name(classes[i]) if named else str(i) for i in places]
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0)


def _write_counts(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (true, predicted), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[true, predicted] > _DARK else "black"
            write_in_cell(axes, predicted, true, str(count), colour)


def _alt(row: RunGroup, counts: NDArray[np.int64]) -> str:
    totals = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    right = ", ".join(
        f"{name} {100 * counts[i, i] / totals[i]:.0f} %" if totals[i] else f"{name} has no video"
        for i, name in enumerate(row.classes)
    )
    text = f"Confusion matrix of {row.label} on the target. Right: {right}."
    if wrong.any():
        true, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
        text += (
            f" Most frequent mistake: {row.classes[true]} taken for {row.classes[predicted]}, "
            f"{wrong[true, predicted]} of {totals[true]}."
        )
    return text
