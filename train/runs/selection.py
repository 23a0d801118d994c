"""How an epoch is chosen: by several rules side by side, so that none is ever reported alone.

Needs no torch.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import nan
from statistics import fmean

from ta3n.common.errors import TrainingError
from ta3n.train.validators.rules import RULES, Score

LAST, ORACLE = "last", "oracle"
ACTION = "action"
"""What is right where all trained heads are."""
MEAN_OF_CLASSES = "mean of classes: each class counts alike, however many videos it has"
KEPT_WEIGHTS = (LAST, ORACLE, "im")
"""Rules whose weights a run keeps, where they choose an epoch."""


def mean_class_percent(labels: Sequence[int], predicted: Sequence[int]) -> float:
    """Return the mean over classes of the share of their videos that are told right, in percent.

    Classes without videos take no part; not a number where no class has any.
    """
    totals = Counter(labels)
    hits = Counter(label for label, told in zip(labels, predicted, strict=True) if told == label)
    return 100 * fmean(hits[c] / n for c, n in totals.items()) if totals else nan


OPEN_SET = {
    "os_star": "OS*",
    "unk": "UNK",
    "os": "OS",
    "h_score": "H-score",
}
"""Measures of an open set by the names that records have for them: those of the field."""

MEASURES_OF_OPEN_SET = (
    "OS*: mean accuracy of the known classes, a video that is told unknown being wrong; UNK: "
    "accuracy of unknown videos; OS: the mean of classes, all that are unknown being one of them; "
    "H-score: harmonic mean of OS* and UNK"
)


def open_set_percents(
    labels: Sequence[int], predicted: Sequence[int], unknown: int
) -> dict[str, float]:
    """Return the measures of an open set in percent, see `OPEN_SET`.

    OS is the mean of all classes, as in Saito et al. 2018; the harmonic mean is that of Fu et al.,
    Learning to Detect Open Classes for Universal Domain Adaptation, ECCV 2020, and Bucci et al.,
    On the Effectiveness of Image Rotation for Open Set Domain Adaptation, ECCV 2020.

    Args:
        labels: of the videos.
        predicted: likewise.
        unknown: the label that stands for unknown.

    Returns:
        Nothing where known or unknown videos are missing.
    """
    pairs = list(zip(labels, predicted, strict=True))
    known = [pair for pair in pairs if pair[0] != unknown]
    others = [told for label, told in pairs if label == unknown]
    if not known or not others:
        return {}
    os_star = mean_class_percent(*zip(*known, strict=True))
    unk = 100 * sum(told == unknown for told in others) / len(others)
    return {
        "os_star": os_star,
        "unk": unk,
        "os": mean_class_percent(labels, predicted),
        "h_score": 2 * os_star * unk / (os_star + unk) if os_star + unk else 0.0,
    }


@dataclass(frozen=True, kw_only=True)
class TargetScore:
    """One epoch (from 1) on the labelled target, in whole videos: no rounding is ever compared.

    Attributes:
        correct: Videos told right, with several heads by all that are trained.
        total: Labelled videos; 0 for an unlabelled target.
        by_head: Videos told right by each trained head, by its name; empty with a single head.
        mean_class: Mean accuracy of the classes in percent, see `mean_class_percent`; None with
            several heads, and in records that are older.
        open_set: Measures of an open set, see `open_set_percents`; empty for a closed one.
    """

    epoch: int
    correct: int
    total: int
    by_head: Mapping[str, int] = field(default_factory=dict)
    mean_class: float | None = None
    open_set: Mapping[str, float] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        """Accuracy in percent; not a number without labels."""
        return 100 * self.correct / self.total if self.total else nan

    def percents(self) -> dict[str, float]:
        """Return the accuracy by each trained head, and where there are several of `action`."""
        correct = {**self.by_head, **({ACTION: self.correct} if len(self.by_head) > 1 else {})}
        return {
            name: 100 * hits / self.total if self.total else nan for name, hits in correct.items()
        }

    def told(self) -> str:
        """Return the accuracy in words; with several heads that of each."""
        if not self.total:
            return "no labels"
        figures = self.percents().items() if self.by_head else [("", self.percent)]
        return ", ".join(f"{name} {percent:.2f} %".lstrip() for name, percent in figures)


@dataclass(frozen=True, kw_only=True)
class ChosenEpoch(TargetScore):
    """The epoch that a selection rule chose, and whether the choice itself needed target labels."""

    uses_target_labels: bool


@dataclass(frozen=True, kw_only=True)
class EpochScores:
    """What can be chosen by after one epoch.

    Attributes:
        target: Correct target videos; only the oracle may look at them.
        validators: Label-free scores by rule, higher is better. What could not be computed, or
            means nothing, is absent.
        withheld: Why the score of a rule means nothing, by rule.
        measures: What scores rest on, withheld ones too, by rule and name.
    """

    target: TargetScore
    validators: Mapping[str, float] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, target: TargetScore, scores: Mapping[str, Score]) -> "EpochScores":
        """Return what can be chosen by, given the scores of all rules."""
        return cls(
            target=target,
            validators={rule: s.value for rule, s in scores.items() if not s.withheld},
            withheld={rule: s.withheld for rule, s in scores.items() if s.withheld},
            measures={rule: dict(s.measures) for rule, s in scores.items() if s.measures},
        )


def count_withheld(history: Sequence[EpochScores]) -> dict[str, dict[str, int]]:
    """Return in how many epochs the score of a rule was withheld, by rule and reason.

    All are, where `select` lets the rule choose none.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for scores in history:
        for rule, reason in scores.withheld.items():
            counts[rule][reason] += 1
    for rule in _only_falling(history):
        counts[rule][ONLY_FALLS] += sum(rule in scores.validators for scores in history)
    return {rule: dict(reasons) for rule, reasons in counts.items()}


