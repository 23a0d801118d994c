"""The page: one HTML file that needs no network, no script and no other file."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.tables.contents import Contents
from ta3n.train.report.tables.sheet import Sheet
from ta3n.train.report.tables.summary import further_findings, main_finding
from ta3n.train.runs.records import Run

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

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
_TEMPLATES.globals["ran_with"] = lambda row: ", ".join(sorted(set(map(_where, row.runs))))


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
        directions=directions,
        features=directions[0].rows[0].config.data["features"],  # all runs share them
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


def _where(run: Run) -> str:
    kept = run.environment
    if not kept:
        return "not recorded"
    versions = " ".join(f"{name} {kept[name]}" for name in ("ta3n", "torch") if name in kept)
    return f"{versions} on {kept.get('device', 'not recorded')}"
