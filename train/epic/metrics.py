"""Accuracies of verb, noun and action, as the EPIC-KITCHENS-100 challenge has them.

An action is a verb and a noun: right if both are. Shapes: N segments, V verbs, O nouns, C classes.

Everything rests on the rank of what is true among a segment's scores, from 0. Only the order of
scores counts, so logits and log-probabilities come to the same figures. Probabilities do not for
actions: their sum orders pairs otherwise than their product.

Source: Damen et al., "Rescaling Egocentric Vision" (2022), and the program of its recognition
challenge (epic-kitchens/C1-Action-Recognition).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import DataConflictError

Scores: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
Mask: TypeAlias = NDArray[np.bool_]

_PAIRS_AT_ONCE = 2**21
"""Pairs that are scored in one piece: 16 MiB of them."""


def ranks(scores: Scores, labels: Integers) -> Integers:
    """Return how many classes come before the true one, int64 [N]; the lower number at a tie.

    Args:
        scores: Any that grow with likelihood, [N, C].
        labels: [N].

    Raises:
        DataConflictError: The scores are not finite.
    """
    _check(scores)
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    before = (scores > own) | ((scores == own) & earlier)
    return np.asarray(before.sum(axis=1))


def pair_ranks(
    verb: Scores,
    noun: Scores,
    verbs: Integers,
    nouns: Integers,
    *,
    log_prior: Scores | None = None,
) -> Integers:
    """Return how many pairs come before the true one by verb score + noun score, int64 [N].

    That is the order of the products of both softmax outputs.

    Args:
        verb: [N, V].
        noun: [N, O].
        verbs: Labels, [N].
        nouns: Likewise.
        log_prior: To be added to the score of each pair, [V, O], see `log_prior_of`. Then the
            scores have to be logits or log-probabilities.

    Raises:
        DataConflictError: The scores are not finite.
    """
    _check(verb)
    _check(noun)
    labels, num_pairs = verbs * noun.shape[1] + nouns, verb.shape[1] * noun.shape[1]
    parts: list[Integers] = [np.empty(0, np.int64)]
    step = max(1, _PAIRS_AT_ONCE // num_pairs)
    for start in range(0, len(verb), step):
        few = slice(start, start + step)
        pairs = verb[few, :, None].astype(np.float64) + noun[few, None, :]  # [few, V, O]
        if log_prior is not None:
            pairs += log_prior
        parts.append(ranks(pairs.reshape(-1, num_pairs), labels[few]))
    return np.concatenate(parts)


def _check(scores: Scores) -> None:
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
        raise DataConflictError(
            f"the scores of segment {row} are not finite: they have no order; train again"
        )


def log_prior_of(verbs: Integers, nouns: Integers, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return how much likelier a pair is for what training segments show, [V, O].

    log((n + 1) / (M + V O)) of a pair that n of the M segments have: none is ruled out.

    Args:
        verbs: Labels of the M training segments.
        nouns: Likewise.
        shape: V and O.
    """
    counts = np.ones(shape)
    np.add.at(counts, (verbs, nouns), 1)
    return np.asarray(np.log(counts / counts.sum()))


class Measure(NamedTuple):
    """An accuracy that is told: whether what is true is among the k likeliest.

    Attributes:
        of: `verb`, `noun` or `action`.
        definition: Of actions beyond the first: `evaluation` ranks pairs by verb score + noun
            score, as the challenge does; `baseline` asks for the verb among k verbs and the noun
            among k nouns, as the log of the challenge's baseline does, and is never lower.
    """

    of: Literal["verb", "noun", "action"]
    k: int
    definition: Literal["", "evaluation", "baseline"] = ""

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.of} top-{self.k}{self.definition and f' ({self.definition})'}"


MEASURES = (
    Measure("verb", 1),
    Measure("verb", 5),
    Measure("noun", 1),
    Measure("noun", 5),
    Measure("action", 1),
    Measure("action", 5, "evaluation"),
    Measure("action", 5, "baseline"),
)

ALL, TAIL, CLASS_MEAN = "all", "tail classes", "class means"


