"""If this breaks, a misprinted figure of the paper passes for a measured one, or the reverse."""

import pytest

from ta3n.train.paper.rows import ROWS, Direction
from ta3n.train.report.tables.paper import correct_videos, num_target_videos, why_impossible

FULL_TO_UCF = ("ucf-hmdb-full", "hmdb51", "ucf101")


@pytest.mark.parametrize(
    ("direction", "total"),
    [
        (("ucf-hmdb-full", "ucf101", "hmdb51"), 360),
        (FULL_TO_UCF, 571),
        (("ucf-olympic", "ucf101", "olympic"), 54),
        (("ucf-olympic", "olympic", "ucf101"), 240),
        (("ucf-hmdb-small", "ucf101", "hmdb51"), 150),
        (("ucf-hmdb-small", "hmdb51", "ucf101"), 189),
    ],
)
def test_every_direction_of_the_paper_has_its_videos(direction: Direction, total: int) -> None:
    assert num_target_videos(direction) == total


def test_exactly_the_figures_that_no_count_gives_are_found() -> None:
    """Every other printed figure is 100 k / N, rounded, for some whole k."""
    impossible = set()
    # What is cited from earlier work was measured on other videos.
    for row in [row for row in ROWS.values() if not row.reading]:
        for direction, figure in row.figures.items():
            total = num_target_videos(direction)
            assert total is not None
            by_trial = {round(100 * k / total, 2) for k in range(total + 1)}
            assert (why_impossible(figure, total) is None) == (figure in by_trial)
            if figure not in by_trial:
                impossible.add((direction, figure))
    assert impossible == {(FULL_TO_UCF, figure) for figure in (74.44, 79.69, 79.34)}


def test_the_same_figure_is_possible_with_other_videos() -> None:
    assert correct_videos(74.44, 360) == 268
    assert why_impossible(74.44, 360) is None
    told = why_impossible(74.44, 571)
    assert told is not None
    assert "425 are 74.43, 426 are 74.61" in told
    assert correct_videos(74.96, 571) == 428


@pytest.mark.parametrize(("percent", "correct"), [(0.0, 0), (100.0, 54), (98.15, 53)])
def test_ends_of_the_scale(percent: float, correct: int) -> None:
    assert correct_videos(percent, 54) == correct
