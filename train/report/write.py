"""The one way into the report: run folders in, page, pictures and tables out."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ta3n.common.errors import DataMissingError, UsageError, did_you_mean, printable
from ta3n.common.files import replace_file
from ta3n.train.epic.metrics import TailClasses
from ta3n.train.epic.ranking import read_tail
from ta3n.train.paper.labels import rule_place
from ta3n.train.report.data.collect import DirectionRuns, RunSet, collect_runs
from ta3n.train.report.data.compare import Analysis, analyse, check_focal
from ta3n.train.report.tables.actions import actions_sheet
from ta3n.train.report.tables.matrix import directions_sheet
from ta3n.train.report.tables.paper import TITLES, is_any_row, paper_sheet
from ta3n.train.report.tables.rows import (
    comparisons_sheet,
    epochs_sheet,
    heads_sheet,
    others_sheet,
    results_csv,
    rules_sheet,
)
from ta3n.train.report.tables.sheet import Sheet, print_sheet, to_csv, to_latex, to_markdown
from ta3n.train.report.tables.sources import sources_sheet
from ta3n.train.report.tables.summary import further_findings, main_finding
from ta3n.train.runs.records import Run, stream_records

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

_SHEETS = (
    *TITLES,
    "others",
    "heads",
    "actions",
    "directions",
    "sources",
    "comparisons",
    "rules",
    "epochs",
)
_FORMATS = {"md": to_markdown, "tex": to_latex, "csv": to_csv}

# Whatever comes from data is escaped, once.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
NO_LABELS = "The tested videos have no labels, so that there is no accuracy."

_TEMPLATES.filters["base64"] = lambda data: b64encode(data).decode()
_TEMPLATES.globals["ran_with"] = lambda row: ", ".join(sorted(set(map(_where, row.runs))))


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that tables and sentences of a report are made of.

    Attributes:
        analyses: One for each direction with an accuracy, in the order of `runs`.
        sheets: All tables, those without a single run included.
    """

    runs: RunSet
    analyses: tuple[Analysis, ...]
    sheets: tuple[Sheet, ...]

    @property
    def unlabelled(self) -> tuple[DirectionRuns, ...]:
        """The directions whose tested videos have no labels."""
        return tuple(each for each in self.runs.directions if not each.is_labelled)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written.

    Attributes:
        csv: The tidy table of all seeds.
        tables: Every table as Markdown, LaTeX and CSV.
        figures: Every picture as PNG and SVG.
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
            for each in (analysis, *analysis.further):
                print(f"\n{printable(each.direction.label)}: {printable(main_finding(each))}")
        for direction in self.contents.unlabelled:
            print(f"\n{printable(direction.label)}: {NO_LABELS}")
        for note in self.notes:
            print(f"note: {printable(note)}")
        print(f"tables: {self.tables[0].parent}")
        print(f"report: {self.page}")


