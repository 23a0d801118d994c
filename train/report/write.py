"""The one way into the report: run folders in, page, pictures and tables out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ta3n.common.errors import DataMissingError
from ta3n.common.files import replace_file
from ta3n.common.names import printable
from ta3n.train.report.data.collect import DirectionRuns, collect_runs
from ta3n.train.report.page.page import build_page
from ta3n.train.report.tables.contents import SHEET_NAMES, Contents, build_contents
from ta3n.train.report.tables.rows import results_csv
from ta3n.train.report.tables.sheet import Sheet, print_sheet, to_csv, to_latex, to_markdown
from ta3n.train.report.tables.summary import main_finding

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

PAGE_NAME, CSV_NAME, FIGURES_NAME, TABLES_NAME = "report.html", "results.csv", "figures", "tables"
_FORMATS = {"md": to_markdown, "tex": to_latex, "csv": to_csv}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written.

    Attributes:
        page: The HTML page.
        csv: The tidy table of all seeds.
        tables: Every table as Markdown, LaTeX and CSV.
        figures: Every picture as PNG and SVG.
        contents: The tables and comparisons.
        notes: Runs and pictures that were left out, and why.
    """

    page: Path
    csv: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    contents: Contents
    notes: tuple[str, ...]

    def print(self) -> None:
        """Print the tables of what was run, the summary, and what was left out or written."""
        told: set[str] = set()
        for sheet in (sheet for sheet in self.contents.sheets if sheet.has_runs):
            print_sheet(sheet, told)
            told |= {sheet.caption, *sheet.notes}
        for analysis in self.contents.analyses:
            print(f"\n{printable(analysis.direction.label)}: {printable(main_finding(analysis))}")
        for note in self.notes:
            print(f"note: {printable(note)}")
        print(f"tables: {self.tables[0].parent}")
        print(f"report: {self.page}")


def write_report(
    runs: Sequence[Path],
    out: Path,
    *,
    features: Path | None,
    command: str,
    videos: Path | None = None,
    pictures: bool = True,
    rules: Sequence[str] = (),
) -> Report:
    """Write the report of all finished runs under some folders, which are only read.

    Args:
        runs: What `ta3n-train --out` wrote.
        out: Folder for `report.html`, `results.csv`, `tables` and `figures`; what is there is
            replaced.
        features: Folder that stage one wrote; None leaves out the pictures that need it.
        command: The command line, told on the page.
        videos: Folder with the target's videos; None leaves out the pictures that need it.
        pictures: Whether to draw any.
        rules: Selection rules to show, the first to compare by; none means all, and `last`.

    Raises:
        DataMissingError: If there is no finished run, or a folder is not there.
        DataConflictError: If runs were made from different features.
        UsageError: For a rule that no run has.
        OSError: If the report cannot be written.
    """
    for folder in (features, videos):
        if folder is not None and not folder.is_dir():
            raise DataMissingError(f"{folder} is no folder")
    found = collect_runs(*runs)
    contents = build_contents(found, rules)
    galleries = _galleries(contents, features, videos, pictures=pictures)
    page, table = out / PAGE_NAME, out / CSV_NAME
    figures = [path for g in galleries.values() for path in _write_figures(out / FIGURES_NAME, g)]
    tables = _write_tables(out / TABLES_NAME, contents.sheets)
    replace_file(table, results_csv(found.directions))
    replace_file(page, build_page(contents, galleries, command))
    missing = [line for gallery in galleries.values() for line in gallery.missing]
    return Report(
        page=page,
        csv=table,
        tables=tuple(tables),
        figures=tuple(figures),
        contents=contents,
        notes=(*found.notes, *missing),
    )


def _galleries(
    contents: Contents, features: Path | None, videos: Path | None, *, pictures: bool
) -> dict[str, "Gallery"]:
    if not pictures:
        return {}
    # Matplotlib is slow to import: a mistake in the arguments is told before.
    from ta3n.train.report.figures.pictures import draw_pictures

    directions = contents.runs.directions
    several = len(directions) > 1
    prefixes = [_prefix(direction) if several else "" for direction in directions]
    return {
        direction.label: draw_pictures(direction, features, prefix, videos)
        for direction, prefix in zip(directions, prefixes, strict=True)
    }


def _prefix(direction: DirectionRuns) -> str:
    name = f"{direction.benchmark}-{direction.source}-{direction.target}-"
    return re.sub(r"[^\w.-]", "_", name)


def _write_tables(folder: Path, sheets: Sequence[Sheet]) -> list[Path]:
    """Write every table in every format; remove those of an earlier report that are no more."""
    written = []
    for sheet in sheets:
        for suffix, render in _FORMATS.items():
            written.append(folder / f"{sheet.name}.{suffix}")
            replace_file(written[-1], render(sheet).encode(errors="backslashreplace"))
    for path in (folder / f"{name}.{suffix}" for name in SHEET_NAMES for suffix in _FORMATS):
        if path not in written:
            path.unlink(missing_ok=True)
    return written


def _write_figures(folder: Path, gallery: "Gallery") -> list[Path]:
    paths = []
    for panel in (panel for picture in gallery.pictures for panel in picture.panels):
        for suffix, data in (("png", panel.png), ("svg", panel.svg)):
            paths.append(folder / f"{panel.name}.{suffix}")
            replace_file(paths[-1], data)
    return paths
