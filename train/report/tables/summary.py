"""The result in sentences that are true whatever the data say."""

from collections.abc import Sequence
from statistics import mean

from ta3n.common.errors import shorten
from ta3n.train.report.data.collect import RunGroup
from ta3n.train.report.data.compare import (
    Analysis,
    Call,
    Comparison,
    compare,
    pick_like,
    rivals,
    settings_apart,
)
from ta3n.train.report.data.statistics import FEWEST_PAIRS, LEVEL, LEVEL_TEXT, Interval
from ta3n.train.report.tables.sheet import p_text, signed
from ta3n.train.runs.rule_notes import looks_at_target, rules_on_note

_PHRASES: dict[Call, str] = {
    "ahead": "beats",
    "level": "is not told apart from",
    "behind": "falls behind",
}
_ALPHA = f"{1 - LEVEL:.2f}"
_MOST_TOLD = 4
"""Of comparisons with one outcome that are told one by one: more cannot be read in a sentence."""


def main_finding(analysis: Analysis) -> str:
    """Return how the focal row compares with every other method, in one paragraph."""
    focal = analysis.focal
    if focal is None:
        return _no_focal(analysis)
    name = _short_name(focal, focal)
    subject = f"{name} ({_level(focal, analysis.rule)})"
    held, others = rivals(focal, analysis.rows)
    comparisons = [c for row in held if (c := analysis.against(row)) is not None]
    apart = _apart(focal, others)
    if not comparisons:
        alone = f"{subject} stands alone: there is no row to hold it against."
        return f"{alone} {apart}".rstrip()
    one_seed = [c for c in comparisons if c.call == "one seed"]
    claims = _claims(subject, comparisons)
    sentences = [claims, _one_seed(name if claims else subject, one_seed)]
    sentences.append(_not_shown(name, comparisons))
    if all(c.reference.config.method != "source-only" for c in comparisons):
        like = " with its settings" if apart else ""
        sentences.append(f"There is no source-only row{like}, so the gain by adapting is unknown.")
    sentences.append(apart)
    return " ".join(filter(None, sentences))


def _apart(focal: RunGroup, rows: Sequence[RunGroup]) -> str:
    """Name the methods that were run with other settings only."""
    told = [f"{_short_name(r, focal)} ({shorten(settings_apart(r, focal), 3)})" for r in rows]
    if not told:
        return ""
    return f"Not held against it here, since other settings differ too: {_join(told)}."


def further_findings(analysis: Analysis) -> list[str]:
    """Return what stands below it: gap closed, what relations gave; last, how to read."""
    sentences = [main_finding(further) for further in analysis.further]
    sentences += filter(None, (_gap_closed(analysis), _temporal_gain(analysis)))
    sentences += [_right_by(heads)] if (heads := analysis.direction.heads) else []
    total = analysis.direction.rows[0].total
    chosen = (
        "which is chosen on target labels and not to be had in practice"
        if analysis.reads_target_labels
        else "which no target label chose"
    )
    if looks_at_target(analysis.rule):
        looked = dict.fromkeys(rules_on_note(row.config.settings) for row in analysis.rows)
        chosen += f" (it looked at {' or '.join(looked)})" if looked else ""
    num = sum(c.p_corrected is not None for c in analysis.comparisons)
    rows = "row" if num == 1 else "rows"
    tests = (
        f"“Beats” and “falls behind” mean p below {_ALPHA} by a t test over seeds and "
        f"videos, both paired (seeds where rows have the same {FEWEST_PAIRS} or more), corrected "
        f"by Holm's method for the {num} {rows} compared. "
        f"Intervals hold {LEVEL_TEXT} of a pigeonhole bootstrap over seeds and videos, for one "
        "comparison alone. Not told apart does not mean equal. "
    )
    sentences.append(
        f"All figures are means over n seeds at the epoch of the rule “{analysis.rule}”, {chosen}. "
        f"{tests if num else ''}"
        f"One of the {total} target videos is worth {100 / total:.2f} points."
    )
    return sentences


def _right_by(heads: Sequence[str]) -> str:
    return (
        f"Right is a video whose {_join(heads)} are right."
        if len(heads) > 1
        else f"Right is a video whose {heads[0]} is right; nothing else was trained."
    )


def _no_focal(analysis: Analysis) -> str:
    rule, rows = analysis.rule, analysis.rows
    if not rows:
        return f"No row has the rule {rule} for every seed, so there is nothing to compare by it."
    levels = ", ".join(f"{row.label} {mean(row.percents(rule)):.1f} %" for row in rows)
    adapting = any(r.adapts for r in analysis.direction.rows)
    why = (
        f"The adapting method that this is about lacks the rule {rule} for some seed"
        if adapting
        else "No adapting method was run"
    )
    return f"{why}: {levels}."


def _level(row: RunGroup, rule: str) -> str:
    correct = mean(choice.correct for choice in row.chosen(rule))
    several = f"n = {len(row.runs)}" if len(row.runs) > 1 else "one seed"
    seeds = "nothing in it is random" if row.is_exact else several
    percent = mean(row.percents(rule))
    return f"{percent:.1f} % right on the target, {correct:.1f} of {row.total} videos, {seeds}"


