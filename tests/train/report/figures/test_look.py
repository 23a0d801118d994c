"""If this breaks, equal runs give different pictures, or a strange name stops the report."""

import io
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from ta3n.train.report.figures.accuracy import confusion_picture
from ta3n.train.report.figures.look import DPI, WIDTH_IN, Panel, draw, new_figure, shown_name

from ....support.made_runs import make_config, make_run
from ....support.reports import collect_runs


def drawn() -> Panel:
    with new_figure(2) as (figure, axes):
        axes.plot([1, 2], [3, 4], label="price in $ and $")
        axes.legend()
        return draw(figure, "x", "price", "a line", ((), ()))


def test_pictures_do_not_depend_on_the_day_or_the_readers_settings() -> None:
    before = drawn()
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 30}):
        after = drawn()
    assert before == after
    assert b"dc:date" not in before.svg
    with Image.open(io.BytesIO(before.png)) as image:
        assert image.size == (WIDTH_IN * DPI, 2 * DPI)
        assert image.mode == "RGB"


def test_names_are_drawn_on_one_line_in_letters_that_there_are() -> None:
    assert shown_name("ride_bike") == "ride_bike"
    assert shown_name("a\nb") == r"a\nb"
    assert shown_name("\udcff") == r"\udcff"
    assert shown_name("漢") == r"\u6f22"
    assert shown_name("x" * 30) == "x" * 17 + "…"


def test_strange_class_names_can_be_drawn(tmp_path: Path) -> None:
    make_run(tmp_path, make_config(), 0, (1, 2, 3))
    (direction,) = collect_runs(tmp_path).directions
    row = direction.rows[0]
    names = ["$\\frac", "漢字", "a\nb", "<b>"]
    strange = replace(row.config, settings={**row.config.settings, "classes": names})
    (panel,) = confusion_picture(replace(row, config=strange)).panels
    with Image.open(io.BytesIO(panel.png)) as image:
        assert np.asarray(image).std() > 10
