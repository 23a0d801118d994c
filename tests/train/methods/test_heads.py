"""With several heads each has a loss of its own, and what is of one head's classes is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ta3n.common.errors import UsageError
from ta3n.datasets.benchmarks.benchmark import Head
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.objective import run_update
from ta3n.train.loop.stacked import StackedTrainer
from ta3n.train.methods.base import Method
from ta3n.train.methods.heads import ClassHead, columns_of, shares_of, trained_heads
from ta3n.train.methods.registry import METHODS, method_for
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.recipe.recipes import OFFICIAL

MakeData = Callable[..., TrainingData]

HEADS = (ClassHead("verb", 3, 1.0), ClassHead("noun", 4, 3.0))
OF_A_BENCHMARK = (Head("verb", ("cut", "wash")), Head("noun", ("lid", "pan", "tap")))


@pytest.fixture
def make(make_data: MakeData) -> Callable[..., Trainer]:
    def make(
        method: str | Method, heads: tuple[ClassHead, ...] = HEADS, seed: int = 1, epochs: int = 2
    ) -> Trainer:
        data = make_data()
        nouns = torch.arange(data.num_source) % 4
        labels = torch.stack([data.source_labels, nouns], dim=1)
        chosen = method_for(method, "relation") if isinstance(method, str) else method
        sizes = {"hidden_dim": 16, "relation_dim": 8, "source_batch": 8, "epochs": epochs}
        settings = RunSettings(
            method=chosen,
            recipe=replace(OFFICIAL, **sizes),  # type: ignore[arg-type]
            weights={name: weight.default for name, weight in chosen.weights.items()},
            num_classes=7,
            seed=seed,
            heads=heads,
        )
        return Trainer(settings, replace(data, source_labels=labels))

    return make


def test_heads_are_chosen_by_name_and_weighed() -> None:
    assert trained_heads(OF_A_BENCHMARK, None) == (ClassHead("verb", 2), ClassHead("noun", 3))
    assert [head.weight for head in trained_heads(OF_A_BENCHMARK, "noun")] == [0, 1]
    assert trained_heads(OF_A_BENCHMARK[:1], None) == ()
    with pytest.raises(UsageError, match="no head"):
        trained_heads(OF_A_BENCHMARK, "nuon")
    assert shares_of(HEADS) == {"verb": 0.25, "noun": 0.75}
    assert columns_of(HEADS) == {"verb": slice(0, 3), "noun": slice(3, 7)}


def test_a_loss_is_that_of_each_head_with_its_share(make: Callable[..., Trainer]) -> None:
    method = method_for("ta3n", "relation", ["mcc", "dan"])
    whole = make(method)
    batch = next(whole.begin_epoch().batches(whole.data))

    def losses(place: int | None) -> dict[str, float]:
        """Measure a step with both heads, or with one of them as all that there is."""
        trainer = make(method, HEADS if place is None else only(place))
        weights = trainer.weights(0, 1)
        run = run_update(trainer.model, batch, None, objective=trainer.objective, weights=weights)
        return {name: loss.item() for name, loss in run.losses.items()}

    both, verb, noun = losses(None), losses(0), losses(1)
    for name in ("classification", "attentive_entropy", "mcc", "discrepancy_dan"):
        assert verb[name] != pytest.approx(noun[name], rel=1e-6), name
        assert both[name] == pytest.approx(0.25 * verb[name] + 0.75 * noun[name]), name
    assert both["adversarial_video"] == verb["adversarial_video"]


def only(place: int) -> tuple[ClassHead, ...]:
    """Return the heads of which only one is trained."""
    return tuple(replace(head, weight=float(n == place)) for n, head in enumerate(HEADS))


def test_a_head_that_is_not_trained_stays_as_it_started(make: Callable[..., Trainer]) -> None:
    trainer = make("ta3n", only(0))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    list(trainer.epochs())
    after = trainer.model.state_dict()
    assert torch.equal(
        after["video_classifier.noun.weight"], before["video_classifier.noun.weight"]
    )
    assert not torch.equal(
        after["video_classifier.verb.weight"], before["video_classifier.verb.weight"]
    )


@pytest.mark.parametrize("method", ["ta3n", "mean-teacher"])
def test_seeds_with_heads_are_stacked_as_alone(make: Callable[..., Trainer], method: str) -> None:
    members, singles = ([make(method, seed=seed) for seed in (0, 1)] for _ in range(2))
    list(StackedTrainer(members).epochs())
    for member, single in zip(members, singles, strict=True):
        list(single.epochs())
        theirs = single.model.state_dict()
        for name, value in member.model.state_dict().items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)


def test_a_refusal_names_the_term_and_the_heads() -> None:
    with pytest.raises(
        UsageError,
        match="mcd: MCD is for the classes of one head, and the benchmark has verb, noun",
    ) as refusal:
        method_for("mcd", "relation").check_heads(["verb", "noun"])
    assert "\n" not in str(refusal.value)


def test_every_method_trains_with_heads_or_says_why_not(make: Callable[..., Trainer]) -> None:
    refused = set()
    for name, method in METHODS.all().items():
        on = method.on("relation" if any(t.needs_parts for t in method.terms) else method.temporal)
        try:
            on.check_heads(["verb", "noun"])
        except UsageError:
            refused.add(name)
            continue
        if on.trains_on == "source":
            (record,) = make(on, epochs=1).epochs()
            assert record.losses["total"] == record.losses["total"]
    assert {"mcd", "shot", "cdan", "atdoc-na", "mdd", "sa-nn", "flexmatch"} <= refused
    assert refused.isdisjoint({"ta3n", "source-only", "dan", "jan", "adabn", "mcc", "mean-teacher"})