@dataclass(frozen=True, kw_only=True)
class Segments:
    """What is true of N segments, and how a model ranks it.

    Attributes:
        participants: Who is seen, N names.
        verbs: Labels, [N].
        nouns: Likewise.
        ranks: Of the true class or pair, [N] each: `verb`, `noun`, `action`, those there are.
    """

    participants: Sequence[str]
    verbs: Integers
    nouns: Integers
    ranks: Mapping[str, Integers]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Those that there are ranks for."""
        return tuple(measure for measure in MEASURES if measure.of in self.ranks)

    def hits(self, measure: Measure) -> Mask:
        """Return for which segments a measure finds what is true, [N]."""
        if measure.definition == "baseline":
            return np.maximum(self.ranks["verb"], self.ranks["noun"]) < measure.k
        return self.ranks[measure.of] < measure.k

    def classes(self, of: str) -> Integers:
        """Return the true classes as numbers, of actions one for each pair, [N]."""
        pairs = self.verbs * (1 + self.nouns.max(initial=0)) + self.nouns
        classes: dict[str, Integers] = {"verb": self.verbs, "noun": self.nouns, "action": pairs}
        return classes[of]


def labelled_segments(
    names: Sequence[str], labels: Integers, known_ranks: Mapping[str, Integers]
) -> Segments:
    """Return those of some segments that have labels.

    Args:
        names: Narration ids, which begin with the participant: `P01_11_0`.
        labels: Of verb and noun, [N, 2]; -1 where there is none.
        known_ranks: See `Segments`, with any value where there is no label.
    """
    known: Mask = np.asarray((labels >= 0).all(axis=1))
    return Segments(
        participants=[n.partition("_")[0] for n, k in zip(names, known, strict=True) if k],
        verbs=labels[known, 0],
        nouns=labels[known, 1],
        ranks={of: each[known] for of, each in known_ranks.items()},
    )


class Figure(NamedTuple):
    """An accuracy, in percent.

    Attributes:
        floor: What naming the most frequent classes comes to, whatever is seen.
        total: Number of segments.
    """

    percent: float
    floor: float
    total: int


class TailClasses(NamedTuple):
    """Numbers of the classes that are rare."""

    verbs: Collection[int]
    nouns: Collection[int]


def tell_figures(
    segments: Segments, tail: TailClasses | None = None
) -> dict[str, dict[Measure, Figure]]:
    """Return the accuracies by group: all segments, tail classes, each participant, class means.

    Tail classes are told where they are given; a segment is one of their actions if its verb
    or its noun is one. Class means are of verb and noun alone: the mean, over the classes that
    occur, of the accuracy within each. A group without segments is left out.
    """
    participants = np.array(segments.participants)
    groups = {ALL: dict.fromkeys(("verb", "noun", "action"), np.full(len(participants), True))}
    if tail is not None:
        verb = np.isin(segments.verbs, list(tail.verbs))
        noun = np.isin(segments.nouns, list(tail.nouns))
        groups[TAIL] = {"verb": verb, "noun": noun, "action": verb | noun}
    for name in sorted(set(segments.participants)):
        groups[name] = dict.fromkeys(("verb", "noun", "action"), participants == name)
    told = {
        name: {m: _figure(segments, m, rows[m.of]) for m in segments.measures if rows[m.of].any()}
        for name, rows in groups.items()
    }
    of_classes = [m for m in segments.measures if m.of != "action" and len(participants)]
    told[CLASS_MEAN] = {measure: _class_mean(segments, measure) for measure in of_classes}
    return {name: figures for name, figures in told.items() if figures}


def _figure(segments: Segments, measure: Measure, rows: Mask) -> Figure:
    if measure.definition == "baseline":
        among = [_frequent(each[rows], measure.k) for each in (segments.verbs, segments.nouns)]
        floor = among[0] & among[1]
    else:
        floor = _frequent(segments.classes(measure.of)[rows], measure.k)
    hits = segments.hits(measure)[rows]
    return Figure(100 * float(hits.mean()), 100 * float(floor.mean()), len(hits))


def _frequent(labels: Integers, k: int) -> Mask:
    """Return which labels are among the `k` most frequent of them, [N]."""
    classes, counts = np.unique(labels, return_counts=True)
    return np.isin(labels, classes[np.argsort(-counts, kind="stable")[:k]])


def _class_mean(segments: Segments, measure: Measure) -> Figure:
    hits, labels = segments.hits(measure), segments.classes(measure.of)
    classes = np.unique(labels)
    recalls = [hits[labels == each].mean() for each in classes]
    floor = min(measure.k, len(classes)) / len(classes)
    return Figure(100 * float(np.mean(recalls)), 100 * floor, len(hits))
