"""Domain attention of each relation in the course of training."""

from ta3n.train.paper.labels import method_label
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.series import (
    LEAST_ATTENTION,
    attention_curves,
    attention_kind,
    relation_names,
)
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

# More lines cannot be told apart: then the shortest, the longest, and some between them.
_MOST_LINES = 6


def plot_attention_training(row: RunGroup, name: str) -> Panel | None:
    """Draw mean attention of each relation over epochs, or nothing where it was not kept.

    Args:
        row: Whose relations.
        name: Stem of the files.
    """
    curves = attention_curves(row)
    if curves is None:
        return None
    names = relation_names(curves.shape[2])
    every = -(-len(names) // _MOST_LINES)
    numbers = [*range(0, len(names) - 1, every), len(names) - 1]
    shown = {f"{names[n]} relation": curves[:, :, n] for n in numbers}
    with new_figure(3.9) as (figure, axes):
        for number, (relation, curve) in enumerate(shown.items()):
            draw_band(
                axes, curve, relation, LINE_LOOKS[number % len(LINE_LOOKS)], first_mark=number
            )
        if attention_kind(row) == "domain":
            axes.axhline(LEAST_ATTENTION, label="1 − ln 2: domains look alike", **REFERENCE)  # noqa: RUF001
        label = method_label(row.config.method)
        set_title(figure, f"Attention of {label} in training")
        axes.set_ylabel("mean attention w (no unit)")
        finish_epochs(figure, axes)
        what = f"Lines of the mean attention of {row.label} by relation over epochs"
        return draw(figure, name, f"{what}, mean over seeds. {ends(shown, 2)}.")
