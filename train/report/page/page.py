"""The page: one HTML file that needs no network, no script and no other file."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ta3n.train.report.data.collect import DirectionRuns, RunGroup, RunSet
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.tables.contents import Contents
from ta3n.train.report.tables.sheet import Block, Column, Sheet, words
from ta3n.train.report.tables.summary import further_findings, main_finding
from ta3n.train.runs.records import Run

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

_SHORT_HASH = 16
_NOT_KEPT = "not recorded"

# Whatever comes from data is escaped, once.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters["base64"] = lambda data: b64encode(data).decode()


def build_page(contents: Contents, galleries: Mapping[str, "Gallery"], command: str) -> bytes:
    """Return the page.

    Args:
        contents: What is reported.
        galleries: Pictures by label of the direction, if any were to be drawn.
        command: The command line that made the report.
    """
    runs = contents.runs
    directions = runs.directions
    page = _TEMPLATES.get_template("page.html.j2").render(
        title="Results" if len(directions) > 1 else directions[0].label,
        num_runs=sum(len(row.runs) for direction in directions for row in direction.rows),
        sections=[_section(found, contents.sheets, galleries) for found in contents.analyses],
        notes=runs.notes,
        command=command,
        features=_feature_facts(runs),
        provenance=[_datasets(runs), *map(_runs, directions)],
        version=version("ta3n"),
    )
    # A file name need not be valid Unicode; its odd bytes are shown as such.
    return page.encode(errors="backslashreplace")


def _section(
    analysis: Analysis, sheets: Sequence[Sheet], galleries: Mapping[str, "Gallery"]
) -> dict[str, Any]:
    label = analysis.direction.label
    *findings, explanation = further_findings(analysis)
    return {
        "label": label,
        "finding": main_finding(analysis),
        "findings": findings,
        "explanation": explanation,
        "warnings": _warnings(analysis.direction),
        "tables": [
            (sheet, block)
            for sheet in sheets
            for block in sheet.blocks
            if block.has_runs and block.label == label
        ],
        "gallery": galleries.get(label),
    }


def _feature_facts(runs: RunSet) -> list[tuple[str, str]]:
    """Return what the features are; all runs of a report share them."""
    data = runs.directions[0].rows[0].config.data["features"]
    pixels = (f"profile {data['profile']}", data.get("transform"), f"{data['image_size']} pixels")
    timing = ", at a constant rate" if data.get("timing") == "cfr" else ""
    return [
        ("Backbone", f"{data['backbone']}, {data['feature_dim']} features a frame"),
        ("Weights", str(data["weights"])),
        ("Frames", f"{data['frames']}{timing}"),
        ("Pixels", ", ".join(filter(None, pixels))),
    ]


def _warnings(direction: DirectionRuns) -> list[str]:
    """Return what makes the figures of a direction less than they seem."""
    weights = str(direction.rows[0].config.data["features"]["weights"])
    found = []
    if weights.startswith("random"):
        found.append(f"The backbone has random weights ({weights}): accuracies mean nothing.")
    counts = {len(row.runs) for row in direction.rows}
    if 1 in counts:
        found.append("Rows of one seed have no standard deviation.")
    if len(counts) > 1:
        found.append(f"The rows have between {min(counts)} and {max(counts)} seeds.")
    adapting = [row for row in direction.rows if row.adapts]
    if any(not row.config.settings["published"] for row in adapting):
        found.append(
            "The loss weights of this direction were never published; those used are ours."
        )
    return found


def _datasets(runs: RunSet) -> tuple[Sheet, Block]:
    lines = {}
    for direction in runs.directions:
        data = direction.rows[0].config.data
        for dataset in (direction.source, direction.target):
            lines[direction.benchmark, dataset] = (
                dataset,
                direction.benchmark,
                data["manifests"][dataset][:_SHORT_HASH],
                data["lists"][dataset][:_SHORT_HASH],
                data["videos"][dataset]["train"],
                data["videos"][dataset]["val"],
            )
    return _sheet(
        "",
        "Datasets",
        "Datasets: first digits of the hashes of the feature manifest and of the list "
        "of videos used, and how many videos.",
        ("dataset", "benchmark", "manifest", "list", "train", "validation"),
        lines.values(),
        numbers=("train", "validation"),
    )


def _runs(direction: DirectionRuns) -> tuple[Sheet, Block]:
    lines = [
        (
            row.label,
            ", ".join(map(str, row.seeds)),
            row.config.hash[:_SHORT_HASH],
            _settings(row),
            ", ".join(sorted({_where(run) for run in row.runs})),
            sum(run.result.target_label_reads for run in row.runs),
        )
        for row in direction.rows
    ]
    return _sheet(
        "Runs",
        f"Runs, {direction.label}",
        f"{direction.label}: first digits of the configuration's hash, settings, versions, "
        "and how many single target labels were read, all seeds together. They are read to score "
        "every epoch, never to train an adapting row; target only trains on target labels, which "
        "are not counted here.",
        ("row", "seeds", "configuration", "recipe", "ran with", "label reads"),
        lines,
        numbers=("label reads",),
    )


def _sheet(
    title: str,
    label: str,
    caption: str,
    heads: Sequence[str],
    lines: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str],
) -> tuple[Sheet, Block]:
    """Return a table of which no file is written; without a title, its label names it."""
    columns = tuple(Column(head=h, names=(), words=h not in numbers) for h in heads)
    cells = tuple(tuple(words(str(value)) for value in line) for line in lines)
    block = Block(label=label, lines=cells)
    return Sheet(name="", title=title, caption=caption, columns=columns, blocks=(block,)), block


def _settings(row: RunGroup) -> str:
    recipe: Mapping[str, Any] = row.config.settings["recipe"]
    text = (
        f"{recipe['name']}: {recipe['epochs']} epochs, batch {recipe['source_batch']}, "
        f"rate {recipe['learning_rate']:g}"
    )
    if not row.adapts:
        return text
    weights: Mapping[str, float] = row.config.settings["weights"]
    return ", ".join([text, *(f"{name} {value:g}" for name, value in weights.items())])


def _where(run: Run) -> str:
    kept = run.environment
    if not kept:
        return _NOT_KEPT
    versions = " ".join(f"{name} {kept[name]}" for name in ("ta3n", "torch") if name in kept)
    return f"{versions} on {kept.get('device', _NOT_KEPT)}"
