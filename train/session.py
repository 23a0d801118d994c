"""One run from start to finish: train, look at the target after each epoch, keep everything.

Legend: N target validation videos, C classes.
"""

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
    trainer = Trainer(settings, data.training, device=device)
    evaluator = Evaluator(data.val_features, data.val_labels, num_classes=settings.num_classes)
    progress = _resume(trainer, evaluator, folder)
    done_before = trainer.epoch
    started = saved = time.monotonic()
    with ProgressLine(settings.recipe.epochs, "epochs") as line:
        for record in trainer.epochs():
            evaluation = evaluator.evaluate(trainer.model, record.epoch)
            progress.add(evaluation)
            line.update(record.epoch, _epoch_details(settings.seed, record, evaluation))
            if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
                _save(trainer, evaluator, progress, folder)
                saved = time.monotonic()
    seconds = (time.monotonic() - started) / max(trainer.epoch - done_before, 1)
    _save(trainer, evaluator, progress, folder)
    _write_predictions(folder, data.val_videos, evaluator, progress)
    folder.write_environment(describe_device(device), allowed_cpus(), seconds)
    result = _result(settings.seed, trainer, evaluator, progress, data.training)
    folder.write_result(result)
    _log_result(result, seconds)
    return result


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


def _log_result(result: RunResult, seconds_per_epoch: float) -> None:
    rules = ", ".join(
        f"{name} {rule.percent:.2f} % ({rule.correct}/{rule.total}, epoch {rule.epoch})"
        for name, rule in result.rules.items()
    )
    used = ", ".join(f"{n} of {of} {domain}" for domain, (n, of) in result.coverage.items())
    LOGGER.info("seed %d: %s", result.seed, rules)
    LOGGER.info("an epoch used %s videos and took %.2f s", used, seconds_per_epoch)
