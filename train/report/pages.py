"""The pages: everything that is told and drawn, as HTML."""

from base64 import b64encode
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ta3n.train.report.contents import AllKinds
from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.tables.summary import further_findings, main_finding
from ta3n.train.runs.records import Run, stream_records

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

NO_LABELS = "The tested videos have no labels, so that there is no accuracy."

# Whatever comes from data is escaped, once.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def build_page(found: AllKinds, galleries: Mapping[str, "Gallery"], command: str) -> bytes:
    """Return the page: one HTML file that needs no network, no script and no other file.

    The galleries are by label of the direction, if any were to be drawn.
    """
    directions = found.directions
    return _render(
        "page.html.j2",
        found=found,
        title="Results" if len(directions) > 1 else directions[0].label,
        num_runs=found.num_runs,
        galleries=galleries,
        command=command,
    )


def _render(template: str, **values: Any) -> bytes:
    page = _TEMPLATES.get_template(template).render(version=version("ta3n"), **values)
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


_TEMPLATES.filters["base64"] = lambda data: b64encode(data).decode()
_TEMPLATES.globals |= {
    "ran_with": lambda row: ", ".join(sorted(set(map(_where, row.runs)))),
    "main_finding": main_finding,
    "further_findings": further_findings,
    "warnings": _warnings,
    "streams": _streams,
    "no_labels": NO_LABELS,
}
