"""Runs from start to finish: train, look at the target after each epoch, keep everything.

Legend: N target validation videos, C classes.
"""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ta3n.common.device import allowed_cpus, describe_device
from ta3n.common.errors import FeatureStoreError
from ta3n.common.files import replace_file
from ta3n.common.log import LOGGER, ProgressLine
from ta3n.train.batches import TrainingData
from ta3n.train.checks import RunSettings
from ta3n.train.engine import EpochRecord, Trainer
from ta3n.train.evaluate import Evaluation, Evaluator, Score, select
from ta3n.train.runs import RuleResult, RunFolder, RunResult
from ta3n.train.stacked import StackedTrainer

_SECONDS_BETWEEN_CHECKPOINTS = 20.0


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The tensors of a run.

    Attributes:
        training: What training may see.
        val_features: Target validation features [N, K, D].
        val_labels: Their labels, int64 [N], for the evaluator alone.
        val_videos: Their paths.
    """

    training: TrainingData
    val_features: Tensor
    val_labels: Tensor
    val_videos: Sequence[str]


@dataclass
class _Progress:
    """What a checkpoint keeps beside the trainer's state."""

    scores: list[Score] = field(default_factory=list)
    best_logits: Tensor | None = None
    last_logits: Tensor | None = None

    def add(self, evaluation: Evaluation) -> None:
        """Note an epoch; keep the logits of the best one, the first of equals."""
        best = max((score.correct for score in self.scores), default=-1)
        if evaluation.score.correct > best:
            self.best_logits = evaluation.logits
        self.last_logits = evaluation.logits
        self.scores.append(evaluation.score)


class SeedRun:
    """One seed in progress: its trainer, its look at the target, and its folder.

    Args:
        settings: What to run.
        data: The tensors.
        folder: Where everything is kept; a checkpoint in it is gone on with.
        device: Where to train.

    Raises:
        TrainingError: If the data cannot be trained on.
        FeatureStoreError: If the checkpoint is damaged.
        DataConflictError: If the checkpoint is of another run.
    """

    def __init__(
        self, settings: RunSettings, data: RunData, folder: RunFolder, device: torch.device
    ) -> None:
        self.trainer = Trainer(settings, data.training, device=device)
        self._evaluator = Evaluator(
            data.val_features, data.val_labels, num_classes=settings.num_classes
        )
        self._data = data
        self._folder = folder
        self._device = device
        self._progress = _resume(self.trainer, self._evaluator, folder)

    def note(self, record: EpochRecord) -> str:
        """Look at the target after an epoch; return what is worth showing."""
        evaluation = self._evaluator.evaluate(self.trainer.model, record.epoch)
        self._progress.add(evaluation)
        return _epoch_details(self.trainer.settings.seed, record, evaluation)

    def save(self) -> None:
        """Write the checkpoint and the metrics so far."""
        _save(self.trainer, self._evaluator, self._progress, self._folder)

    def finish(self, seconds_per_epoch: float) -> RunResult:
        """Write all that is kept of a finished run."""
        self.save()
        _write_predictions(self._folder, self._data.val_videos, self._evaluator, self._progress)
        self._folder.write_environment(
            describe_device(self._device), allowed_cpus(), seconds_per_epoch
        )
        seed = self.trainer.settings.seed
        result = _result(seed, self.trainer, self._evaluator, self._progress, self._data.training)
        self._folder.write_result(result)
        log_result(result)
        return result


def run_seed(
    settings: RunSettings, data: RunData, folder: RunFolder, device: torch.device
) -> RunResult:
    """Train one seed, or go on with it from its checkpoint.

    Args:
        settings: What to run.
        data: The tensors, on the device already if they fit.
        folder: Where everything is kept.
        device: Where to train.

    Raises:
        TrainingError: If a loss stops being finite.
        FeatureStoreError: If the checkpoint is damaged.
        DataConflictError: If the checkpoint is of another run.
        OSError: If the folder cannot be written.
    """
    run = SeedRun(settings, data, folder, device)
    (result,) = _train([run], ([record] for record in run.trainer.epochs()))
    return result


def run_stacked(
    settings: Sequence[RunSettings],
    data: RunData,
    folders: Sequence[RunFolder],
    device: torch.device,
) -> list[RunResult]:
    """Train several seeds as one batched program; each gets the run folder of a single run.

    Seeds whose checkpoints lie at different epochs cannot share a program: those of one epoch are
    stacked, one group after another.

    Args:
        settings: What to run, alike but for the seed.
        data: The tensors.
        folders: One for each seed.
        device: Where to train.

    Raises:
        TrainingError: If a loss of any seed stops being finite.
        FeatureStoreError: If a checkpoint is damaged.
        DataConflictError: If a checkpoint is of another run.
        OSError: If a folder cannot be written.
    """
    on_device = replace(data, training=data.training.to(device, torch.float32))
    pairs = zip(settings, folders, strict=True)
    runs = [SeedRun(each, on_device, folder, device) for each, folder in pairs]
    by_epoch: dict[int, list[SeedRun]] = {}
    for run in runs:
        by_epoch.setdefault(run.trainer.epoch, []).append(run)
    if len(by_epoch) > 1:
        LOGGER.info("seeds stand at different epochs: %d stacks, one after another", len(by_epoch))
    results = {}
    for group in by_epoch.values():
        stack = StackedTrainer([run.trainer for run in group])
        for result in _train(group, stack.epochs()):
            results[result.seed] = result
    return [results[each.seed] for each in settings]


