"""Tables of what was run, whatever it is: rows, comparisons, selection rules, and every seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from ta3n.common.log import counted
from ta3n.datasets.benchmarks.few import worth_of_one
from ta3n.train.paper.labels import few_rules, rule_citation, rule_note
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import (
    CALL_WORDS,
    Analysis,
    Comparison,
    gain,
    hits_of,
    mean_rank_correlation,
    settings_apart,
)
from ta3n.train.report.data.statistics import (
    FEWEST_PAIRS,
    LEVEL_TEXT,
    accuracy_interval,
    rank_correlation,
)
from ta3n.train.report.tables.sheet import (
    EMPTY,
    Block,
    Cell,
    Column,
    Line,
    Sheet,
    csv_text,
    difference,
    filled,
    number,
    over_seeds,
    probability,
    span,
    tally,
    word_columns,
    words,
)
from ta3n.train.runs.floors import FLOORS
from ta3n.train.runs.records import Run
from ta3n.train.runs.rule_notes import looks_at_target, rules_on, rules_on_note, withheld_note
from ta3n.train.runs.selection import (
    ACTION,
    MEAN_OF_CLASSES,
    MEASURES_OF_OPEN_SET,
    OPEN_SET,
    ORACLE,
)
from ta3n.train.runs.troubles import trouble_notes

_FEW_SEEDS = 5
EXACT = (
    "Closed forms have one run and no standard deviation: nothing in them is random, so that "
    "videos, and the seeds of the row that they are held against, are all that could have come "
    "out otherwise."
)


def split_rules(rules: Sequence[str], rule: str) -> tuple[list[str], list[str]]:
    """Split many rules into the few to show first, that to compare by among them, and the rest.

    A terminal has no room for the rest.
    """
    few = [rule, *few_rules(rules)]
    first = [r for r in rules if len(rules) <= 3 or r in few]
    return first, [r for r in rules if r not in first]


def accuracy_columns(rules: Sequence[str], rule: str, *compared: Column) -> tuple[Column, ...]:
    """Return the columns that end every table of rows; see `accuracy_cells`.

    `compared` hold accuracies less those of something else.
    """
    main, rest = (
        [Column(r, (f"{r}_percent", f"{r}_sd"), terminal=terminal) for r in part]
        for part, terminal in zip(split_rules(rules, rule), (True, False), strict=True)
    )
    ends = ("interval_low_percent", "interval_high_percent")
    return (
        *main,
        *compared,
        Column("videos", ("correct_videos", "target_videos")),
        Column("n", ("num_seeds",)),
        Column(f"{LEVEL_TEXT} interval", ends),
        Column("p to focal", ("p_corrected",)),
        *rest,
        Column("mean of classes", ("mean_class_percent", "mean_class_deviation")),
        Column("label-free on", ("label_free_rules_on",), words=True, terminal=False),
    )


def accuracy_cells(
    row: RunGroup, analysis: Analysis, rules: Sequence[str], *compared: float | None
) -> list[Cell]:
    """Return the accuracy of a row by each rule, empty where it lacks the rule, and between them.

    There stand the differences `compared`, and by the rule compared by: correct videos, n,
    interval, and p against the focal row.
    """
    rule, found = analysis.rule, analysis.against(row)
    chosen = row.chosen(rule)
    main, rest = ([over_seeds(row.percents(r)) for r in part] for part in split_rules(rules, rule))
    return [
        *main,
        *map(difference, compared),
        tally(mean(choice.correct for choice in chosen), row.total) if chosen else EMPTY,
        number(len(row.runs), 0),
        span(accuracy_interval(hits_of(row, rule))) if chosen else EMPTY,
        probability(found.p_corrected if found else None),
        *rest,
        over_seeds(row.class_means(rule)),
        words(rules_on(row.config.settings)),
    ]


def trust_notes(analyses: Sequence[Analysis], rules: Sequence[str]) -> tuple[str, ...]:
    """Return footnotes on what the figures of a table rest on."""
    rows = [row for analysis in analyses for row in analysis.direction.rows]
    notes = []
    focal = {analysis.focal.label for analysis in analyses if analysis.focal}
    if any(c.p_corrected is not None for analysis in analyses for c in analysis.comparisons):
        notes.append(
            f"p to focal: {' or '.join(sorted(focal))} against this row, t test over seeds and "
            "videos, paired, corrected by Holm's method for all rows of this source and target."
        )
    if any(len(row.runs) > 1 for row in rows):
        rough = any(len(row.runs) < _FEW_SEEDS and not row.is_exact for row in rows)
        few = f" With fewer than {_FEW_SEEDS} seeds it is rather too narrow." if rough else ""
        rule = analyses[0].rule
        notes.append(
            f"Interval: pigeonhole bootstrap over seeds and videos, by the rule {rule}.{few}"
        )
    if any(len(row.runs) == 1 and not row.is_exact for row in rows):
        notes.append(
            "Rows of one seed have no standard deviation and no test; their interval is over "
            "videos only and says nothing of other seeds."
        )
    if any(row.is_exact for row in rows):
        notes.append(EXACT)
    if any(row.class_means(analyses[0].rule) for row in rows):
        notes.append(f"{MEAN_OF_CLASSES.capitalize()}; by the rule {analyses[0].rule}.")
        notes += few_notes(analyses)
    notes += rule_notes(rows, rules)
    read = [n for n in rules if any(c.uses_target_labels for row in rows for c in row.chosen(n))]
    return (*notes, *(f"{name}: {rule_note(name)}." for name in read))


def few_notes(analyses: Sequence[Analysis]) -> Iterator[str]:
    """Yield for each target what one video is worth, where a class has few to test on."""
    told = {}
    for direction in (analysis.direction for analysis in analyses):
        text = worth_of_one(direction.rows[0].tested_by_class)
        told[direction.benchmark, direction.target] = text
    yield from (f"{target} ({name}): {text}." for (name, target), text in told.items() if text)


def rule_notes(rows: Sequence[RunGroup], rules: Sequence[str]) -> tuple[str, ...]:
    """Say what is wrong with runs, on which videos rules chose, and where they could not.

    Nothing is said of the rules where none of them is one of any row.
    """
    pairs = {(row.config.source, row.config.target) for row in rows}
    troubles = trouble_notes(
        (
            row.label if len(pairs) < 2 else f"{row.label}, {' → '.join(pair)}",
            {run.seed: run.result.troubles for run in row.runs},
        )
        for row in rows
        for pair in [(row.config.source, row.config.target)]
    )
    names = [rule for rule in rules if looks_at_target(rule)]
    having = [row for row in rows if any(set(names) & set(judged(run)) for run in row.runs)]
    if not having:
        return tuple(troubles)
    where: dict[str, list[str]] = {}
    for row in having:
        where.setdefault(rules_on_note(row.config.settings), []).append(row.label)
    told = "; ".join(
        f"in {', '.join(dict.fromkeys(labels))} looked at {videos}"
        if len(where) > 1
        else f"looked at {videos}"
        for videos, labels in where.items()
    )
    first = f"The rules that need no target label ({', '.join(names)}): {told}."
    runs = [run for row in having for run in row.runs]
    withheld = (withheld_note(rule, [run.result for run in runs]) for rule in names)
    return *troubles, first, *filter(None, withheld)


def judged(run: Run) -> list[str]:
    """Return the rules of a run, and those that were withheld in every epoch."""
    return list(dict.fromkeys([*run.result.rules, *run.result.withheld]))


def others_sheet(
    blocks: Sequence[tuple[Analysis, Sequence[RunGroup]]], rules: Sequence[str]
) -> Sheet:
    """Return a table of rows that stand in no table of the paper, for one direction or more.

    Where that is all of them, the paper is not spoken of.
    """
    analyses = [analysis for analysis, _ in blocks]
    rule = analyses[0].rule
    return Sheet(
        name="others",
        title="Rows that are in no table of the paper"
        if any(len(rows) < len(analysis.direction.rows) for analysis, rows in blocks)
        else "Accuracy of every row",
        caption="Accuracy in percent on the target validation videos, mean ± standard deviation "
        f"over n seeds. Gain, videos and interval: by the rule {rule}; gain: points over source "
        "only with the same temporal module and the same settings, or over the source only that a "
        "row started from; empty where there is none.",
        columns=(
            *word_columns("method", "temporal"),
            *accuracy_columns(rules, rule, Column("gain", ("gain_points",))),
        ),
        blocks=tuple(
            Block(
                label=analysis.direction.label,
                lines=tuple(_line(row, analysis, rules) for row in rows),
                marked=next((n for n, row in enumerate(rows) if row is analysis.focal), None),
            )
            for analysis, rows in blocks
        ),
        notes=trust_notes(analyses, rules),
    )


def _line(row: RunGroup, analysis: Analysis, rules: Sequence[str]) -> Line:
    return (
        words(row.called),
        words(row.config.temporal),
        *accuracy_cells(row, analysis, rules, gain(row, analysis.direction, analysis.rule)),
    )


def heads_sheet(directions: Sequence[DirectionRuns], rules: Sequence[str]) -> Sheet:
    """Return the table of the heads one by one, with floors, for directions that have several."""
    headed = [direction for direction in directions if direction.heads]
    names = [name for direction in headed for name in _figures(direction)]
    shown = tuple(dict.fromkeys(names))
    return Sheet(
        name="heads",
        title="Figures of each head",
        caption="Accuracy in percent on the tested target videos, mean ± standard deviation over "
        f"n seeds. {ACTION}: all heads are right; every other table tells it, or the one head that "
        "was trained.",
        columns=_columns_by_rule(
            *(Column(name, (f"{name}_percent", f"{name}_sd")) for name in shown)
        ),
        blocks=tuple(
            Block(label=d.label, lines=tuple(_head_lines(d, shown, rules))) for d in headed
        ),
        notes=tuple(f"floor, {which}: always {text}." for which, text in FLOORS.items()),
    )


def _figures(direction: DirectionRuns) -> tuple[str, ...]:
    return (*direction.heads, *((ACTION,) if len(direction.heads) > 1 else ()))


def _head_lines(
    direction: DirectionRuns, names: Sequence[str], rules: Sequence[str]
) -> Iterator[Line]:
    def by_head(row: RunGroup, rule: str) -> list[Cell]:
        found = [choice.percents() for choice in row.chosen(rule)]
        return [over_seeds([each[n] for each in found if n in each]) for n in names]

    yield from _lines_by_rule(direction, rules, by_head)
    first = direction.rows[0]
    for which, correct in first.config.settings.get("floors", {}).items():
        cells = [
            over_seeds([100 * correct[n] / first.total] if n in correct else []) for n in names
        ]
        yield (words(f"floor, {which}"), EMPTY, EMPTY, *cells, EMPTY)


def epochs_sheet(directions: Sequence[DirectionRuns], rules: Sequence[str]) -> Sheet:
    """Return the table of epochs chosen, for directions whose tested videos have no labels."""
    return Sheet(
        name="epochs",
        title="Epochs chosen, without labels to test by",
        caption="The tested videos have no labels, so that there is no accuracy: for each rule "
        "only the epochs that it chose, one a seed.",
        columns=_columns_by_rule(Column("epochs chosen", ("epochs",), words=True)),
        blocks=tuple(
            Block(label=d.label, lines=tuple(_lines_by_rule(d, rules, _epochs_chosen)))
            for d in directions
        ),
        notes=rule_notes([row for d in directions for row in d.rows], rules),
    )


def _epochs_chosen(row: RunGroup, rule: str) -> list[Cell]:
    return [words(", ".join(str(choice.epoch) for choice in row.chosen(rule)))]


def open_set_sheet(directions: Sequence[DirectionRuns], rules: Sequence[str]) -> Sheet:
    """Return the table of known and unknown classes, of the open sets among directions."""
    opened = [each for each in directions if each.rows[0].rejection is not None]
    told = dict.fromkeys(r.rejection.rule for d in opened for r in d.rows if r.rejection)
    return Sheet(
        name="open-set",
        title="Known and unknown classes",
        caption="In percent on the tested target videos, mean ± standard deviation over n seeds. "
        f"{MEASURES_OF_OPEN_SET}.",
        columns=_columns_by_rule(
            *(Column(head, (f"{name}_percent", f"{name}_sd")) for name, head in OPEN_SET.items())
        ),
        blocks=tuple(
            Block(label=d.label, lines=tuple(_lines_by_rule(d, rules, _open_set_cells)))
            for d in opened
        ),
        notes=tuple(f"{text[0].upper()}{text[1:]}." for text in told),
    )


def _open_set_cells(row: RunGroup, rule: str) -> list[Cell]:
    found = row.open_set(rule)
    return [over_seeds([each[name] for each in found]) for name in OPEN_SET]


def _columns_by_rule(*columns: Column) -> tuple[Column, ...]:
    return (*word_columns("method", "temporal", "rule"), *columns, Column("n", ("num_seeds",)))


def _lines_by_rule(
    direction: DirectionRuns,
    rules: Sequence[str],
    cells: Callable[[RunGroup, str], Sequence[Cell]],
) -> Iterator[Line]:
    """Yield the lines of such columns: those of one row by each rule that it has, then the next."""
    for row in direction.rows:
        for rule in (rule for rule in rules if rule in row.rules):
            about = words(row.called), words(row.config.temporal), words(rule)
            yield (*about, *cells(row, rule), number(len(row.runs), 0))


def _against(c: Comparison) -> str:
    apart = settings_apart(c.reference, c.row)
    return f"{c.reference.label}, with {'; '.join(apart)}" if apart else c.reference.label


_POINTS = ("interval_low_points", "interval_high_points")
_COMPARISON: dict[Column, Callable[[Comparison], Cell]] = {
    Column("against", ("against",), words=True): lambda c: words(_against(c)),
    Column("points", ("difference_points",)): lambda c: difference(c.points),
    Column("videos", ("difference_videos",)): lambda c: difference(c.videos, 1),
    Column("±", ("standard_error_points",)): lambda c: number(c.difference.standard_error),
    Column(f"{LEVEL_TEXT} interval", _POINTS): lambda c: span(c.difference.interval, sign=True),
    Column("p", ("p",)): lambda c: probability(c.difference.p),
    Column("p (Holm)", ("p_corrected",)): lambda c: probability(c.p_corrected),
    Column("reading", ("reading",), words=True): lambda c: words(CALL_WORDS[c.call]),
    Column("p, videos", ("p_videos",), terminal=False): lambda c: probability(
        c.difference.p_videos
    ),
    Column("p, seeds", ("p_seeds",), terminal=False): lambda c: probability(c.difference.p_seeds),
    Column("label-free on", ("label_free_rules_on",), words=True, terminal=False): lambda c: words(
        rules_on(c.row.config.settings)
    ),
}


def comparisons_sheet(analyses: Sequence[Analysis]) -> Sheet:
    """Return the table of the focal row against every other row."""
    compared = [analysis for analysis in analyses if analysis.focal and analysis.comparisons]
    focal = " or ".join(sorted({a.focal.label for a in compared if a.focal}))
    rule = compared[0].rule if compared else ""
    return Sheet(
        name="comparisons",
        title=f"{focal} against every other row" if focal else "Comparisons",
        caption=f"By the rule {rule}, in percentage points. ±: standard error over seeds and "
        "videos. p: t test whose variance has a part for seeds and one for videos, both paired, "
        "then corrected by Holm's method for all rows compared; intervals are for one row alone.",
        columns=tuple(_COMPARISON),
        blocks=tuple(
            filled(_COMPARISON, analysis.direction.label, analysis.comparisons)
            for analysis in compared
        ),
        notes=(
            "How p is computed: the variance of the difference is that over videos, paired and "
            "seeds averaged, and that over seeds less what single videos do by chance in single "
            "seeds (the first holds it already); degrees of freedom by Satterthwaite. Equal seeds "
            f"share first weights and order, so rows with the same {FEWEST_PAIRS} seeds or more "
            "are paired by seed, in interval and tests; others are compared as independent. With "
            "one seed on a side the interval is over videos only, and there is no p; a closed "
            "form needs but one, since nothing in it is random.",
            *rule_notes([r for a in compared for r in a.rows], [rule]),
            *([_OF_ORACLE] if rule == ORACLE else []),
            "p, videos and p, seeds (on the page and in the files) assume no distribution and are "
            "not corrected: sign flips over videos with seeds averaged; sign flips of paired "
            "seeds, or exchanged seeds. Both are exact where there are few: 3 seeds paired "
            "cannot give less than 0.25, 3 against 3 others not less than 0.1.",
            "Sources: Welch 1947 and Satterthwaite 1946; for the variances of seeds and "
            "videos together, Cameron, Gelbach and Miller 2011; Holm 1979; Owen "
            "2007, The pigeonhole bootstrap; Pitman 1937 for the permutation tests.",
        )
        if compared
        else (),
    )


_OF_ORACLE = (
    f"{ORACLE}: p compares accuracies at epochs that were chosen on the labels of the same "
    "videos. That lifts all rows, the more so the more a row varies between epochs."
)


@dataclass(frozen=True, kw_only=True)
class RuleSummary:
    """What a rule gives over the runs of a direction that have it.

    Attributes:
        accuracy: Mean accuracy of those runs at the epoch that it chose, in percent; None where
            its score was withheld in all epochs of all runs.
        gap: Mean of what it lacks to the oracle in the same run, in points; None without oracle.
        within: Spearman's correlation of score and target accuracy over the epochs of a run, mean
            over runs; None where there is no score, or it does not vary.
        across: The same over runs, each at the epoch that the rule chose.
        label_reads: How many single target labels were read in order to choose.
        epochs: Those that it chose, a run each.
        withheld: Share of the epochs of all runs in which its score was withheld, in percent.
        looked_at: On which target videos a label-free rule was computed.
    """

    rule: str
    num_runs: int
    accuracy: float | None
    gap: float | None
    within: float | None
    across: float | None
    label_reads: int
    epochs: tuple[int, ...]
    withheld: float
    looked_at: str


def summarise_rules(direction: DirectionRuns, rules: Sequence[str]) -> list[RuleSummary]:
    """Return a summary of each rule that some run has.

    Target-only rows are left out: they train on target labels, so that nothing is chosen without.
    """
    runs = [run for row in direction.rows if row.config.method != "target-only" for run in row.runs]
    judging = {rule: [run for run in runs if rule in judged(run)] for rule in rules}
    return [_summary(rule, group) for rule, group in judging.items() if group]


_RULE: dict[Column, Callable[[RuleSummary], Cell]] = {
    Column("rule", ("rule",), words=True): lambda s: words(s.rule),
    Column("accuracy, %", ("accuracy_percent",)): lambda s: number(s.accuracy),
    Column("below oracle", ("gap_to_oracle_points",)): lambda s: number(s.gap),
    Column("rank corr., epochs", ("rank_correlation_epochs",)): lambda s: number(s.within),
    Column("rank corr., runs", ("rank_correlation_runs",)): lambda s: number(s.across),
    Column("labels read to choose", ("target_labels_read_to_choose",)): lambda s: number(
        s.label_reads, 0
    ),
    Column("epochs chosen", ("epoch_lowest", "epoch_median", "epoch_highest")): lambda s: _epochs(
        s.epochs
    ),
    Column("withheld, % of epochs", ("epochs_withheld_percent",)): lambda s: number(s.withheld, 0),
    Column("on", ("rule_on",), words=True, terminal=False): lambda s: words(s.looked_at),
    Column("runs", ("runs",)): lambda s: number(s.num_runs, 0),
}


def _epochs(epochs: Sequence[int]) -> Cell:
    """Return the median of chosen epochs, with the first and the last of them."""
    if not epochs:
        return EMPTY
    low, middle, high = min(epochs), median(epochs), max(epochs)
    text = f"{middle:g}" if low == high else f"{middle:g} ({low} to {high})"
    return Cell(text, (low, middle, high))


def rules_sheet(directions: Sequence[DirectionRuns], rules: Sequence[str]) -> Sheet:
    """Return the table of selection rules, a block for each direction."""
    blocks = [filled(_RULE, each.label, summarise_rules(each, rules)) for each in directions]
    return Sheet(
        name="rules",
        title="Selection rules",
        caption="Which epoch of a run counts: mean target accuracy over all runs but those of "
        "target only, and how many points it lacks to the oracle in the same runs. Rank "
        "correlation (Spearman) of the rule's score with target accuracy: over the epochs of a "
        "run, mean over runs; and over runs at the epoch chosen. 1 is a perfect guide, 0 none.",
        columns=tuple(_RULE),
        blocks=tuple(block for block in blocks if block.lines),
        notes=(
            *(_reads(direction) for direction in directions),
            *(f"{rule}: {rule_note(rule)}{rule_citation(rule)}." for rule in rules),
            *rule_notes([row for d in directions for row in d.rows], rules),
            *filter(None, (_measures_note(d, rule) for d in directions for rule in rules)),
        ),
    )


def _reads(direction: DirectionRuns) -> str:
    runs = [run for row in direction.rows for run in row.runs]
    total = sum(run.result.target_label_reads for run in runs)
    return (
        f"{direction.label}: single target labels were read {total:,} times in "
        f"{counted(len(runs), 'run')}, "
        "to score every epoch for the curves and the tables. Only oracle chooses by them."
    )


def _summary(rule: str, judging: Sequence[Run]) -> RuleSummary:
    runs = [run for run in judging if rule in run.result.rules]
    with_oracle = [run.result.rules for run in runs if "oracle" in run.result.rules]
    gaps = [rules["oracle"].percent - rules[rule].percent for rules in with_oracle]
    chosen = [(run, run.result.rules[rule].epoch - 1) for run in runs]
    withheld = sum(sum(run.result.withheld.get(rule, {}).values()) for run in judging)
    looked_at = sorted({rules_on(run.config.settings) for run in judging})
    return RuleSummary(
        rule=rule,
        num_runs=len(runs),
        accuracy=mean(run.result.rules[rule].percent for run in runs) if runs else None,
        gap=mean(gaps) if gaps else None,
        within=mean_rank_correlation(runs, rule),
        across=rank_correlation(
            [run.scores(rule)[at] for run, at in chosen], [run.accuracies[at] for run, at in chosen]
        ),
        label_reads=sum(
            len(run.epochs) * run.result.rules[rule].total
            for run in runs
            if run.result.rules[rule].uses_target_labels
        ),
        epochs=tuple(at + 1 for _, at in chosen),
        withheld=100 * withheld / sum(len(run.epochs) for run in judging),
        looked_at=" and ".join(looked_at) if looks_at_target(rule) else "",
    )


_MEASURES = {
    "mean_weight": "mean weight",
    "effective_videos": "effective sample",
    "estimated_error": "estimated error",
    "neighbours": "videos in a neighbourhood",
    "videos_of_a_class": "videos of a predicted class",
    "compared_videos": "videos compared",
}


def _measures_note(direction: DirectionRuns, rule: str) -> str:
    """Say what the scores of a rule rested on over all epochs; empty where nothing was kept."""
    runs = [run for row in direction.rows for run in row.runs]
    kept = [each for run in runs for each in run.measures(rule)]
    if not kept:
        return ""
    ranges = (
        f"{_MEASURES.get(name, name)} {median(found):.3g} ({min(found):.3g} to {max(found):.3g})"
        for name in dict.fromkeys(name for each in kept for name in each)
        if (found := [each[name] for each in kept if name in each])
    )
    return (
        f"{direction.label}: {rule}, median over {len(kept)} epochs with the lowest and the "
        f"highest: {', '.join(ranges)}."
    )


def results_rows(directions: Sequence[DirectionRuns]) -> list[dict[str, object]]:
    """Return a line for each direction, row, seed and selection rule, by column; "" is untold.

    Of several kinds of features the first column tells which.
    """
    return [
        ({"features": direction.kind} if direction.kind else {}) | line
        for direction in directions
        for row in direction.rows
        for line in _lines(row)
    ]


def results_csv(directions: Sequence[DirectionRuns]) -> bytes:
    """Return a tidy file of `results_rows`."""
    lines = results_rows(directions)
    columns = list(dict.fromkeys(name for line in lines for name in line))
    text = csv_text([columns, *([line.get(name, "") for name in columns] for line in lines)])
    return text.encode(errors="surrogateescape")


def _lines(row: RunGroup) -> Iterator[dict[str, object]]:
    config = row.config
    means = {rule: row.class_means(rule) for rule in row.rules}
    opened = {rule: row.open_set(rule) for rule in row.rules}
    for place, run in enumerate(row.runs):
        for name in judged(run):
            # None where the score was withheld in every epoch.
            rule = run.result.rules.get(name)
            yield {
                "benchmark": config.benchmark,
                "source": config.source,
                "target": config.target,
                "method": config.method,
                "temporal": config.temporal,
                "variant": row.variant,
                "recipe": config.settings["recipe"]["name"],
                "config_hash": config.hash,
                **({"domains": told} if (told := config.settings.get("domains")) else {}),
                "seed": run.seed,
                "rule": name,
                "rule_on": rules_on(config.settings) if looks_at_target(name) else "",
                "epochs_withheld": sum(run.result.withheld.get(name, {}).values()),
                "uses_target_labels": rule.uses_target_labels if rule else False,
                "epoch": rule.epoch if rule else "",
                "correct": rule.correct if rule else "",
                "total": rule.total if rule else "",
                "accuracy_percent": rule.percent if rule and rule.total else "",
                "mean_class_percent": means[name][place] if means.get(name) else "",
                **(
                    {f"{key}_percent": figure for key, figure in opened[name][place].items()}
                    if opened.get(name)
                    else {}
                ),
                "target_label_reads": run.result.target_label_reads,
                **{f"correct_{h}": rule.by_head[h] if rule else "" for h in row.heads},
            }