def write_report(
    runs: Sequence[Path],
    out: Path,
    *,
    features: Path | Sequence[Path] | None,
    command: str,
    videos: Path | None = None,
    pictures: bool = True,
    rules: Sequence[str] = (),
    focal: Sequence[str] = (),
    annotations: Path | None = None,
) -> Report:
    """Write the report of all finished runs under some folders, which are only read.

    Args:
        runs: What `ta3n-train --out` wrote.
        out: Folder for `report.html`, `results.csv`, `tables` and `figures`; what is there is
            replaced.
        features: Folder that stage one wrote, or one for each stream; None leaves out the pictures
            that need it.
        command: The command line, told on the page.
        videos: Folder with the target's videos; None leaves out the pictures that need it.
        rules: Selection rules to show, the first to compare by; none means all, and `last`.
        focal: The row that all others are held against, see `focal_rows`; none chooses it. The
            summary also tells how further ones compare with all others.
        annotations: Folder of the annotations of EPIC-KITCHENS-100, for figures of its tail
            classes.

    Raises:
        DataMissingError: If there is no finished run, or a folder is not there.
        DataConflictError: If runs were made from different features, or annotations are not of
            the published form.
        UsageError: For a rule or a focal row that no run has.
        OSError: If the report cannot be written.
    """
    folders = [features] if isinstance(features, Path) else list(features or ())
    for folder in (*folders, videos):
        if folder is not None and not folder.is_dir():
            raise DataMissingError(f"{folder} is no folder")
    contents = build_contents(collect_runs(*runs), rules, focal, read_tail(annotations))
    galleries = _galleries(contents, folders, videos, focal, pictures=pictures)
    figures = {
        out / "figures" / f"{panel.name}.{suffix}": data
        for gallery in galleries.values()
        for picture in gallery.pictures
        for panel in picture.panels
        for suffix, data in (("png", panel.png), ("svg", panel.svg))
    }
    tables = {
        out / "tables" / f"{sheet.name}.{suffix}": render(sheet).encode(errors="backslashreplace")
        for sheet in contents.sheets
        for suffix, render in _FORMATS.items()
    }
    table, page = out / "results.csv", out / "report.html"
    whole = {
        table: results_csv(contents.runs.directions),
        page: build_page(contents, galleries, command),
    }
    for path, data in {**figures, **tables, **whole}.items():
        replace_file(path, data)
    for name, suffix in product(_SHEETS, _FORMATS):
        # An earlier report may have had it.
        if (path := out / "tables" / f"{name}.{suffix}") not in tables:
            path.unlink(missing_ok=True)
    missing = [line for gallery in galleries.values() for line in gallery.missing]
    return Report(
        page=page,
        csv=table,
        tables=tuple(tables),
        figures=tuple(figures),
        contents=contents,
        notes=(*contents.runs.notes, *missing),
    )


def build_contents(
    runs: RunSet,
    rules: Sequence[str] = (),
    focal: Sequence[str] = (),
    tail: TailClasses | None = None,
) -> Contents:
    """Compare rows and make all tables.

    Args:
        rules: Selection rules to show, and the first to compare by; none shows all, and compares
            by `last`.
        focal: As for `write_report`.
        tail: Classes of EPIC-KITCHENS-100 that are rare, where they are known.

    Raises:
        UsageError: For a rule or a focal row that no run has.
    """
    for name in focal:
        check_focal(runs.directions, name)
    known = {rule for direction in runs.directions for rule in direction.rules}
    for rule in rules:
        if rule not in known:
            listed = ", ".join(sorted(known, key=rule_place))
            hint = did_you_mean(rule, known)
            raise UsageError(f"no run has the rule {rule!r}{hint}; they have {listed}")
    shown = tuple(dict.fromkeys(rules)) or tuple(sorted(known, key=rule_place))
    rule = shown[0] if rules else "last"
    labelled = [direction for direction in runs.directions if direction.is_labelled]
    analyses = tuple(analyse(direction, rule, focal) for direction in labelled)
    sheets = _sheets(analyses, shown, tail) if analyses else ()
    if unlabelled := [each for each in runs.directions if not each.is_labelled]:
        sheets = (*sheets, epochs_sheet(unlabelled, shown))
    return Contents(runs=runs, analyses=analyses, sheets=sheets)


def _sheets(
    analyses: Sequence[Analysis], rules: Sequence[str], tail: TailClasses | None
) -> tuple[Sheet, ...]:
    others = [(a, [row for row in a.direction.rows if not is_any_row(row)]) for a in analyses]
    blocks = [(analysis, rows) for analysis, rows in others if rows]
    sheets = [paper_sheet(name, analyses, rules) for name in TITLES]
    if blocks:
        sheets.append(others_sheet(blocks, rules))
    sheets += [heads_sheet(analyses, rules)]
    sheets += [actions_sheet([a.direction for a in analyses], tail)]
    # Right by one head and right by all have no mean.
    whole = [analysis for analysis in analyses if not analysis.direction.is_of_some_heads]
    # Several sources have a table of their own, and no part in the mean of all directions.
    if single := [analysis for analysis in whole if len(analysis.direction.sources) == 1]:
        sheets.append(directions_sheet(single, rules))
    sheets.append(sources_sheet(analyses, rules))
    sheets.append(comparisons_sheet(analyses))
    sheets += [rules_sheet([a.direction for a in analyses], rules)]
    return tuple(sheet for sheet in sheets if sheet.blocks)