def _train(runs: Sequence[SeedRun], epochs: Iterator[Sequence[EpochRecord]]) -> list[RunResult]:
    """Train runs in step to the end: look at the target after each epoch, keep everything."""
    first = runs[0].trainer
    done_before, total = first.epoch, first.settings.recipe.epochs
    started = saved = time.monotonic()
    with ProgressLine(total, "epochs") as line:
        for records in epochs:
            notes = [run.note(record) for run, record in zip(runs, records, strict=True)]
            more = f", {len(notes) - 1} more stacked" if len(notes) > 1 else ""
            line.update(records[0].epoch, notes[0] + more)
            if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
                for run in runs:
                    run.save()
                saved = time.monotonic()
    seconds = (time.monotonic() - started) / max(first.epoch - done_before, 1)
    stacked = f" for {len(runs)} seeds" if len(runs) > 1 else ""
    LOGGER.info("an epoch took %.2f s%s", seconds, stacked)
    return [run.finish(seconds / len(runs)) for run in runs]


def _resume(trainer: Trainer, evaluator: Evaluator, folder: RunFolder) -> _Progress:
    if not folder.checkpoint.exists():
        return _Progress()
    try:
        state = torch.load(folder.checkpoint, map_location="cpu", weights_only=True)
        scores = [Score(**score) for score in state["scores"]]
        trainer.load_state_dict(state["trainer"])
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FeatureStoreError(
            f"{folder.checkpoint} is damaged: {first}; remove it to train this seed afresh"
        ) from error
    evaluator.label_reads = state["label_reads"]
    LOGGER.info("seed %d goes on after epoch %d", trainer.settings.seed, trainer.epoch)
    return _Progress(scores, state["best_logits"], state["last_logits"])


def _save(trainer: Trainer, evaluator: Evaluator, progress: _Progress, folder: RunFolder) -> None:
    buffer = io.BytesIO()
    torch.save(
        {
            "trainer": trainer.state_dict(),
            "scores": [asdict(score) for score in progress.scores],
            "best_logits": progress.best_logits,
            "last_logits": progress.last_logits,
            "label_reads": evaluator.label_reads,
        },
        buffer,
    )
    replace_file(folder.checkpoint, buffer.getvalue())
    folder.write_metrics(
        [_metrics(*pair) for pair in zip(trainer.history, progress.scores, strict=True)]
    )


def _metrics(record: EpochRecord, score: Score) -> Mapping[str, Any]:
    return {**asdict(record), "target_correct": score.correct, "target_total": score.total}


def _epoch_details(seed: int, record: EpochRecord, evaluation: Evaluation) -> str:
    return (
        f"seed {seed}: loss {record.losses['total']:.4f}, "
        f"target {100 * evaluation.score.accuracy:.2f} %"
    )


def _write_predictions(
    folder: RunFolder, videos: Sequence[str], evaluator: Evaluator, progress: _Progress
) -> None:
    """Write per video what the last and the best epoch predict, with the last's probability."""
    last, best = progress.last_logits, progress.best_logits
    assert last is not None, "a run has at least one epoch"
    assert best is not None, "and so a best one"
    confidence, predicted = last.softmax(dim=1).max(dim=1)
    columns = zip(
        videos,
        evaluator.read_labels().tolist(),
        predicted.tolist(),
        best.argmax(dim=1).tolist(),
        confidence.tolist(),
        strict=True,
    )
    names = ("video", "label", "last", "oracle", "last_probability")
    folder.write_predictions([dict(zip(names, row, strict=True)) for row in columns])


def _result(
    seed: int,
    trainer: Trainer,
    evaluator: Evaluator,
    progress: _Progress,
    training: TrainingData,
) -> RunResult:
    record = trainer.history[-1]
    coverage = {"source": (record.source_videos, training.num_source)}
    if training.target_features is not None:
        coverage["target"] = (record.target_videos, training.num_target)
    return RunResult(
        seed=seed,
        rules={
            name: RuleResult(
                epoch=choice.score.epoch,
                correct=choice.score.correct,
                total=choice.score.total,
                uses_target_labels=choice.uses_target_labels,
            )
            for name, choice in select(progress.scores).items()
        },
        target_label_reads=evaluator.label_reads,
        coverage=coverage,
    )


def log_result(result: RunResult) -> None:
    """Log the figures of a finished run, and how many videos an epoch used."""
    rules = ", ".join(
        f"{name} {rule.percent:.2f} % ({rule.correct}/{rule.total}, epoch {rule.epoch})"
        for name, rule in result.rules.items()
    )
    used = ", ".join(f"{n} of {of} {domain}" for domain, (n, of) in result.coverage.items())
    LOGGER.info("seed %d: %s; an epoch used %s videos", result.seed, rules, used)
