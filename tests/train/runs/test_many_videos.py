"""If this breaks, a run takes more memory than its features: nothing it computes is as large."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ta3n.train.data.features import HeldOut, RunData
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.runs.folder import RunConfig, RunFolder
from ta3n.train.runs.session import run_seed
from ta3n.train.validators import rules

MakeTrainer = Callable[..., Trainer]

VIDEOS, SEGMENTS, WIDTH = 3000, 5, 128
METHODS = ("ta3n", "adabn", "mcd", "atdoc-na", "atdoc-nc", "cdd", "flexmatch", "mean-teacher")


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes how many bytes the largest tensor has that anything computes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: tuple[int, str] = (0, "")

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {each.untyped_storage().data_ptr() for each in args if isinstance(each, Tensor)}
        for each in made if isinstance(made, (tuple, list)) else (made,):
            # What lies in memory that was there is no copy.
            if isinstance(each, Tensor) and each.untyped_storage().data_ptr() not in given:
                self.found = max(self.found, (each.nbytes, str(func)))
        return made


def run_data() -> RunData:
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.rand(VIDEOS, SEGMENTS, WIDTH, generator=generator) for _ in range(2))
    held_out = source[:100]
    labels = torch.arange(VIDEOS) % 3
    names = [str(n) for n in range(VIDEOS)]
    return RunData(
        training=TrainingData(source_features=source, source_labels=labels, target_features=target),
        source_videos=names,
        target_videos=names,
        held_out=HeldOut(features=held_out, labels=labels[:100]),
        rule_features=target,
        val_features=target,
        val_labels=labels,
        val_videos=names,
    )


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_computed_that_is_near_the_size_of_the_features(
    make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(rules, "MOST_COMPARED", 100)
    settings = make_trainer(
        method, epochs=2, hidden_dim=8, relation_dim=4, source_batch=32
    ).settings
    folder = RunFolder(tmp_path)
    config = RunConfig(
        benchmark="b", source="s", target="t", method="m", temporal="relation", label="M",
        identity={}, settings={}, data={},
    )  # fmt: skip
    folder.write_start(config, settings.seed)
    data = run_data()
    with _Largest() as mode:
        run_seed(settings, data, folder, torch.device("cpu"))
    num_bytes, what = mode.found
    assert num_bytes < VIDEOS * SEGMENTS * WIDTH * 4 / 4, what
