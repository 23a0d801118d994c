"""What is kept of a run's models: all that resuming needs, then the weights worth keeping.

A run in progress has a checkpoint. A finished one has its weights instead: those of each epoch that
a rule of `KEPT_WEIGHTS` chose, once, however many rules chose it. Both load on any machine with
`torch.load(..., weights_only=True)`.

Legend: N target validation videos, C classes, D cached feature width.
"""

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ta3n.common.errors import (
    DataConflictError,
    DataMissingError,
    FeatureStoreError,
    Ta3nError,
    lack_of_the_machine,
    reason_of,
)
from ta3n.common.files import is_named_in_utf8, replace_file
from ta3n.train.loop.closed_form import ClosedFormTrainer
from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.heads import heads_of
from ta3n.train.methods.registry import method_of
from ta3n.train.methods.rejection import rejection_of
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.model import TA3N, model_spec
from ta3n.train.model.prediction import classes_of
from ta3n.train.recipe.recipes import Recipe
from ta3n.train.runs.folder import RunConfig, RunFolder
from ta3n.train.runs.records import read_config, stream_records
from ta3n.train.runs.scores import Evaluation
from ta3n.train.runs.selection import (
    KEPT_WEIGHTS,
    LAST,
    ChosenEpoch,
    EpochScores,
    TargetScore,
    select,
)
from ta3n.train.validators.rules import Score

Weights = Mapping[str, Tensor]

# Unpickling runs into anything.
_UNREADABLE = (
    RuntimeError, ValueError, LookupError, TypeError, EOFError, UnpicklingError,
    ArithmeticError, AssertionError, AttributeError, struct.error,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunState:
    """All that is kept of a run after its last complete epoch; never changed in place.

    Attributes:
        trainer: A copy of the trainer's state.
        scores: What can be chosen by, epoch by epoch.
        predictions: Class of each target validation video at the epoch of each rule, int64 [N], or
            of each trained head [N, H].
        last_logits: After the last epoch, [N, C].
        weights: The model's, at the epochs of `KEPT_WEIGHTS`.
        label_reads: How many single target labels were read.
        troubles: What is wrong with the last epoch, by kind; nothing in older checkpoints.
    """

    trainer: Mapping[str, Any]
    scores: tuple[EpochScores, ...]
    predictions: Mapping[str, Tensor]
    last_logits: Tensor
    weights: Mapping[str, Weights]
    label_reads: int
    troubles: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def after_epoch(
        cls,
        before: "RunState | None",
        trainer: Trainer | ClosedFormTrainer,
        evaluation: Evaluation,
        *,
        validators: Mapping[str, Score],
        label_reads: int,
        troubles: Mapping[str, str],
    ) -> "RunState":
        """Return the state after one more epoch; `before` is None at the start."""
        new = EpochScores.of(evaluation.score, validators)
        scores = (*(before.scores if before else ()), new)
        chosen = [r for r, choice in select(scores).items() if choice.epoch == new.target.epoch]
        settings = trainer.settings
        predicted = classes_of(evaluation.logits, settings.heads, settings.rejection)
        predictions = dict.fromkeys(sorted(chosen), predicted)
        state = trainer.state_dict()
        # Memories are as long as the data, and nobody looks into those of an epoch that is over.
        model = {n: value for n, value in state["model"].items() if not _is_memory(n)}
        weights = {rule: model for rule in KEPT_WEIGHTS if rule in chosen}
        return cls(
            trainer=state,
            scores=scores,
            predictions={**(before.predictions if before else {}), **predictions},
            last_logits=evaluation.logits,
            weights={**(before.weights if before else {}), **weights},
            label_reads=label_reads,
            troubles=troubles,
        )

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.scores)

    @property
    def chosen(self) -> dict[str, ChosenEpoch]:
        """The epoch of every rule, by its name."""
        return select(self.scores)


def write_state(folder: RunFolder, state: RunState) -> None:
    """Write the checkpoint, from which a run is gone on with to the bit.

    Raises:
        OSError: If the folder cannot be written.
    """
    _write(folder.checkpoint, {**vars(state), "scores": [asdict(each) for each in state.scores]})


def read_state(folder: RunFolder, trainer: Trainer | ClosedFormTrainer) -> RunState | None:
    """Read the checkpoint and put the trainer where it left off; None if there is no checkpoint.

    Raises:
        FeatureStoreError: If it is damaged.
        DataConflictError: If it is of another run.
        OSError: If it cannot be read, which is no reason to remove it.
    """
    try:
        state = _state(torch.load(folder.checkpoint, map_location="cpu", weights_only=True))
        trainer.load_state_dict(state.trainer)
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        _raise_if_innocent(error)
        raise FeatureStoreError(
            f"{folder.checkpoint} is damaged: {_why(error)}; remove it to train this seed afresh"
        ) from error
    return state


def _raise_if_innocent(error: Exception) -> None:
    """Raise an error on reading that is no fault of the file, which nobody must remove for it."""
    if isinstance(error, RuntimeError) and lack_of_the_machine(error) is not None:
        raise error


