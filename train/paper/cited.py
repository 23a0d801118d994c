"""Figures that the paper's Table 2 cites from earlier work. They are facts, never run here.

No torch here.

Source: Table 2. Accuracy in percent; how many videos they were measured on is not said.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ta3n.train.paper.rows import Direction


@dataclass(frozen=True, kw_only=True)
class CitedRow:
    """A row of a table of the paper that others measured.

    Attributes:
        title: What the paper calls it.
        figures: Accuracy in percent, by direction; a direction without a figure is left out.
    """

    title: str
    figures: Mapping[Direction, float]


_UCF_OLYMPIC = ("ucf-olympic", "ucf101", "olympic")
_OLYMPIC_UCF = ("ucf-olympic", "olympic", "ucf101")
_UCF_HMDB = ("ucf-hmdb-small", "ucf101", "hmdb51")
_HMDB_UCF = ("ucf-hmdb-small", "hmdb51", "ucf101")


def _row(title: str, *figures: float) -> CitedRow:
    directions = (_UCF_OLYMPIC, _OLYMPIC_UCF, _UCF_HMDB, _HMDB_UCF)
    return CitedRow(title=title, figures=dict(zip(directions, figures, strict=False)))


CITED: Mapping[str, tuple[CitedRow, ...]] = {
    "table2": (
        _row("W. Sultani et al.", 33.33, 47.91, 68.70, 68.67),
        _row("T. Xu et al.", 87.00, 75.00, 82.00, 82.00),
        _row("AMLS (GFK)", 84.65, 86.44, 89.53, 95.36),
        _row("AMLS (SA)", 83.92, 86.07, 90.25, 94.40),
        _row("DAAA", 91.60, 89.96),
    )
}
"""By table; they stand above the paper's own rows."""