def _galleries(
    contents: Contents,
    features: Sequence[Path],
    videos: Path | None,
    focal: Sequence[str],
    *,
    pictures: bool,
) -> dict[str, "Gallery"]:
    if not pictures:
        return {}
    # Matplotlib is slow to import: a mistake in the arguments is told before.
    from ta3n.train.report.figures.pictures import draw_pictures

    directions = contents.runs.directions
    galleries = {}
    for direction in directions:
        parts = (direction.benchmark, direction.source, direction.target, *direction.heads)
        name = f"{'-'.join(parts)}-"
        prefix = re.sub(r"[^\w.-]", "_", name) if len(directions) > 1 else ""
        galleries[direction.label] = draw_pictures(direction, features, prefix, videos, focal)
    return galleries


def build_page(contents: Contents, galleries: Mapping[str, "Gallery"], command: str) -> bytes:
    """Return the page: one HTML file that needs no network, no script and no other file.

    The galleries are by label of the direction, if any were to be drawn.
    """
    directions = contents.runs.directions
    page = _TEMPLATES.get_template("page.html.j2").render(
        title="Results" if len(directions) > 1 else directions[0].label,
        num_runs=sum(len(row.runs) for direction in directions for row in direction.rows),
        contents=contents,
        galleries=galleries,
        main_finding=main_finding,
        further_findings=further_findings,
        warnings=_warnings,
        no_labels=NO_LABELS,
        command=command,
        directions=directions,
        streams=_streams(directions[0]),  # all runs share them
        version=version("ta3n"),
    )
    # A file name need not be valid Unicode; its odd bytes are shown as such.
    return page.encode(errors="backslashreplace")


def _streams(direction: DirectionRuns) -> list[Mapping[str, Any]]:
    """Return how the features of each stream were made."""
    return [each["features"] for each in stream_records(direction.rows[0].config)]


def _warnings(direction: DirectionRuns) -> list[str]:
    """Return what makes the figures of a direction less than they seem."""
    found = []
    weights = [str(features["weights"]) for features in _streams(direction)]
    randomly = {n: name for n, name in enumerate(weights, 1) if name.startswith("random")}
    if len(randomly) == len(weights):
        found.append(f"The backbone has random weights ({weights[0]}): accuracies mean nothing.")
    elif randomly:
        number, name = next(iter(randomly.items()))
        found.append(f"The backbone of stream {number} has random weights ({name}).")
    if direction.rows[0].config.settings.get("tested") == "train":
        found.append(
            "The tested videos are the target's training videos, without whose labels the rows "
            "that adapt were trained: for tuning, not for comparison with other work."
        )
    counts = {len(row.runs) for row in direction.rows}
    if 1 in counts:
        found.append("Rows of one seed have no standard deviation.")
    if len(counts) > 1:
        found.append(f"The rows have between {min(counts)} and {max(counts)} seeds.")
    if any(row.adapts and not row.config.settings["published"] for row in direction.rows):
        found.append(
            "The loss weights of this direction were never published; those used are ours."
        )
    return found


def _where(run: Run) -> str:
    kept = run.environment
    versions = " ".join(f"{name} {kept[name]}" for name in ("ta3n", "torch") if name in kept)
    return f"{versions} on {kept.get('device', 'not recorded')}" if kept else "not recorded"
