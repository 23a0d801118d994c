"""The one way into the report: run folders in, page, pictures and tables out."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ta3n.common.errors import (
    DataMissingError,
    FeatureStoreError,
    UsageError,
    did_you_mean,
    printable,
)
from ta3n.common.files import replace_file
from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.train.epic.metrics import TailClasses
from ta3n.train.epic.ranking import read_tail
from ta3n.train.paper.labels import rule_place
from ta3n.train.report.contents import AllKinds, Contents, direction_stems, file_stems
from ta3n.train.report.data.collect import DirectionRuns, RunSet, collect_kinds
from ta3n.train.report.data.compare import Analysis, analyse, check_focal
from ta3n.train.report.pages import FOLDER, INDEX, NO_LABELS, REPORT, build_pages
from ta3n.train.report.tables.actions import actions_sheet
from ta3n.train.report.tables.kinds import kinds_sheet
from ta3n.train.report.tables.matrix import matrix_sheets
from ta3n.train.report.tables.paper import TITLES, is_any_row, paper_sheet
from ta3n.train.report.tables.rows import (
    comparisons_sheet,
    epochs_sheet,
    heads_sheet,
    open_set_sheet,
    others_sheet,
    results_csv,
    results_rows,
    rules_sheet,
)
from ta3n.train.report.tables.sheet import Sheet, print_sheet, to_csv, to_latex, to_markdown
from ta3n.train.report.tables.sources import sources_sheet
from ta3n.train.report.tables.summary import main_finding
from ta3n.train.runs.records import stream_records

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

_SHEETS = (
    *(*TITLES, "others", "heads", "open-set", "actions", "sources", "comparisons", "rules"),
    *("epochs", "kinds"),
)
_OF_BENCHMARKS = ("directions", "published")
"""Starts of names of tables, where several benchmarks have one each."""
_FORMATS = {"md": to_markdown, "tex": to_latex, "csv": to_csv}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written.

    Attributes:
        csv: The tidy table of all seeds.
        tables: Every table as Markdown, LaTeX and CSV.
        figures: Every picture as PNG and SVG.
        numbers: What every picture shows, as CSV.
        pages: The index, and with several directions or kinds of features a page for each.
        found: What is told of each kind of features.
        notes: Runs and pictures that were left out, and why.
    """

    page: Path
    csv: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    numbers: tuple[Path, ...]
    pages: tuple[Path, ...]
    found: AllKinds
    notes: tuple[str, ...]

    @property
    def contents(self) -> Contents:
        """What is told of the first kind of features, or the only one."""
        return self.found.kinds[0]

    def record(self) -> dict[str, Any]:
        """Return the lines of the tidy table as plain values, what was left out, and the files."""
        rows = (
            {name: None if value == "" else value for name, value in line.items()}
            for line in results_rows(self.found.directions)
        )
        return {"rows": list(rows), "notes": self.notes, "csv": self.csv, "report": self.page}

    def print(self) -> None:
        """Print the tables of what was run, the summary, and what was left out or written."""
        told: set[str] = set()
        for sheet in (sheet for _, sheet in self.found.sheets if sheet.has_runs):
            print_sheet(sheet, told)
            told |= {sheet.caption, *sheet.notes}
        for analysis in self.found.analyses:
            for each in (analysis, *analysis.further):
                print(f"\n{printable(each.direction.label)}: {printable(main_finding(each))}")
        for direction in self.found.directions:
            if not direction.is_labelled:
                print(f"\n{printable(direction.label)}: {NO_LABELS}")
        for note in self.notes:
            print(f"note: {printable(note)}")
        print(f"tables: {self.csv.parent / 'tables'}")
        print(f"pages: {self.csv.parent / INDEX}")
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

    Runs on features of different kinds are told apart; then `tables` has a folder for each kind.

    Args:
        runs: What `ta3n-train --out` wrote.
        out: Folder for `index.html`, `pages`, `report.html`, `results.csv`, `tables` and
            `figures`; what is there is replaced.
        features: Folder that stage one wrote, or one for each stream, and so for each kind of
            features; None leaves out the pictures that need it.
        command: The command line, told on the page.
        videos: Folder with the target's videos; None leaves out the pictures that need it.
        rules: Selection rules to show, the first to compare by; none means all, and `last`.
        focal: The row that all others are held against, see `focal_rows`; none chooses it. The
            summary also tells how further ones compare with all others.
        annotations: Folder of the annotations of EPIC-KITCHENS-100, for figures of its tail
            classes.

    Raises:
        DataMissingError: If there is no finished run, or a folder is not there.
        DataConflictError: If runs were made from different features of one kind, or annotations
            are not of the published form.
        UsageError: For a rule or a focal row that no run has.
        OSError: If the report cannot be written.
    """
    folders = [features] if isinstance(features, Path) else list(features or ())
    for folder in (*folders, videos):
        if folder is not None and not folder.is_dir():
            raise DataMissingError(f"{folder} is no folder")
    found = build_kinds(collect_kinds(*runs), rules, focal, read_tail(annotations))
    galleries = _galleries(found, folders, videos, focal, pictures=pictures)
    panels = [
        panel
        for gallery in galleries.values()
        for picture in gallery.pictures
        for panel in picture.panels
    ]
    figures = {
        out / "figures" / f"{panel.name}.{suffix}": data
        for panel in panels
        for suffix, data in (("png", panel.png), ("svg", panel.svg))
    }
    numbers = {out / "figures" / f"{panel.name}.csv": panel.csv for panel in panels}
    tables = {
        out / "tables" / folder / f"{sheet.name}.{suffix}": text(sheet).encode(
            errors="backslashreplace"
        )
        for folder, sheet in found.sheets
        for suffix, text in _FORMATS.items()
    }
    table, page = out / "results.csv", out / REPORT
    pages = {out / path: text for path, text in build_pages(found, galleries, command).items()}
    rows = {table: results_csv(found.directions)}
    for path, data in {**figures, **numbers, **tables, **rows, **pages}.items():
        replace_file(path, data)
    _remove_tables_but(tables, out / "tables")
    _remove_pages_but(pages, out / FOLDER)
    return Report(
        page=page,
        csv=table,
        tables=tuple(tables),
        figures=tuple(figures),
        numbers=tuple(numbers),
        pages=tuple(path for path in pages if path != page),
        found=found,
        notes=(*found.notes, *_missing(galleries)),
    )


def _missing(galleries: Mapping[str, "Gallery"]) -> Iterator[str]:
    """Yield why pictures are not there, what holds of several directions once."""
    labels: dict[str, list[str]] = {}
    for label, gallery in galleries.items():
        for line in gallery.missing:
            labels.setdefault(line, []).append(label)
    for line, found in labels.items():
        if len(galleries) == 1:
            yield line
        elif len(found) == len(galleries):
            yield f"all directions: {line}"
        else:
            yield f"{'; '.join(found)}: {line}"


def _remove_tables_but(tables: Collection[Path], folder: Path) -> None:
    """Remove what an earlier report had, of other kinds of features too."""
    several = (f"{name}-*" for name in _OF_BENCHMARKS)
    names = (*_SHEETS, *_OF_BENCHMARKS, *several)
    for name, suffix in product(names, _FORMATS):
        file = f"{name}.{suffix}"
        for path in [*folder.glob(file), *folder.glob(f"*/{file}")]:
            if path not in tables:
                path.unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def _remove_pages_but(pages: Collection[Path], folder: Path) -> None:
    """Remove the pages that an earlier report had."""
    for path in folder.glob("*.html"):
        if path not in pages and b'name="generator" content="ta3n-report"' in path.read_bytes():
            path.unlink()


def build_kinds(
    kinds: Sequence[RunSet],
    rules: Sequence[str] = (),
    focal: Sequence[str] = (),
    tail: TailClasses | None = None,
) -> AllKinds:
    """Compare rows of each kind of features and make all tables.

    Args:
        rules: As for `write_report`; none compares by `last`.
        focal: As for `write_report`.
        tail: Classes of EPIC-KITCHENS-100 that are rare, where they are known.

    Raises:
        UsageError: For a rule or a focal row that no run has.
    """
    directions = [direction for each in kinds for direction in each.directions]
    for name in focal:
        check_focal(directions, name)
    known = {rule for direction in directions for rule in direction.rules}
    for rule in rules:
        if rule not in known:
            listed = ", ".join(sorted(known, key=rule_place))
            hint = did_you_mean(rule, known)
            raise UsageError(f"no run has the rule {rule!r}{hint}; they have {listed}")
    shown = tuple(dict.fromkeys(rules)) or tuple(sorted(known, key=rule_place))
    rule = shown[0] if rules else "last"
    several = len(kinds) > 1
    folders = file_stems([[runs.kind] for runs in kinds]) if several else [""]
    found = []
    for runs, folder in zip(kinds, folders, strict=True):
        analyses = tuple(analyse(each, rule, focal) for each in runs.directions if each.is_labelled)
        sheets = tuple(_sheets(analyses, shown, tail)) if analyses else ()
        if unlabelled := [each for each in runs.directions if not each.is_labelled]:
            sheets = (*sheets, epochs_sheet(unlabelled, shown))
        own = {
            each.label: _own_sheets(each, analyses, sheets, shown, tail)
            for each in runs.directions
            if len(runs.directions) > 1
        }
        found.append(
            Contents(runs=runs, analyses=analyses, sheets=sheets, own_sheets=own, folder=folder)
        )
    beside = kinds_sheet(kinds, shown, rule)
    return AllKinds(kinds=tuple(found), beside=(beside,) if beside.blocks else ())


def _own_sheets(
    direction: DirectionRuns,
    analyses: Sequence[Analysis],
    sheets: Sequence[Sheet],
    rules: Sequence[str],
    tail: TailClasses | None,
) -> list[Sheet]:
    """Return the tables of a direction alone; that of sources needs those of single ones too."""
    analysis = next((each for each in analyses if each.direction is direction), None)
    if analysis is None:
        return [epochs_sheet([direction], rules)]
    own = (sheet for sheet in _sheets([analysis], rules, tail) if sheet.name != "sources")
    return [*own, *(sheet for sheet in sheets if sheet.name == "sources")]


def _sheets(
    analyses: Sequence[Analysis], rules: Sequence[str], tail: TailClasses | None
) -> Iterator[Sheet]:
    """Yield the tables of which anything can be said."""
    directions = [analysis.direction for analysis in analyses]
    others = [(a, [row for row in a.direction.rows if not is_any_row(row)]) for a in analyses]
    blocks = [(analysis, rows) for analysis, rows in others if rows]
    # Right by one head and right by all have no mean.
    whole = [analysis for analysis in analyses if not analysis.direction.is_of_some_heads]
    # Several sources have a table of their own, and no part in the mean of all directions.
    single = [analysis for analysis in whole if len(analysis.direction.sources) == 1]
    sheets = (
        *(paper_sheet(name, analyses, rules) for name in TITLES),
        *([others_sheet(blocks, rules)] if blocks else []),
        heads_sheet(directions, rules),
        open_set_sheet(directions, rules),
        actions_sheet(directions, tail),
        *matrix_sheets(single, rules),
        sources_sheet(analyses, rules),
        comparisons_sheet(analyses),
        rules_sheet(directions, rules),
    )
    yield from (sheet for sheet in sheets if sheet.blocks)


def _galleries(
    found: AllKinds,
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

    directions = found.directions
    # Manifests are long, and asked for again and again.
    content_of = cache(_content_hash)
    galleries = {}
    for direction, stem in zip(directions, direction_stems(directions), strict=True):
        several = len(found.kinds) > 1
        own = _features_of(direction, features, content_of) if several else features
        prefix = f"{stem}-" if len(directions) > 1 else ""
        galleries[direction.label] = draw_pictures(direction, own, prefix, videos, focal)
    return galleries


def _features_of(
    direction: DirectionRuns, folders: Sequence[Path], content_of: Callable[[Path], str | None]
) -> Sequence[Path]:
    """Return the folders that hold the features of a direction, one for each stream.

    Where some are not among them, all are returned: who reads them says what is wrong.
    """
    there = []
    for stream in stream_records(direction.rows[0].config):
        wanted = {name: content for name, content in stream["manifests"].items() if content}
        there += [
            folder
            for folder in folders
            if all(content_of(folder / name) == content for name, content in wanted.items())
        ][:1]
    return there if len(there) == len(stream_records(direction.rows[0].config)) else folders


def _content_hash(folder: Path) -> str | None:
    with suppress(DataMissingError, FeatureStoreError):
        return read_record(Manifest, folder / MANIFEST_NAME).content_hash
    return None