def _one_seed(name: str, comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    listed = [f"{_gain(c)} against {_short_name(c.reference, c.row)}" for c in comparisons]
    told = _join(listed) if len(listed) <= _MOST_TOLD else _names_and_range(comparisons)
    return (
        f"{name} is at {told}, with one seed on at least one side: that allows no "
        "test and no claim; an interval is over videos only."
    )


def _gain(c: Comparison) -> str:
    return f"{signed(c.points)} points or {signed(c.videos)} videos"


def _claims(name: str, comparisons: Sequence[Comparison]) -> str:
    groups = {call: [c for c in comparisons if c.call == call] for call in _PHRASES}
    parts = [f"{_PHRASES[call]} {_told(call, group)}" for call, group in groups.items() if group]
    return f"{name} {_join(parts, ', and ')}." if parts else ""


def _told(call: Call, comparisons: Sequence[Comparison]) -> str:
    """Tell comparisons of one outcome: all if they are few, else source only and the range."""
    if len(comparisons) <= _MOST_TOLD:
        return _join([*map(_with_error, comparisons)])
    first = [c for c in comparisons if c.reference.config.method == "source-only"]
    others = [c for c in comparisons if c not in first]
    known = [c.p_corrected for c in others if c.p_corrected is not None]
    p = p_text(min(known) if call == "level" else max(known))
    bound = p if p.startswith("<") else f"{'≥' if call == 'level' else '≤'} {p}"
    # Rows that it beats are what is left when all that are named are taken off.
    told = (
        f"{len(others)} others ({_range(others)}"
        if call == "ahead"
        else f"{_names_and_range(others).removesuffix(')')}"
    )
    return _join([*map(_with_error, first), f"{told}; every corrected p {bound})"])


def _names_and_range(comparisons: Sequence[Comparison]) -> str:
    names = [_short_name(c.reference, c.row) for c in comparisons]
    return f"{_join(names)} ({_range(comparisons)})"


def _range(comparisons: Sequence[Comparison]) -> str:
    """Return the smallest and the largest difference, with the rows that they are to."""
    least, most = (choose(comparisons, key=lambda c: c.points) for choose in (min, max))
    low, high = (
        f"{signed(c.points)} points against {_short_name(c.reference, c.row)}"
        for c in (least, most)
    )
    return f"{low} to {high}" if low != high else f"{signed(least.points)} points"


def _with_error(c: Comparison) -> str:
    assert c.p_corrected is not None, "comparisons of one seed make no claim"
    p = p_text(c.p_corrected)
    return (
        f"{_short_name(c.reference, c.row)} ({_gain(c)}{_interval(c.difference.interval)}, "
        f"corrected p {p if p.startswith('<') else f'= {p}'})"
    )


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f", {LEVEL_TEXT} interval {signed(interval.low)} to {signed(interval.high)} points"


def _not_shown(name: str, comparisons: Sequence[Comparison]) -> str:
    """Say plainly against which adapting methods there is no win."""
    unclear = [c for c in comparisons if c.call in ("level", "one seed") and c.reference.adapts]
    if not unclear:
        return ""
    if len(unclear) > _MOST_TOLD:
        adapting = sum(c.reference.adapts for c in comparisons)
        return (
            f"{name} is not shown to be better than {len(unclear)} of the {adapting} adapting "
            "methods here."
        )
    others = [_short_name(c.reference, c.row) for c in unclear]
    return f"{name} is not shown to be better than {_join(others, ' or ')} here."


def _gap_closed(analysis: Analysis) -> str:
    focal = analysis.focal
    if focal is None:
        return ""
    low = pick_like(analysis.rows, "source-only", focal)
    high = pick_like(analysis.rows, "target-only", focal)
    if low is None or high is None:
        return ""
    floor, ceiling, ours = (mean(row.percents(analysis.rule)) for row in (low, high, focal))
    if ceiling <= floor:
        return (
            "Training on target labels gives no more than training on the source: there is no "
            "domain gap to close."
        )
    share = 100 * (ours - floor) / (ceiling - floor)
    return (
        f"Of the gap of {ceiling - floor:.1f} points between source only and target only, "
        f"{_short_name(focal, focal)} closes {signed(share, 0).lstrip('+')} %."
    )


def _temporal_gain(analysis: Analysis) -> str:
    like = analysis.focal or analysis.rows[0] if analysis.rows else None
    if like is None:
        return ""
    relation = pick_like(analysis.rows, "source-only", like, "relation")
    pooling = pick_like(analysis.rows, "source-only", like, "pooling")
    if relation is None or pooling is None:
        return ""
    found = compare(relation, pooling, analysis.rule)
    trust = _interval(found.interval)
    if found.p is None:
        trust += ", from one seed"
    return (
        f"Without adaptation, the relation module is at {signed(found.points)} points against "
        f"pooling{trust}."
    )


def _short_name(row: RunGroup, focal: RunGroup) -> str:
    """Name the method; add the temporal module only where it differs from the focal row's."""
    name = row.method if row.adapts else row.method.lower()
    if row.variant:
        name = f"{name} ({row.variant})"
    same = row.config.temporal == focal.config.temporal
    return name if same else f"{name} with {row.config.temporal}"


def _join(parts: Sequence[str], last: str = " and ") -> str:
    return last.join(filter(None, (", ".join(parts[:-1]), parts[-1])))
