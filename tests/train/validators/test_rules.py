"""Rules of the target predictions are the published formulas, and fooled by what fools those."""

from collections.abc import Callable
from math import exp, log, sqrt
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from ta3n.train.validators import rules
from ta3n.train.validators.rules import (
    class_correlation,
    information_maximisation,
    judged_density,
    negative_entropy,
    nuclear_norm,
    soft_neighbourhood_density,
    source_accuracy,
)

Rule = Callable[[Tensor], float]
Rows = list[list[float]]

SIZES = [(1, 3), (2, 5), (7, 3), (20, 4)]


def draw(n: int, c: int, *, scale: float = 3.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, c, generator=generator, dtype=torch.float64)


def softmax(logits: Tensor) -> Rows:
    rows = [[exp(float(value)) for value in row] for row in logits]
    return [[value / sum(row) for value in row] for row in rows]


def shannon(distribution: list[float]) -> float:
    return -sum(p * log(p) for p in distribution if p > 0)


def entropy_by_loops(logits: Tensor) -> float:
    rows = softmax(logits)
    return -sum(shannon(row) for row in rows) / len(rows)


def im_by_loops(logits: Tensor) -> float:
    rows = softmax(logits)
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return shannon(mean) + entropy_by_loops(logits)


def snd_by_loops(logits: Tensor) -> float:
    """As in the paper, where a video is among its own neighbours in no way."""
    rows = softmax(logits)
    total = 0.0
    for i, one in enumerate(rows):
        others = [row for j, row in enumerate(rows) if j != i]
        weights = [exp(cosine(one, other) / 0.05) for other in others]
        total += shannon([weight / sum(weights) for weight in weights])
    return total / len(rows)


def cosine(a: list[float], b: list[float]) -> float:
    def dot(x: list[float], y: list[float]) -> float:
        return sum(one * other for one, other in zip(x, y, strict=True))

    return dot(a, b) / sqrt(dot(a, a) * dot(b, b))


def bnm_by_numpy(logits: Tensor) -> float:
    return float(np.linalg.norm(np.array(softmax(logits)), "nuc")) / len(logits)


def corr_c_by_loops(logits: Tensor) -> float:
    rows = softmax(logits)
    classes = range(logits.shape[1])
    correlation = [[sum(r[a] * r[b] for r in rows) / len(rows) for b in classes] for a in classes]
    identity = [[float(a == b) for b in classes] for a in classes]
    return cosine([x for r in correlation for x in r], [x for r in identity for x in r])


