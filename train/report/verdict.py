"""The result in sentences that are true whatever the data say."""

from collections.abc import Sequence
from statistics import mean

from ta3n.train.report.collect import Direction, Row
from ta3n.train.report.compare import (
    Call,
    Comparison,
    compare,
    focal_row,
    pick,
    rivals,
)
from ta3n.train.report.labels import NOT_ADAPTING, method_label

_PHRASES: dict[Call, str] = {
    "ahead": "beats",
    "maybe ahead": "may be ahead of",
    "level": "cannot be told apart from",
    "maybe behind": "may be behind",
    "behind": "falls behind",
}


def signed(value: float, digits: int = 1) -> str:
    """Return a difference with its sign, a real minus; zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"  # noqa: RUF001


def headline(direction: Direction) -> str:
    """Return how the focal row compares with every other method, by the `last` rule."""
    focal = focal_row(direction)
    if focal is None:
        return f"No adapting method was run: {_level_of(direction.rows)}."
    name = _short_name(focal, focal)
    subject = f"{name} ({mean(focal.percents('last')):.1f} % right on the target)"
    comparisons = [compare(focal, row) for row in rivals(focal, direction)]
    if not comparisons:
        return f"{subject} stands alone: there is no row to hold it against."
    one_seed = [c for c in comparisons if c.call == "one seed"]
    claims = _claims(subject, [c for c in comparisons if c.call != "one seed"])
    sentences = [claims, _one_seed(name if claims else subject, one_seed)]
    sentences.append(_not_shown(name, comparisons))
    if all(c.reference.config.method != "source-only" for c in comparisons):
        sentences.append("There is no source-only row, so the gain by adapting is unknown.")
    return " ".join(filter(None, sentences))


def supporting(direction: Direction) -> list[str]:
    """Return what stands below the headline: gap closed, what relations gave; last, how to read."""
    sentences = [*filter(None, (_gap_closed(direction), _temporal_gain(direction)))]
    total = direction.rows[0].total
    sentences.append(
        "All numbers are means over seeds after the last epoch, which no target label chose. "
        "± is the standard error of a difference, over seeds and videos together: “beats” and "
        "“falls behind” mean more than two of them, “may be” one to two, “cannot be told apart” "
        f"less than one. One of the {total} target videos is worth {100 / total:.2f} points."
    )
    return sentences


def _one_seed(name: str, comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    listed = _join(
        [
            f"{signed(c.points)} points against {_short_name(c.reference, c.row)}"
            for c in comparisons
        ]
    )
    return f"{name} is at {listed}, from one seed: without a standard error there is no claim."


def _claims(name: str, comparisons: Sequence[Comparison]) -> str:
    parts = []
    for call, phrase in _PHRASES.items():
        group = [c for c in comparisons if c.call == call]
        if group:
            parts.append(f"{phrase} {_join([_with_error(c) for c in group])}")
    return f"{name} {_join(parts, ', and ')}." if parts else ""


def _with_error(c: Comparison) -> str:
    error = f"{c.standard_error:.1f}"
    return f"{_short_name(c.reference, c.row)} ({signed(c.points)} ± {error} points)"


def _not_shown(name: str, comparisons: Sequence[Comparison]) -> str:
    """Say plainly against which adapting methods there is no win."""
    open_calls = ("level", "maybe ahead", "maybe behind", "one seed")
    unclear = [
        _short_name(c.reference, c.row)
        for c in comparisons
        if c.call in open_calls and c.reference.config.method not in NOT_ADAPTING
    ]
    if not unclear:
        return ""
    return f"{name} is not shown to be better than {_join(unclear, ' or ')} here."


def _gap_closed(direction: Direction) -> str:
    focal = focal_row(direction)
    if focal is None:
        return ""
    low = pick(direction.rows, "source-only", focal.config.temporal)
    high = pick(direction.rows, "target-only", focal.config.temporal)
    if low is None or high is None:
        return ""
    floor, ceiling, ours = (mean(row.percents("last")) for row in (low, high, focal))
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


def _temporal_gain(direction: Direction) -> str:
    relation = pick(direction.rows, "source-only", "relation")
    pooling = pick(direction.rows, "source-only", "pooling")
    if relation is None or pooling is None:
        return ""
    found = compare(relation, pooling)
    if found.standard_error is None:
        return (
            f"Without adaptation, relations give {signed(found.points)} points against pooling, "
            "from one seed."
        )
    return (
        f"Without adaptation, the relation module {_PHRASES[found.call]} pooling "
        f"({signed(found.points)} ± {found.standard_error:.1f} points)."
    )


def _level_of(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row.label} {mean(row.percents('last')):.1f} %" for row in rows)


def _short_name(row: Row, focal: Row) -> str:
    """Name the method; add the temporal module only where it differs from the focal row's."""
    name = method_label(row.config.method)
    if row.config.method in NOT_ADAPTING:
        name = name.lower()
    same = row.config.temporal == focal.config.temporal
    return name if same else f"{name} with {row.config.temporal}"


def _join(parts: Sequence[str], last: str = " and ") -> str:
    return last.join(filter(None, (", ".join(parts[:-1]), parts[-1])))
