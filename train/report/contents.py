"""What tables and sentences of a report are made of, for each kind of features."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, takewhile

from ta3n.train.report.data.collect import DirectionRuns, RunSet
from ta3n.train.report.data.compare import Analysis
from ta3n.train.report.tables.sheet import Block, Sheet


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that tables and sentences of the runs on one kind of features are made of.

    Attributes:
        analyses: One for each direction with an accuracy, in the order of `runs`.
        sheets: All tables, those without a single run included.
        own_sheets: By label of a direction the same as if there were no other one, so that no
            footnote speaks of another one.
        folder: Where their files lie within `tables`: in a folder where there are other kinds.
    """

    runs: RunSet
    analyses: tuple[Analysis, ...]
    sheets: tuple[Sheet, ...]
    own_sheets: Mapping[str, Sequence[Sheet]] = field(default_factory=dict)
    folder: str = ""

    def analysis(self, direction: DirectionRuns) -> Analysis | None:
        """Return what is said of a direction; None where its videos have no labels."""
        return next((each for each in self.analyses if each.direction is direction), None)

    def blocks_of(self, direction: DirectionRuns) -> Iterator[tuple[Sheet, Block]]:
        """Yield the parts of tables that are of one direction, as far as anything was run."""
        for sheet, block in _parts(self.own_sheets.get(direction.label, self.sheets)):
            if block.label == direction.label:
                yield sheet, block

    def blocks(self) -> Iterator[tuple[Sheet, Block]]:
        """Yield all parts of tables of which anything was run."""
        yield from _parts(self.sheets)


def _parts(sheets: Sequence[Sheet]) -> Iterator[tuple[Sheet, Block]]:
    for sheet in sheets:
        for block in sheet.blocks:
            if block.has_runs:
                yield sheet, block


@dataclass(frozen=True, kw_only=True)
class AllKinds:
    """What is told of every kind of features, by name, and the table of all of them, if several."""

    kinds: tuple[Contents, ...]
    beside: tuple[Sheet, ...]

    @property
    def directions(self) -> list[DirectionRuns]:
        """Every direction on every kind of features."""
        return [direction for each in self.kinds for direction in each.runs.directions]

    @property
    def analyses(self) -> list[Analysis]:
        """What is said of all of them that have labels."""
        return [analysis for each in self.kinds for analysis in each.analyses]

    @property
    def sheets(self) -> list[tuple[str, Sheet]]:
        """Every table, after the folder within `tables` that its files lie in."""
        own = [(each.folder, sheet) for each in self.kinds for sheet in each.sheets]
        return [*own, *(("", sheet) for sheet in self.beside)]

    @property
    def num_runs(self) -> int:
        """How many runs there are."""
        return sum(direction.num_runs for direction in self.directions)

    def blocks_across(self, contents: Contents) -> Iterator[tuple[Sheet, Block]]:
        """Yield the parts of a kind's tables that are of no single direction.

        Those of which nothing depends on the kind are the first one's.
        """
        labels = {direction.label for direction in self.directions}
        before = takewhile(lambda each: each is not contents, self.kinds)
        told = [sheet for each in before for sheet in each.sheets]
        for sheet, block in contents.blocks():
            if block.label not in labels and sheet not in told:
                yield sheet, block

    @property
    def notes(self) -> tuple[str, ...]:
        """A line on each run that was left out."""
        return self.kinds[0].runs.notes


def file_stems(names: Sequence[Sequence[str]]) -> list[str]:
    """Return a part of a file's name for each of some names, whatever is in them; no two alike."""
    stems: list[str] = []
    for parts in names:
        stem = re.sub(r"[^\w.-]", "_", "-".join(parts)).lstrip(".")
        tries = chain([stem], (f"{stem}.{number}" for number in count(2)))
        stems.append(next(each for each in tries if each and each not in stems))
    return stems


def direction_stems(directions: Sequence[DirectionRuns]) -> list[str]:
    """Return for each direction the start of its files' names."""
    kinds = [[each.kind] if each.kind else [] for each in directions]
    return file_stems(
        [
            [*kind, each.benchmark, each.source, each.target, *each.heads]
            for kind, each in zip(kinds, directions, strict=True)
        ]
    )
