"""The pages: everything that is told and drawn, as HTML."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ta3n.train.report.contents import AllKinds, Contents, direction_stems
from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.data.compare import gain
from ta3n.train.report.tables.open_set import label_sets_notes
from ta3n.train.report.tables.sheet import difference, over_seeds
from ta3n.train.report.tables.summary import further_findings, main_finding
from ta3n.train.runs.records import Run, stream_records

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

NO_LABELS = "The tested videos have no labels, so that there is no accuracy."

INDEX = "index.html"
FOLDER = "pages"
_HERE = Path(__file__).parent / "templates"
_SCRIPT = (_HERE / "tables.js").read_text("utf-8")
_SCRIPT_HASH = f"sha256-{b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}"

# Whatever comes from data is escaped, once.
_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, kw_only=True)
class DirectionPage:
    """The page of a direction on one kind of features, and its line in the index.

    Attributes:
        path: Within the report's folder.
        row: The row that the page is about; empty where there is none.
        accuracy: Of that row, in words.
        gain: Of that row over source only, in words.
    """

    path: str
    direction: DirectionRuns
    contents: Contents
    row: str
    accuracy: str
    gain: str

    @property
    def title(self) -> str:
        """Source and target, with what tells such directions of one benchmark apart."""
        source, target, heads = self.direction.source, self.direction.target, self.direction.heads
        some = f", {' and '.join(heads)} alone" if self.direction.is_of_some_heads else ""
        return f"{source} → {target}{some}"

    @property
    def num_runs(self) -> int:
        """How many runs there are."""
        return sum(len(row.runs) for row in self.direction.rows)

    def same_as(self, other: DirectionRuns) -> bool:
        """Return whether both differ in their features alone."""
        ours = self.direction
        return (ours.benchmark, ours.source, ours.target, ours.heads) == (
            other.benchmark,
            other.source,
            other.target,
            other.heads,
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
        galleries=galleries,
        command=command,
        script="",
        up=None,
    )


def build_site(
    found: AllKinds, galleries: Mapping[str, "Gallery"], command: str
) -> dict[str, bytes]:
    """Return the pages to read in the report's folder, by their paths within it.

    They link the files of tables and pictures, and their tables can be sorted and filtered; they
    need no network, and are complete without the script. `index.html` leads to a page for each
    direction and kind of features; of a single one it is that page.
    """
    values: dict[str, Any] = {
        "found": found,
        "galleries": galleries,
        "command": command,
        "script": Markup(_SCRIPT),
    }
    pages = list(_pages(found))
    if len(pages) == 1:
        return {INDEX: _direction_page(pages[0], (), "", values)}
    site = {page.path: _direction_page(page, pages, "../", values) for page in pages}
    rules = [each.rule for contents in found.kinds for each in contents.analyses]
    index = _render(
        "index.html.j2",
        title="Results",
        pages=pages,
        rule=rules[0] if rules else "last",
        up="",
        **values,
    )
    return {INDEX: index, **site}


def _pages(found: AllKinds) -> Iterator[DirectionPage]:
    stems = iter(direction_stems(found.directions))
    for contents in found.kinds:
        for direction in contents.runs.directions:
            analysis = contents.analysis(direction)
            focal = analysis.focal if analysis else None
            over = gain(focal, direction, analysis.rule) if analysis and focal else None
            yield DirectionPage(
                path=f"{FOLDER}/{next(stems)}.html",
                direction=direction,
                contents=contents,
                row=focal.label if focal else "",
                accuracy=over_seeds(focal.percents(analysis.rule)).text
                if analysis and focal
                else "",
                gain=difference(over).text,
            )


def _direction_page(
    page: DirectionPage, pages: Sequence[DirectionPage], up: str, values: Mapping[str, Any]
) -> bytes:
    return _render(
        "direction.html.j2",
        title=page.direction.label,
        direction=page.direction,
        contents=page.contents,
        pages=pages,
        up=up,
        **values,
    )


def _render(template: str, *, found: AllKinds, **values: Any) -> bytes:
    page = _TEMPLATES.get_template(template).render(
        found=found,
        num_runs=found.num_runs,
        version=version("ta3n"),
        script_hash=_SCRIPT_HASH,
        **values,
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
    found += label_sets_notes(direction)
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
