"""Learning curves: target accuracy of every row, and the loss terms of one."""

from collections.abc import Mapping
from math import log

from ta3n.train.paper.labels import losses_label, method_label
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.series import Curves, accuracy_curves, curves_of, measured_names
from ta3n.train.report.figures.look import (
    LINE_LOOKS,
    REFERENCE,
    Panel,
    draw,
    draw_band,
    finish_epochs,
    new_figure,
    row_look,
    set_title,
)


def plot_accuracy_curves(direction: DirectionRuns, name: str) -> Panel:
    """Draw target accuracy over epochs: mean over seeds, band from the lowest to the highest.

    Args:
        direction: Whose rows.
        name: Stem of the files.
    """
    curves = {row.label: accuracy_curves(row) for row in direction.rows}
    with new_figure(3.6 + 0.2 * ((len(curves) + 1) // 2)) as (figure, axes):
        for number, row in enumerate(direction.rows):
            draw_band(axes, curves[row.label], row.label, row_look(row), first_mark=number)
        set_title(figure, "Target accuracy in training")
        axes.set_ylabel("target accuracy (%)")
        axes.set_ylim(bottom=0)
        finish_epochs(figure, axes)
        what = "Lines of target accuracy in percent over epochs"
        return draw(figure, name, f"{what}, mean over seeds. {ends(curves, 0)}.")


def plot_losses(row: RunGroup, name: str) -> Panel:
    """Draw every loss term of a row over epochs: mean over seeds, band lowest to highest.

    Args:
        row: Whose losses.
        name: Stem of the files.
    """
    terms = {term: curves_of(row, "losses", term) for term in measured_names(row, "losses")}
    known = {t: curve for t, curve in terms.items() if curve is not None and t != "total"}
    with new_figure(4.0) as (figure, axes):
        for number, (term, curve) in enumerate(known.items()):
            look = LINE_LOOKS[number % len(LINE_LOOKS)]
            draw_band(axes, curve, losses_label(term), look, first_mark=number)
        if any(term.startswith("adversarial") for term in known):
            axes.axhline(log(2), label="ln 2: domains look alike", **REFERENCE)
        label = method_label(row.config.method)
        set_title(figure, f"Loss terms of {label} in training")
        axes.set_ylabel("loss (nats)")
        axes.set_ylim(bottom=0)
        finish_epochs(figure, axes)
        told = ends({losses_label(term): curve for term, curve in known.items()}, 3)
        return draw(
            figure,
            name,
            f"Lines of the losses of {row.label} over epochs, mean over seeds. {told}.",
        )


def ends(curves: Mapping[str, Curves], digits: int) -> str:
    """Return where each line begins and ends, in words.

    Args:
        curves: [seeds, epochs] by name.
        digits: After the point.
    """
    means = {name: curve.mean(axis=0) for name, curve in curves.items()}
    return "; ".join(
        f"{name} from {mean[0]:.{digits}f} to {mean[-1]:.{digits}f}" for name, mean in means.items()
    )
