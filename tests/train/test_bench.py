"""The benchmark measures what it says, on something small enough for a test."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ta3n.train import bench
from ta3n.train.bench import SIZES, Case, in_turns
from ta3n.train.model.videos import HeldRows

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
    assert "from mapped files" in result.stdout


def test_mapped_features_train_as_those_in_memory(tmp_path: Path) -> None:
    case = make_case()
    rows, starts = bench._mapped(tmp_path, 20, TINY.feature_dim)
    held = HeldRows(rows.take(torch.arange(20 * 16)))
    assert not torch.equal(held.rows[0], held.rows[1])
    records = []
    for kind in (held, rows):
        parts = [bench._stored(kind, each) for each in torch.split(starts, [12, 8])]
        (trainer,) = case.trainers_on(parts[0], parts[1], 1, "random")
        records.append(trainer.run_epoch())
    assert records[0] == records[1]