FORMULAS: dict[str, tuple[Rule, Rule]] = {
    "entropy": (negative_entropy, entropy_by_loops),
    "im": (information_maximisation, im_by_loops),
    "snd": (soft_neighbourhood_density, snd_by_loops),
    "bnm": (nuclear_norm, bnm_by_numpy),
    "corr_c": (class_correlation, corr_c_by_loops),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize(("n", "c"), SIZES)
def test_score_is_the_plain_formula(name: str, n: int, c: int) -> None:
    rule, formula = FORMULAS[name]
    logits = draw(n, c)
    # The authors' program gives a video's own similarity a weight of exp(-40) to exp(-20).
    assert rule(logits) == pytest.approx(formula(logits), abs=1e-6 if name == "snd" else 1e-12)


def test_density_does_not_depend_on_the_block_size() -> None:
    """More videos than one block holds; the loops would take too long for them."""
    logits = draw(1030, 3)
    unit = torch.nn.functional.normalize(logits.softmax(1))
    similarities = unit @ unit.T / 0.05
    similarities.fill_diagonal_(-1 / 0.05)
    chances = similarities.softmax(1)
    expected = float(-(chances * chances.log()).sum(1).mean())
    assert soft_neighbourhood_density(logits) == pytest.approx(expected, abs=1e-12)


def test_density_compares_so_many_videos_at_most_and_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If it breaks, the rule takes longer than training does where there are many videos."""
    monkeypatch.setattr(rules, "MOST_COMPARED", 50)
    seen: list[Tensor] = []

    def note(logits: Tensor) -> float:
        seen.append(logits)
        return soft_neighbourhood_density(logits)

    monkeypatch.setattr(rules, "soft_neighbourhood_density", note)
    logits = draw(200, 4)
    first, again = judged_density(logits), judged_density(logits)
    assert first == again
    assert first.measures["compared_videos"] == 50
    assert first.value == pytest.approx(soft_neighbourhood_density(seen[0]))
    assert [len(each) for each in seen] == [50, 50]
    # Some of all parts of the list, which is sorted by class, in their order.
    places = [int((logits == row).all(dim=1).nonzero()) for row in seen[0]]
    assert places == sorted(set(places))
    assert places[10] < 100 < places[40]
    whole = judged_density(logits[:50])
    assert torch.equal(seen[2], logits[:50])
    assert "compared_videos" not in whole.measures


def test_source_accuracy_counts_correct_videos() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [0.0, 3.0], [5.0, 1.0]])
    assert source_accuracy(logits, torch.tensor([0, 1, 0, 0])) == 0.75


CLASSES = 4


def certain(classes: Tensor) -> Tensor:
    """Logits that put video i into class classes[i] with certainty."""
    return 40 * torch.nn.functional.one_hot(classes, CLASSES).double()


DIVERSE = certain(torch.arange(20) % CLASSES)
COLLAPSED = certain(torch.zeros(20, dtype=torch.int64))
UNSURE = DIVERSE / 40
CLUELESS = torch.zeros(20, CLASSES, dtype=torch.float64)


@pytest.mark.parametrize("name", ["im", "bnm", "corr_c"])
def test_certain_and_diverse_predictions_score_best(name: str) -> None:
    """Collapse onto one class, the usual way in which adaptation fails, must not be chosen."""
    rule, _ = FORMULAS[name]
    assert rule(DIVERSE) > rule(UNSURE) + 0.05
    assert rule(DIVERSE) > rule(COLLAPSED) + 0.1
    assert rule(UNSURE) > rule(CLUELESS)


def test_entropy_is_fooled_by_collapse_and_density_prefers_it() -> None:
    assert negative_entropy(COLLAPSED) == pytest.approx(negative_entropy(DIVERSE), abs=1e-12)
    assert negative_entropy(COLLAPSED) > negative_entropy(UNSURE)
    assert soft_neighbourhood_density(COLLAPSED) > soft_neighbourhood_density(DIVERSE) + 1


def test_scores_reach_their_stated_bounds() -> None:
    assert information_maximisation(DIVERSE) == pytest.approx(log(CLASSES))
    assert information_maximisation(COLLAPSED) == pytest.approx(0, abs=1e-12)
    assert nuclear_norm(DIVERSE) == pytest.approx(sqrt(CLASSES / 20))
    assert class_correlation(DIVERSE) == pytest.approx(1)
    for same in (COLLAPSED, CLUELESS):
        assert class_correlation(same) == pytest.approx(1 / sqrt(CLASSES))
    assert soft_neighbourhood_density(COLLAPSED) == pytest.approx(log(19), abs=1e-6)
    assert negative_entropy(CLUELESS) == pytest.approx(-log(CLASSES))


@pytest.fixture
def pytorch_adapt() -> ModuleType:
    validators: ModuleType = pytest.importorskip("pytorch_adapt.validators", exc_type=ImportError)
    return validators


@pytest.mark.parametrize(
    ("name", "theirs", "layer"),
    [
        ("entropy", "EntropyValidator", "logits"),
        ("im", "IMValidator", "logits"),
        ("snd", "SNDValidator", "preds"),
        ("bnm", "BNMValidator", "logits"),
    ],
)
def test_scores_agree_with_pytorch_adapt(
    pytorch_adapt: ModuleType, name: str, theirs: str, layer: str
) -> None:
    logits = draw(60, 5)
    outputs = {"logits": logits, "preds": logits.softmax(1)}
    expected = getattr(pytorch_adapt, theirs)(layer=layer)(target_train=outputs)
    assert FORMULAS[name][0](logits) == pytest.approx(float(expected), abs=1e-6)


def of_classes(classes: Tensor, num_classes: int, certainty: float = 30.0) -> Tensor:
    """Return logits of videos whose class is predicted with some certainty."""
    return certainty * torch.eye(num_classes, dtype=torch.float64)[classes]


def test_density_of_certain_classes_counts_and_is_below_the_size_of_a_class() -> None:
    score = judged_density(of_classes(torch.arange(40) % 4, 4))
    assert score.withheld == ""
    assert score.value == pytest.approx(log(9), abs=1e-3)
    assert score.measures["neighbours"] == pytest.approx(9, abs=1e-2)
    assert score.measures["videos_of_a_class"] == pytest.approx(10)
    uneven = torch.tensor([0] * 28 + [1] * 4 + [2] * 4 + [3] * 4)
    assert judged_density(of_classes(uneven, 4)).withheld == ""


def test_density_of_a_model_that_has_learned_nothing_is_withheld() -> None:
    """All videos look alike to it, and its score is the highest there is."""
    score = judged_density(0.01 * draw(40, 4))
    assert score.value == pytest.approx(log(39), abs=1e-3)
    assert score.withheld == "neighbourhoods reach beyond the predicted classes"


def test_density_of_a_collapsed_model_is_withheld() -> None:
    for classes in (torch.zeros(40, dtype=torch.int64), torch.arange(40) % 2):
        score = judged_density(of_classes(classes, 5))
        assert score.withheld == "fewer than half of the classes are predicted"
