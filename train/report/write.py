"""The one way into the report: run folders in, page, pictures and table out."""

import re
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.files import replace_file
from ta3n.train.report.collect import Direction, collect_runs
from ta3n.train.report.gallery import Gallery
from ta3n.train.report.table import print_direction, results_csv

PAGE_NAME, CSV_NAME, FIGURES_NAME = "report.html", "results.csv", "figures"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written.

    Attributes:
        page: The HTML page.
        csv: The tidy table.
        figures: Every picture as PNG and SVG.
        directions: The rows, by source and target.
        notes: Runs and pictures that were left out, and why.
    """

    page: Path
    csv: Path
    figures: tuple[Path, ...]
    directions: tuple[Direction, ...]
    notes: tuple[str, ...]

    def print(self) -> None:
        """Print the tables, the notes and where the page is on standard output."""
        for direction in self.directions:
            print_direction(direction)
        for note in self.notes:
            print(f"note: {note}")
        print(f"report: {self.page}")


def write_report(runs: Path, out: Path, *, features: Path | None, command: str) -> Report:
    """Write the report of all finished runs under a folder.

    Args:
        runs: What `ta3n-train --out` wrote.
        out: Folder for `report.html`, `results.csv` and `figures`; what is there is replaced.
        features: Folder that stage one wrote; None leaves out the pictures that need it.
        command: The command line, told on the page.

    Raises:
        DataMissingError: If there is no finished run.
        DataConflictError: If runs were made from different features.
        OSError: If the report cannot be written.
    """
    # Matplotlib is slow to import: a mistake in the arguments is told before.
    found = collect_runs(runs)
    from ta3n.train.report.page import build_page
    from ta3n.train.report.pictures import draw_pictures

    several = len(found.directions) > 1
    galleries = {
        direction.label: draw_pictures(direction, features, _prefix(direction) if several else "")
        for direction in found.directions
    }
    page, table = out / PAGE_NAME, out / CSV_NAME
    figures = [path for g in galleries.values() for path in _write_figures(out / FIGURES_NAME, g)]
    replace_file(table, results_csv(found.directions))
    replace_file(page, build_page(found, galleries, command))
    missing = [line for gallery in galleries.values() for line in gallery.missing]
    return Report(
        page=page,
        csv=table,
        figures=tuple(figures),
        directions=found.directions,
        notes=(*found.notes, *missing),
    )


def _prefix(direction: Direction) -> str:
    name = f"{direction.benchmark}-{direction.source}-{direction.target}-"
    return re.sub(r"[^\w.-]", "_", name)


def _write_figures(folder: Path, gallery: Gallery) -> list[Path]:
    paths = []
    for panel in (panel for picture in gallery.pictures for panel in picture.panels):
        for suffix, data in (("png", panel.png), ("svg", panel.svg)):
            paths.append(folder / f"{panel.name}.{suffix}")
            replace_file(paths[-1], data)
    return paths
