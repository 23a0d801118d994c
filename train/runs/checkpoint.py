"""What is kept of a run in progress, and the files it is kept in.

Legend: N target validation videos, C classes.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ta3n.common.errors import FeatureStoreError
from ta3n.common.files import replace_file
from ta3n.train.loop.engine import Trainer
from ta3n.train.runs.folder import RunFolder
from ta3n.train.runs.scores import Evaluation, Score
from ta3n.train.runs.selection import ORACLE, EpochScores, Selection, select

KEPT_WEIGHTS = (ORACLE, "im")
"""Rules whose weights are kept, where they choose an epoch; those of `last` are the run's own."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class RunState:
    """All that is kept of a run after its last complete epoch; never changed in place.

    Args:
        trainer: a copy of the trainer's state.
        scores: what can be chosen by, epoch by epoch.
        predictions: class of each target validation video at the epoch of each rule, int64 [N].
        last_logits: after the last epoch, [N, C].
        weights: the model's, at the epochs of `KEPT_WEIGHTS`. The checkpoint holds them too, so
            that a run that goes on from it has them.
        label_reads: how many single target labels were read.
    """

    trainer: Mapping[str, Any]
    scores: tuple[EpochScores, ...]
    predictions: Mapping[str, Tensor]
    last_logits: Tensor
    weights: Mapping[str, Weights]
    label_reads: int

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.scores)

    @property
    def selections(self) -> dict[str, Selection]:
        """The epoch of every rule, by its name."""
        return select(self.scores)


def after_epoch(
    before: RunState | None,
    trainer: Trainer,
    evaluation: Evaluation,
    *,
    validators: Mapping[str, float],
    label_reads: int,
) -> RunState:
    """Return the state after one more epoch.

    Args:
        before: the state until then, None at the start.
        trainer: at the end of the epoch.
        evaluation: of that epoch.
        validators: its label-free scores.
        label_reads: as in the state.
    """
    new = EpochScores(target=evaluation.score, validators=validators)
    scores = (*(before.scores if before else ()), new)
    state = trainer.state_dict()
    chosen_now = {r for r, choice in select(scores).items() if choice.epoch == new.epoch}
    predicted = evaluation.logits.argmax(dim=1)
    return RunState(
        trainer=state,
        scores=scores,
        predictions={
            **(before.predictions if before else {}),
            **dict.fromkeys(sorted(chosen_now), predicted),
        },
        last_logits=evaluation.logits,
        weights={
            **(before.weights if before else {}),
            **{rule: state["model"] for rule in KEPT_WEIGHTS if rule in chosen_now},
        },
        label_reads=label_reads,
    )


def write_state(folder: RunFolder, state: RunState) -> None:
    """Write the checkpoint, from which a run is gone on with to the bit.

    Raises:
        OSError: if the folder cannot be written.
    """
    plain = {
        "trainer": state.trainer,
        "scores": [
            {"target": asdict(scores.target), "validators": dict(scores.validators)}
            for scores in state.scores
        ],
        "predictions": state.predictions,
        "last_logits": state.last_logits,
        "weights": state.weights,
        "label_reads": state.label_reads,
    }
    replace_file(folder.checkpoint, _dump(plain))


def read_state(folder: RunFolder, trainer: Trainer) -> RunState | None:
    """Read the checkpoint and put the trainer where it left off; None if there is no checkpoint.

    Raises:
        FeatureStoreError: if it is damaged.
        DataConflictError: if it is of another run.
    """
    if not folder.checkpoint.exists():
        return None
    try:
        plain = torch.load(folder.checkpoint, map_location="cpu", weights_only=True)
        plain["scores"] = tuple(
            EpochScores(target=Score(**scores["target"]), validators=scores["validators"])
            for scores in plain["scores"]
        )
        state = RunState(**plain)
        trainer.load_state_dict(state.trainer)
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FeatureStoreError(
            f"{folder.checkpoint} is damaged: {first}; remove it to train this seed afresh"
        ) from error
    return state


def write_best(folder: RunFolder, state: RunState, rule: str) -> None:
    """Write the weights at the epoch of a rule, with where they come from.

    The file loads with `torch.load(..., weights_only=True)` on any machine.

    Raises:
        OSError: if the folder cannot be written.
    """
    choice = state.selections[rule]
    best = {
        "config_hash": folder.read_config_hash(),
        "seed": state.trainer["identity"]["seed"],
        "rule": rule,
        "epoch": choice.epoch,
        "score": choice.score,
        "model": {name: tensor.cpu() for name, tensor in state.weights[rule].items()},
    }
    replace_file(folder.best(rule), _dump(best))


def _dump(value: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(value), buffer)
    return buffer.getvalue()
