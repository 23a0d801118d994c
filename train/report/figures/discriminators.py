"""How well each discriminator tells the domains apart in training."""

from ta3n.train.paper.labels import method_label
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.series import curves_of, measured_names
from ta3n.train.report.figures.curves import ends
from ta3n.train.report.figures.look import (
    LINE_LOOKS,
    REFERENCE,
    Panel,
    draw,
    draw_band,
    finish_epochs,
    new_figure,
    set_title,
)

_KEY = "domain_accuracy"
GUESSING = 50
"""Percent that a discriminator has right that knows nothing, both domains counting the same."""


def plot_domain_accuracy(row: RunGroup, name: str) -> Panel | None:
    """Draw the accuracy of every discriminator over epochs, or nothing where it was not kept.

    Args:
        row: Whose discriminators.
        name: Stem of the files.
    """
    found = {level: curves_of(row, _KEY, level) for level in measured_names(row, _KEY)}
    curves = {level: 100 * curve for level, curve in found.items() if curve is not None}
    if not curves:
        return None
    label = method_label(row.config.method)
    with new_figure(3.7) as (figure, axes):
        for number, (level, curve) in enumerate(curves.items()):
            look = LINE_LOOKS[number % len(LINE_LOOKS)]
            draw_band(axes, curve, f"{level} discriminator", look, first_mark=number)
        axes.axhline(GUESSING, label="guessing", **REFERENCE)
        set_title(figure, f"Discriminators of {label} in training")
        axes.set_ylabel("domain accuracy (%)")
        low = min(curve.min() for curve in curves.values())
        axes.set_ylim(min(40.0, low - 2), 102)
        finish_epochs(figure, axes)
        what = f"Lines of the domain accuracy of {row.label} in percent over epochs"
        return draw(figure, name, f"{what}, mean over seeds; 50 is guessing. {ends(curves, 0)}.")