def select(history: Sequence[EpochScores]) -> dict[str, ChosenEpoch]:
    """Choose an epoch by every rule.

    `last` takes the final epoch and needs no label. `oracle` takes the best epoch on the labelled
    target: the paper's protocol, which chooses on the test set; without labels it is absent. The
    others take the epoch with the highest score of a validator, without a target label. Of equals
    the first is taken. A rule without a score in any epoch is absent, and so is one whose score
    only fell, where it does so while a model learns.

    Raises:
        TrainingError: If no epoch was scored.
    """
    if not history:
        raise TrainingError("no epoch was evaluated, so none can be chosen; train at least one")
    best: dict[str, tuple[float, TargetScore]] = {}
    for scores in history:
        target = scores.target
        # The last epoch always has the highest score of `last`.
        oracle = {ORACLE: target.correct} if target.total else {}
        by_rule = {LAST: target.epoch, **oracle, **scores.validators}
        for rule, score in by_rule.items():
            if rule not in best or score > best[rule][0]:
                best[rule] = score, target
    falling = _only_falling(history)
    return {
        rule: ChosenEpoch(**asdict(target), uses_target_labels=rule == ORACLE)
        for rule, (_, target) in best.items()
        if rule not in falling
    }


ONLY_FALLS = "the first epoch that has a score has the highest"


def _only_falling(history: Sequence[EpochScores]) -> list[str]:
    return [
        rule.name
        for rule in RULES
        if only_falls(rule.name, [each.validators.get(rule.name) for each in history])
    ]


def only_falls(rule: str, scores: Sequence[float | None]) -> bool:
    """Say whether the scores of a rule after each epoch choose what is no choice.

    See `Validator.falls`; None is no score.
    """
    there = [score for score in scores if score is not None]
    return rule in _FALLING and bool(there) and max(there) == there[0]


_FALLING = frozenset(rule.name for rule in RULES if rule.falls)
