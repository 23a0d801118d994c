"""The benchmark measures what it says, on something small enough for a test."""

from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from ta3n.train import bench
from ta3n.train.bench import SIZES, Case, in_turns

TINY = bench.Size(num_source=12, num_target=8, feature_dim=4, source_batch=6)


def make_case(method: str = "ta3n", recipe: str = "official") -> Case:
    return Case(
        size=TINY,
        method=method,
        temporal="relation",
        recipe=recipe,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(("method", "recipe"), [("ta3n", "official"), ("mcd", "paper")])
def test_the_bare_epoch_moves_the_same_weights_as_the_loop(method: str, recipe: str) -> None:
    bare, whole = make_case(method, recipe).trainers(2)
    start = [{n: p.detach().clone() for n, p in t.model.named_parameters()} for t in (bare, whole)]
    bench.bare_epoch(bare)()
    whole.run_epoch()
    moved = [
        {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
        for trainer, before in zip((bare, whole), start, strict=True)
    ]
    assert moved[0] == moved[1]


def test_candidates_take_turns_and_the_first_turn_is_not_counted() -> None:
    calls: list[str] = []
    times = in_turns([lambda: calls.append("a"), lambda: calls.append("b")], 2, torch.device("cpu"))
    assert calls == ["a", "b"] * 3
    assert all(seconds >= 0 for seconds in times)


def test_the_report_names_both_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "demo", replace(TINY, feature_dim=3))
    result = CliRunner().invoke(
        bench.main, ["--size", "demo", "--seeds", "2", "--repeats", "1", "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    assert "whole loop" in result.stdout
    assert "2 seeds one after another" in result.stdout
