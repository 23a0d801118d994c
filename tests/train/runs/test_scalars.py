"""If this breaks, curves in TensorBoard lack epochs, or show some of them twice."""

from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from ta3n.common.errors import UsageError
from ta3n.train.runs.scalars import FOLDER, ScalarWriter, check_tensorboard


def lines(*epochs: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "grad_norm": 0.5 * epoch,
            "losses": {"total": 1 / epoch},
            "attention": [0.25, 0.75],
        }
        for epoch in epochs
    ]


@pytest.fixture
def read_scalars(tmp_path: Path) -> Callable[[], dict[str, list[tuple[int, float]]]]:
    """Return a reader of what TensorBoard would show."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read() -> dict[str, list[tuple[int, float]]]:
        events = accumulator.EventAccumulator(str(tmp_path / FOLDER))
        events.Reload()
        names = events.Tags()["scalars"]
        return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}

    return read


def test_a_resumed_run_shows_each_epoch_once(
    tmp_path: Path, read_scalars: Callable[[], dict[str, list[tuple[int, float]]]]
) -> None:
    first = ScalarWriter(tmp_path)
    first.write(lines(1, 2))
    first.write(lines(1, 2, 3))
    first.close()
    # The checkpoint was of epoch 2: epoch 3 is made again.
    second = ScalarWriter(tmp_path)
    second.write(lines(1, 2, 3, 4))
    second.close()
    shown = read_scalars()
    assert set(shown) == {
        "grad_norm",
        "losses/total",
        "attention/2-frame",
        "attention/3-frame",
    }
    assert shown["grad_norm"] == [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0)]
    assert [step for step, _ in shown["attention/3-frame"]] == [1, 2, 3, 4]


def test_levels_are_called_levels(
    tmp_path: Path, read_scalars: Callable[[], dict[str, list[tuple[int, float]]]]
) -> None:
    writer = ScalarWriter(tmp_path, "level")
    writer.write(lines(1))
    writer.close()
    shown = read_scalars()
    assert (shown["attention/level 2"], shown["attention/level 1"]) == ([(1, 0.25)], [(1, 0.75)])


def test_without_the_package_the_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ta3n.train.runs.scalars.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'ta3n\[tensorboard\]'"):
        check_tensorboard()


def test_the_package_is_found_where_it_is_installed() -> None:
    if util.find_spec("tensorboard") is None:
        pytest.skip("tensorboard is not installed")
    check_tensorboard()
