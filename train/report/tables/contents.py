"""What a report says, before it becomes files: comparisons and tables of all directions."""

from collections.abc import Sequence
from dataclasses import dataclass

from ta3n.common.errors import UsageError, did_you_mean
from ta3n.train.paper.labels import rule_place
from ta3n.train.report.data.collect import RunSet
from ta3n.train.report.data.compare import Analysis, analyse
from ta3n.train.report.tables.paper import TITLES, is_any_row, paper_sheet
from ta3n.train.report.tables.rows import comparisons_sheet, others_sheet, rules_sheet
from ta3n.train.report.tables.sheet import Sheet

SHEET_NAMES = (*TITLES, "others", "comparisons", "rules")
_COMPARED_BY = "last"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that tables and sentences of a report are made of.

    Attributes:
        analyses: One for each direction, in the order of `runs`.
        sheets: All tables, those without a single run included.
    """

    runs: RunSet
    analyses: tuple[Analysis, ...]
    sheets: tuple[Sheet, ...]


def build_contents(runs: RunSet, rules: Sequence[str] = ()) -> Contents:
    """Compare rows and make all tables.

    Args:
        rules: Selection rules to show, and the first to compare by; none shows all, and compares
            by `last`.

    Raises:
        UsageError: For a rule that no run has.
    """
    known = {rule for direction in runs.directions for rule in direction.rules}
    for rule in rules:
        if rule not in known:
            listed = ", ".join(sorted(known, key=rule_place))
            hint = did_you_mean(rule, known)
            raise UsageError(f"no run has the rule {rule!r}{hint}; they have {listed}")
    shown = tuple(dict.fromkeys(rules)) or tuple(sorted(known, key=rule_place))
    rule = shown[0] if rules else _COMPARED_BY
    analyses = tuple(analyse(direction, rule) for direction in runs.directions)
    return Contents(runs=runs, analyses=analyses, sheets=_sheets(analyses, shown))


def _sheets(analyses: Sequence[Analysis], rules: Sequence[str]) -> tuple[Sheet, ...]:
    others = [(a, [row for row in a.direction.rows if not is_any_row(row)]) for a in analyses]
    blocks = [(analysis, rows) for analysis, rows in others if rows]
    sheets = [paper_sheet(name, analyses, rules) for name in TITLES]
    if blocks:
        sheets.append(others_sheet(blocks, rules))
    sheets += [comparisons_sheet(analyses), rules_sheet([a.direction for a in analyses], rules)]
    return tuple(sheet for sheet in sheets if sheet.blocks)
