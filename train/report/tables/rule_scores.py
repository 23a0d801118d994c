"""Selection rules side by side: what each gives, and whether its score can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from ta3n.train.paper.labels import rule_citation, rule_note
from ta3n.train.report.data.collect import DirectionRuns
from ta3n.train.report.data.statistics import rank_correlation
from ta3n.train.report.tables.sheet import Block, Column, Line, Sheet, number, words
from ta3n.train.runs.records import Run


@dataclass(frozen=True, kw_only=True)
class RuleSummary:
    """What a rule gives over the runs of a direction that have it.

    Attributes:
        rule: Its name.
        num_runs: How many runs have it.
        accuracy: Mean accuracy of those runs at the epoch that it chose, in percent.
        gap: Mean of what it lacks to the oracle in the same run, in points; None without oracle.
        within: Spearman's correlation of score and target accuracy over the epochs of a run, mean
            over runs; None where there is no score, or it does not vary.
        across: The same over runs, each at the epoch that the rule chose.
        label_reads: How many single target labels were read in order to choose.
    """

    rule: str
    num_runs: int
    accuracy: float
    gap: float | None
    within: float | None
    across: float | None
    label_reads: int


def summarise_rules(direction: DirectionRuns, rules: Sequence[str]) -> list[RuleSummary]:
    """Return a summary of each rule that some run has.

    Target-only rows are left out: they train on target labels, so that nothing is chosen without.
    """
    runs = [run for row in direction.rows if row.config.method != "target-only" for run in row.runs]
    having = {rule: [run for run in runs if rule in run.result.rules] for rule in rules}
    return [_summary(rule, group) for rule, group in having.items() if group]


def rules_sheet(directions: Sequence[DirectionRuns], rules: Sequence[str]) -> Sheet:
    """Return the table of selection rules, a block for each direction."""
    columns = (
        Column(head="rule", names=("rule",), words=True),
        Column(head="accuracy, %", names=("accuracy_percent",)),
        Column(head="below oracle", names=("gap_to_oracle_points",)),
        Column(head="rank corr., epochs", names=("rank_correlation_epochs",)),
        Column(head="rank corr., runs", names=("rank_correlation_runs",)),
        Column(head="labels read to choose", names=("target_labels_read_to_choose",)),
        Column(head="runs", names=("runs",)),
    )
    blocks = tuple(
        Block(
            label=direction.label,
            lines=tuple(_line(summary) for summary in summarise_rules(direction, rules)),
        )
        for direction in directions
    )
    return Sheet(
        name="rules",
        title="Selection rules",
        caption="Which epoch of a run counts: mean target accuracy over all runs but those of "
        "target only, and how many points it lacks to the oracle in the same runs. Rank "
        "correlation (Spearman) of the rule's score with target accuracy: over the epochs of a "
        "run, mean over runs; and over runs at the epoch chosen. 1 is a perfect guide, 0 none.",
        columns=columns,
        blocks=tuple(block for block in blocks if block.lines),
        notes=(
            *(_reads(direction) for direction in directions),
            *(f"{rule}: {rule_note(rule)}{_source(rule)}." for rule in rules),
        ),
    )


def _source(rule: str) -> str:
    citation = rule_citation(rule)
    return f" ({citation})" if citation else ""


def _reads(direction: DirectionRuns) -> str:
    runs = [run for row in direction.rows for run in row.runs]
    total = sum(run.result.target_label_reads for run in runs)
    return (
        f"{direction.label}: single target labels were read {total} times in {len(runs)} runs, "
        "to score every epoch for the curves and the tables. Only oracle chooses by them."
    )


def _summary(rule: str, runs: Sequence[Run]) -> RuleSummary:
    with_oracle = [run.result.rules for run in runs if "oracle" in run.result.rules]
    gaps = [rules["oracle"].percent - rules[rule].percent for rules in with_oracle]
    within = [found for run in runs if (found := _within(run, rule)) is not None]
    return RuleSummary(
        rule=rule,
        num_runs=len(runs),
        accuracy=mean(run.result.rules[rule].percent for run in runs),
        gap=mean(gaps) if gaps else None,
        within=mean(within) if within else None,
        across=_across(runs, rule),
        label_reads=sum(
            len(run.epochs) * run.result.rules[rule].total
            for run in runs
            if run.result.rules[rule].uses_target_labels
        ),
    )


def _within(run: Run, rule: str) -> float | None:
    """Return the rank correlation over the epochs of a run that have a score."""
    pairs = [(s, a) for s, a in zip(run.scores(rule), run.accuracies, strict=True) if s is not None]
    return rank_correlation([s for s, _ in pairs], [a for _, a in pairs])


def _across(runs: Sequence[Run], rule: str) -> float | None:
    """Return the rank correlation over runs at the epoch chosen."""
    chosen = [(run, run.result.rules[rule].epoch - 1) for run in runs]
    scored = [(run.scores(rule)[at], run.accuracies[at]) for run, at in chosen]
    pairs = [(score, accuracy) for score, accuracy in scored if score is not None]
    return rank_correlation([s for s, _ in pairs], [a for _, a in pairs])


def _line(found: RuleSummary) -> Line:
    return (
        words(found.rule),
        number(found.accuracy),
        number(found.gap),
        number(found.within),
        number(found.across),
        number(found.label_reads, 0),
        number(found.num_runs, 0),
    )