def _why(error: Exception) -> str:
    """Return what is wrong with a file that `torch.load` does not read, without its advice."""
    return "torch.save did not write it" if isinstance(error, UnpicklingError) else reason_of(error)


def _state(plain: dict[str, Any]) -> RunState:
    """Return a state from its plain values, those of version 0.1 too."""
    scores = tuple(
        EpochScores(**{**each, "target": TargetScore(**each["target"])}) for each in plain["scores"]
    )
    # Version 0.1 did not name the last weights a second time.
    weights = {LAST: plain["trainer"]["model"], **plain["weights"]}
    return RunState(**{**plain, "scores": scores, "weights": weights})


def write_weights(folder: RunFolder, state: RunState) -> None:
    """Write the weights that are kept of a finished run.

    Raises:
        OSError: If the folder cannot be written.
    """
    _write(folder.weights, {"config_hash": folder.read_config_hash(), **_kept(state)})


def _kept(state: RunState) -> dict[str, Any]:
    """Return the weights by epoch, and the epoch of each rule."""
    rules = {rule: state.chosen[rule].epoch for rule in KEPT_WEIGHTS if rule in state.weights}
    # The same strings everywhere: equal weights make equal files.
    names = [name for name in state.weights[LAST] if not _is_memory(name)]
    epochs = {
        epoch: {name: state.weights[rule][name].cpu() for name in names}
        for rule, epoch in rules.items()
    }
    return {"seed": state.trainer["identity"]["seed"], "rules": rules, "epochs": epochs}


def _is_memory(name: str) -> bool:
    """Say whether a tensor of a model is what a term keeps between steps."""
    return name.startswith("memory.")


class TrainedModel(NamedTuple):
    """A model in evaluation mode, on the CPU, as it was after an epoch (from 1)."""

    model: TA3N | AlignedModel
    epoch: int


def load_trained(path: Path, config: RunConfig, *, seed: int, rule: str = LAST) -> TrainedModel:
    """Rebuild the model that a selection rule, one of `KEPT_WEIGHTS`, chose.

    The run is finished or has a checkpoint; those of version 0.1 have one too.

    Raises:
        DataMissingError: If its weights are not there.
        FeatureStoreError: If they are damaged or of another model.
        DataConflictError: If they are of another run.
    """
    folder = RunFolder(path)
    file = folder.weights if folder.weights.exists() else folder.checkpoint
    if not file.exists():
        raise DataMissingError(
            f"no {folder.weights.name} or {file.name} in {path}: no epoch of this run was saved"
        )
    try:
        # Mapped: what is not used, such as the optimiser's state, is never read.
        mapped = is_named_in_utf8(file)
        kept = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        if file == folder.checkpoint:
            kept = {"config_hash": config.hash, **_kept(_state(kept))}
        if (kept["seed"], kept["config_hash"]) != (seed, config.hash):
            raise DataConflictError(f"{file} is of another run than config.json beside it")
        if rule not in kept["rules"]:
            raise DataMissingError(
                f"no weights by the rule {rule} in {file}, only by {', '.join(kept['rules'])}"
            )
        epoch = kept["rules"][rule]
        model = _build(config, kept["epochs"][epoch])
    except Ta3nError:
        raise
    except (OSError, *_UNREADABLE) as error:
        _raise_if_innocent(error)
        raise FeatureStoreError(f"{file} cannot be used: {_why(error)}") from error
    return TrainedModel(model=model.eval().requires_grad_(False), epoch=epoch)


def initial_weights(settings: RunSettings) -> Weights | None:
    """Return the last weights of the run that another starts from, None where it starts anew.

    Raises:
        As `load_trained`.
    """
    if settings.init_from is None:
        return None
    path = settings.init_from.of(settings.seed)
    config, seed = read_config(path)
    if config.hash != settings.init_from.config_hash:
        raise DataConflictError(f"{path} is of another run than when this one was prepared")
    return load_trained(path, config, seed=seed).model.state_dict()


def _build(config: RunConfig, weights: Weights) -> TA3N | AlignedModel:
    method = method_of(config.settings["method"])
    if method.closed_form is not None:
        return AlignedModel(weights, len(config.settings["classes"]))
    widths = tuple(each["features"]["feature_dim"] for each in stream_records(config))
    recipe = Recipe(**config.settings["recipe"])
    rejection = rejection_of(config.settings)
    spec = model_spec(
        method,
        recipe,
        num_classes=rejection.num_outputs if rejection else len(config.settings["classes"]),
        feature_dim=sum(widths),
        heads=heads_of(config.settings),
        stream_dims=widths if recipe.fusion == "late" else (),
        stream_widths=widths,
        num_domains=1 + len(config.sources) if config.are_domains else 2,
    )
    model = TA3N(spec, torch.Generator().manual_seed(0))
    # In version 0.1 the encoder was called `relations`.
    named = {re.sub(r"^relations\.", "encoder.", name): value for name, value in weights.items()}
    model.load_state_dict(named)
    return model


def _write(path: Path, value: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(dict(value), buffer)
    replace_file(path, buffer.getbuffer())
