"""The pages: everything that is told and drawn, as HTML."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ta3n.datasets.benchmarks.benchmark import LabelSets
from ta3n.train.report.contents import AllKinds, Contents, direction_stems
from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.data.compare import gain
from ta3n.train.report.tables.sheet import Column, Line, difference, over_seeds
from ta3n.train.report.tables.summary import further_findings, main_finding
from ta3n.train.runs.records import Run, label_sets_of, stream_records

if TYPE_CHECKING:
    from ta3n.train.report.figures.look import Gallery

NO_LABELS = "The tested videos have no labels, so that there is no accuracy."

REPORT = "report.html"
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
class _Page:
    """The page of a direction on one kind of features, and its line in the index.

    The row is that which the page is about, if any, with its figures in words.
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


def build_pages(
    found: AllKinds, galleries: Mapping[str, "Gallery"], command: str
) -> dict[str, bytes]:
    """Return all pages, by their paths within the report's folder.

    `report.html` is everything on one page that needs no script and no other file. The others show
    the files of pictures and link those of tables, their tables can be sorted and filtered, and
    they are complete without the script. `index.html` leads to a page for each direction and kind
    of features; of a single one it is that page. None needs a network.

    Args:
        galleries: By label of the direction, if any were to be drawn.
        command: Told on every page.
    """

    def page_of(template: str, title: str, up: str | None, **values: Any) -> bytes:
        text = _TEMPLATES.get_template(template).render(
            found=found,
            galleries=galleries,
            command=command,
            title=title,
            up=up,
            script="" if up is None else Markup(_SCRIPT),
            script_hash=_SCRIPT_HASH,
            version=version("ta3n"),
            **{"num_runs": found.num_runs, **values},
        )
        # A file name need not be valid Unicode; its odd bytes are shown as such.
        return text.encode(errors="backslashreplace")

    pages = list(_pages(found))
    others = pages if len(pages) > 1 else []
    title = "Results" if others else pages[0].direction.label
    site = {
        page.path if others else INDEX: page_of(
            "direction.html.j2",
            page.direction.label,
            "../" if others else "",
            direction=page.direction,
            contents=page.contents,
            pages=others,
            num_runs=page.direction.num_runs,
        )
        for page in pages
    }
    if others:
        rule = next((each.rule for each in found.analyses), "last")
        site = {INDEX: page_of("index.html.j2", title, "", pages=pages, rule=rule), **site}
    return {REPORT: page_of("page.html.j2", title, None), **site}


def _pages(found: AllKinds) -> Iterator[_Page]:
    stems = iter(direction_stems(found.directions))
    for contents in found.kinds:
        for direction in contents.runs.directions:
            analysis = contents.analysis(direction)
            focal = analysis.focal if analysis else None
            over = gain(focal, direction, analysis.rule) if analysis and focal else None
            yield _Page(
                path=f"{FOLDER}/{next(stems)}.html",
                direction=direction,
                contents=contents,
                row=focal.label if focal else "",
                accuracy=over_seeds(focal.percents(analysis.rule)).text
                if analysis and focal
                else "",
                gain=difference(over).text,
            )


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
    found += _label_sets_notes(direction)
    counts = {len(row.runs) for row in direction.rows if not row.is_exact}
    if 1 in counts:
        found.append("Rows of one seed have no standard deviation.")
    if len(counts) > 1:
        found.append(f"The rows have between {min(counts)} and {max(counts)} seeds.")
    if any(row.adapts and not row.config.settings["published"] for row in direction.rows):
        found.append(
            "The loss weights of this direction were never published; those used are ours."
        )
    return found


def _label_sets_notes(direction: DirectionRuns) -> list[str]:
    """Return what is to be borne in mind where the target has other classes than the source."""
    row = direction.rows[0]
    sets = label_sets_of(row.config)
    if sets is None:
        return []
    num_known = len(row.classes) - (row.rejection is not None)
    return [*_of_partial(sets, num_known), *_of_open(sets), _MADE_FOR]


def _of_partial(sets: LabelSets, num_known: int) -> Iterator[str]:
    if sets.target_classes:
        yield (
            f"The target is partial: it has {len(sets.target_classes)} of the {num_known} classes "
            f"of the source ({', '.join(sets.target_classes)}), and the classifier has all. The "
            "rules im, bnm and corr_c prefer predictions that are spread over all classes."
        )


def _of_open(sets: LabelSets) -> Iterator[str]:
    if sets.unknown:
        yield (
            f"The target is open: {', '.join(sets.unknown)} are in no source video, and one class, "
            "unknown, among those that are tested. Accuracy is of all videos, unknown ones too; "
            "the table of known and unknown classes has the measures of the setting."
        )


_MADE_FOR = (
    "The methods here are made for equal classes in both domains, and align what has no "
    "counterpart too; they run all the same. Figures are not to be held against those of the "
    "closed set, whose tests have other videos."
)


def _where(run: Run) -> str:
    kept = run.environment
    versions = " ".join(f"{name} {kept[name]}" for name in ("ta3n", "torch") if name in kept)
    return f"{versions} on {kept.get('device', 'not recorded')}" if kept else "not recorded"


_ENDS = re.compile(r"(?P<deviation> ± [\d.]+)?(?P<mark> \([+−]\)|[†‡])?$")  # noqa: RUF001


@dataclass(frozen=True)
class _Room:
    """The longest deviation and the longest mark behind the figures of a column.

    What a cell lacks of them stays free, so that figures stand under each other.
    """

    deviation: str = ""
    mark: str = ""

    def fill(self, text: str) -> Markup:
        """Return the text of a cell with free room, which is no part of it when it is copied."""
        found = _ENDS.search(text)
        if found is None or not text:
            return Markup.escape(text)
        parts = [Markup.escape(text[: found.start()])]
        for own, longest in ((found["deviation"], self.deviation), (found["mark"], self.mark)):
            lacking = longest[len(own or "") :]
            room = Markup('<i data-room="{}"></i>').format(lacking) if lacking else ""
            parts += [Markup(room), Markup.escape(own or "")]
        return Markup("").join(parts)


def _rooms_of(columns: Sequence[Column], lines: Sequence[Line]) -> list[_Room]:
    rooms = []
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        ends = [found for cell in cells if (found := _ENDS.search(cell.text))]
        deviations, marks = ([end[name] or "" for end in ends] for name in ("deviation", "mark"))
        of_words = _Room()
        room = _Room(max(deviations, key=len, default=""), max(marks, key=len, default=""))
        rooms.append(of_words if column.words else room)
    return rooms


def _size_of(svg: bytes) -> Markup:
    """Return the size of a picture as attributes, so that its place is kept while it loads."""
    found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if found is None:
        return Markup()
    return Markup('width="{}" height="{}"').format(*(round(float(each)) for each in found.groups()))


_TEMPLATES.filters["base64"] = lambda data: b64encode(data).decode()
_TEMPLATES.globals |= {
    "ran_with": lambda row: ", ".join(sorted(set(map(_where, row.runs)))),
    "main_finding": main_finding,
    "further_findings": further_findings,
    "warnings": _warnings,
    "streams": _streams,
    "rooms_of": _rooms_of,
    "size_of": _size_of,
    "no_labels": NO_LABELS,
}
