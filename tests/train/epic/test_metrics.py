"""If this breaks, an accuracy of the challenge is another one than its name says."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ta3n.common.errors import DataConflictError
from ta3n.datasets.epic.challenge import NUM_NOUNS, NUM_VERBS
from ta3n.train.epic.metrics import (
    ALL,
    CLASS_MEAN,
    MEASURES,
    TAIL,
    Measure,
    Segments,
    TailClasses,
    labelled_segments,
    log_prior_of,
    pair_ranks,
    ranks,
    tell_figures,
)

Array = NDArray[np.float64]
N = 40
INDEX = np.arange(N)
VERBS, NOUNS = (7 * (INDEX % 11) + 3) % NUM_VERBS, (11 * (INDEX % 17) + 5) % NUM_NOUNS
VERB_RANKS = np.array([0, 0, 1, 2, 0, 4, 5, 0, 3, 9])[INDEX % 10]
NOUN_RANKS = np.array([0, 2, 0, 1, 4, 0, 7, 3, 0, 0])[(INDEX + INDEX // 10) % 10]
TEMPERATURES = np.array([0.5, 1.0, 2.0, 4.0])


def placed(k: int, num_classes: int, labels: Any, wanted: Any, lead: float) -> Array:
    """Return scores in which the true class has the rank that is wanted."""
    flat = np.arange(1, N * num_classes + 1, dtype=np.float64)
    wave = np.sin(0.61 * flat + k).reshape(N, num_classes)
    scores: Array = -np.log(0.02 + (1 - wave) / 2) - 0.002 * np.arange(num_classes)
    for row, label, rank in zip(scores, labels, wanted, strict=True):
        others = np.sort(np.delete(row, label))[::-1]
        row[label] = others[0] + lead if rank == 0 else others[rank - 1 : rank + 1].mean()
    return scores


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def logits() -> tuple[Array, Array]:
    verb = placed(1, NUM_VERBS, VERBS, VERB_RANKS, 0.5) * TEMPERATURES[INDEX % 4][:, None]
    noun = placed(2, NUM_NOUNS, NOUNS, NOUN_RANKS, 0.7) * TEMPERATURES[INDEX // 4 % 4][:, None]
    return verb, noun


def as_submitted(kind: str, logits: tuple[Array, Array]) -> tuple[Array, Array]:
    if kind == "logits":
        return logits
    verb, noun = map(softmax, logits)
    return (verb, noun) if kind == "probabilities" else (np.log(verb), np.log(noun))


def segments_of(verb: Array, noun: Array) -> Segments:
    told = {
        "verb": ranks(verb, VERBS),
        "noun": ranks(noun, NOUNS),
        "action": pair_ranks(verb, noun, VERBS, NOUNS),
    }
    people = [f"P{1 + i % 4:02d}" for i in range(N)]
    return Segments(participants=people, verbs=VERBS, nouns=NOUNS, ranks=told)


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["logits", "probabilities", "log_probabilities"])
def test_every_definition_gives_the_reference_figures(
    kind: str, logits: tuple[Array, Array], shared: Path
) -> None:
    file = shared / "epic" / "golden" / "metrics_reference.json"
    reference = json.loads(file.read_text())
    wanted = reference["results"][kind]
    verb, noun = as_submitted(kind, logits)

    segments = segments_of(verb, noun)
    assert segments.ranks["verb"].tolist() == reference["verb_rank"]
    assert segments.ranks["noun"].tolist() == reference["noun_rank"]
    assert segments.ranks["action"].tolist() == wanted["action_rank"]
    for rank, pairs in enumerate(np.array(wanted["top_5_pairs"]).swapaxes(0, 1)):
        assert (pair_ranks(verb, noun, *pairs.T) == rank).all()

    tail = TailClasses(range(1, NUM_VERBS, 3), range(1, NUM_NOUNS, 4))
    told = tell_figures(segments, tail)
    by_name = {measure.name: measure for measure in MEASURES}
    for of in ("verb", "noun", "action"):
        first = by_name[f"{of} top-1"]
        for definition, figures in (
            ("evaluation", wanted["evaluation"]["all"]),
            ("baseline", wanted["baseline"]),
        ):
            fifth = by_name[f"{of} top-5" + (f" ({definition})" if of == "action" else "")]
            found = [told[ALL][measure].percent for measure in (first, fifth)]
            assert found == pytest.approx(figures[of])
        assert [told[TAIL][first].percent] == pytest.approx(wanted["evaluation"]["tail"][of])
        assert [told["P04"][first].percent] == pytest.approx(wanted["evaluation"]["unseen"][of])
    recalls = reference["results"]["logits"]
    for of in ("verb", "noun"):
        for k in (1, 5):
            recall = recalls[f"class_mean_recall_at_{k}"][of]
            assert told[CLASS_MEAN][by_name[f"{of} top-{k}"]].percent == pytest.approx(recall)


def test_log_probabilities_come_to_the_figures_of_logits(logits: tuple[Array, Array]) -> None:
    told = tell_figures(segments_of(*logits))
    assert tell_figures(segments_of(*as_submitted("log_probabilities", logits))) == told
    of_probabilities = tell_figures(segments_of(*as_submitted("probabilities", logits)))
    fifth = Measure("action", 5, "evaluation")
    assert of_probabilities[ALL][fifth].percent < told[ALL][fifth].percent


def test_the_baselines_action_is_never_lower_and_the_same_at_one(
    logits: tuple[Array, Array],
) -> None:
    segments = segments_of(*logits)
    for k in range(1, 12):
        evaluation = segments.hits(Measure("action", k, "evaluation"))
        baseline = segments.hits(Measure("action", k, "baseline"))
        assert (evaluation <= baseline).all()
        assert k > 1 or (evaluation == baseline).all()


def test_a_model_that_cannot_tell_classes_apart_is_right_for_the_first_alone() -> None:
    # Counting higher scores alone would call it right everywhere.
    assert ranks(np.zeros((3, 4)), np.array([0, 1, 3])).tolist() == [0, 1, 3]
    found = pair_ranks(np.zeros((2, 3)), np.zeros((2, 4)), np.array([0, 2]), np.array([0, 3]))
    assert found.tolist() == [0, 11]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_without_an_order_are_refused(bad: float) -> None:
    scores = np.zeros((4, 3))
    scores[2, 1] = bad
    labels = np.zeros(4, np.int64)
    with pytest.raises(DataConflictError, match="segment 2 are not finite"):
        ranks(scores, labels)
    with pytest.raises(DataConflictError, match="segment 2 are not finite"):
        pair_ranks(np.zeros((4, 3)), scores, labels, labels)


def test_floors_are_the_most_frequent_classes_of_the_group() -> None:
    verbs, nouns = np.array([1, 1, 1, 2, 2, 0]), np.array([5, 5, 6, 7, 7, 7])
    nothing = np.full(6, 99)
    segments = Segments(
        participants=["P02"] * 4 + ["P01"] * 2,
        verbs=verbs,
        nouns=nouns,
        ranks={"verb": nothing, "noun": nothing, "action": nothing},
    )
    told = tell_figures(segments, TailClasses({2}, set()))
    verb, noun, action = (Measure(of, 1) for of in ("verb", "noun", "action"))
    assert list(told) == [ALL, TAIL, "P01", "P02", CLASS_MEAN]
    assert [told[ALL][m].floor for m in (verb, noun, action)] == pytest.approx([50, 50, 100 / 3])
    assert told[ALL][Measure("verb", 5)].floor == 100
    assert told["P01"][verb] == (0, 50, 2)
    assert told["P02"][action] == (0, 50, 4)
    # Of the tail, segments of verb 2: no noun is in it.
    assert told[TAIL] == {m: (0, 100, 2) for m in MEASURES if m.of != "noun"}
    assert told[CLASS_MEAN][verb].floor == pytest.approx(100 / 3)
    assert action not in told[CLASS_MEAN]


def test_a_head_that_was_not_trained_has_no_figure() -> None:
    rank = np.array([0, 3])
    segments = Segments(participants=["P01", "P01"], verbs=rank, nouns=rank, ranks={"verb": rank})
    assert list(tell_figures(segments)[ALL].items()) == [
        (Measure("verb", 1), (50, 50, 2)),
        (Measure("verb", 5), (100, 100, 2)),
    ]


def test_segments_without_labels_are_in_no_figure() -> None:
    labels, rank = np.array([[1, 2], [-1, -1]]), {"verb": np.array([0, -1])}
    told = tell_figures(labelled_segments(["P01_11_0", "P02_11_0"], labels, rank))
    assert list(told) == [ALL, "P01", CLASS_MEAN]
    assert told[ALL][Measure("verb", 1)] == (100, 100, 1)
    assert tell_figures(labelled_segments(["P02_11_0"], labels[1:], {"verb": np.array([-1])})) == {}


def test_the_prior_puts_pairs_of_the_training_segments_first() -> None:
    prior = log_prior_of(np.array([0, 0, 1]), np.array([1, 1, 0]), (2, 2))
    assert np.exp(prior) == pytest.approx(np.array([[1, 3], [2, 1]]) / 7)
    verb, noun = np.log([[0.6, 0.4]]), np.log([[0.55, 0.45]])
    first, second = (np.array([0]), np.array([1])), (np.array([1]), np.array([0]))
    assert pair_ranks(verb, noun, *first).tolist() == [1]
    assert pair_ranks(verb, noun, *first, log_prior=prior).tolist() == [0]
    assert pair_ranks(verb, noun, *second, log_prior=prior).tolist() == [1]


def test_the_whole_challenge_is_ranked_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    num = 1200
    verb = rng.normal(size=(num, NUM_VERBS)).astype(np.float32)
    noun = rng.normal(size=(num, NUM_NOUNS)).astype(np.float32)
    verbs, nouns = rng.integers(NUM_VERBS, size=num), rng.integers(NUM_NOUNS, size=num)
    tracemalloc.start()
    found = pair_ranks(verb, noun, verbs, nouns)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All pairs at once would be 280 MB.
    assert peak < 80e6
    pairs = verb[7, :, None].astype(np.float64) + noun[7]
    assert found[7] == (pairs > pairs[verbs[7], nouns[7]]).sum()
