"""Runs from start to finish: train, look at the target after each epoch, keep everything."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ta3n.common.device import describe_device
from ta3n.common.errors import TrainingError, shorten
from ta3n.common.log import LOGGER, ProgressLine, describe_time_left
from ta3n.train.data.features import RunData
from ta3n.train.loop.checks import NonFiniteError
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import EpochRecord
from ta3n.train.loop.stacked import StackedTrainer
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.runs.checkpoint import RunState, read_state, write_state, write_weights
from ta3n.train.runs.folder import RunFolder, RunResult
from ta3n.train.runs.scalars import ScalarWriter
from ta3n.train.runs.scores import Evaluator, label_free_scores

_SECONDS_BETWEEN_CHECKPOINTS = 20.0
_NUM_NAMED_VIDEOS = 3


class SeedRun:
    """One seed in progress, see `run_seed`: its trainer, its look at the target, and its folder.

    The state after each epoch is copied, so that whatever happens within the next one, the last
    complete epoch can still be written.
    """

    def __init__(
        self,
        settings: RunSettings,
        data: RunData,
        folder: RunFolder,
        device: torch.device,
        *,
        tensorboard: bool = False,
    ) -> None:
        self.trainer = Trainer(settings, data.training, device=device)
        self._evaluator = Evaluator(
            data.val_features, data.val_labels, num_classes=settings.num_classes
        )
        self._data = data
        self._folder = folder
        self._device = device
        self._state = read_state(folder, self.trainer)
        self._epoch_saved = 0
        if self._state is not None:
            self._evaluator.label_reads = self._state.label_reads
            LOGGER.info("seed %d goes on after epoch %d", settings.seed, self._state.epoch)
        self._scalars = ScalarWriter(folder.path) if tensorboard else None

    def note(self, record: EpochRecord) -> str:
        """Look at the target after an epoch; return what is worth showing."""
        evaluation = self._evaluator.evaluate(self.trainer.model, record.epoch)
        self._state = RunState.after_epoch(
            self._state,
            self.trainer,
            evaluation,
            validators=label_free_scores(self.trainer.model, evaluation.outputs, self._data),
            label_reads=self._evaluator.label_reads,
        )
        return (
            f"seed {self.trainer.settings.seed}: loss {record.losses['total']:.4f}, "
            f"target {evaluation.score.percent:.2f} %"
        )

    def save(self) -> None:
        """Write the last complete epoch: checkpoint, and metrics so far."""
        if self._state is None or self._epoch_saved == self._state.epoch:
            return
        write_state(self._folder, self._state)
        self._write_metrics(self._state)
        self._epoch_saved = self._state.epoch

    def save_after_failure(self) -> None:
        """Write the last complete epoch, where the reason to stop is told by someone else."""
        try:
            self.save()
        except OSError as error:
            LOGGER.warning("the last epoch could not be saved: %s", error)

    def finish(self, seconds_per_epoch: float) -> RunResult:
        """Write all that is kept of a finished run, the figures last."""
        state = self._state
        assert state is not None, "a run has at least one epoch"
        self._write_metrics(state)
        if self._scalars is not None:
            self._scalars.close()
        self._folder.write_predictions(self._predictions(state))
        self._folder.write_environment(
            describe_device(self._device), torch.get_num_threads(), seconds_per_epoch
        )
        write_weights(self._folder, state)
        result = self._result(state)
        self._folder.write_result(result)
        result.log()
        return result

    def _write_metrics(self, state: RunState) -> None:
        lines = [
            {
                **{key: value for key, value in record.items() if value is not None},
                "target_correct": scores.target.correct,
                "target_total": scores.target.total,
                "validators": scores.validators,
            }
            for record, scores in zip(state.trainer["history"], state.scores, strict=True)
        ]
        if self._scalars is not None:
            self._scalars.write(lines)
        self._folder.write_metrics(lines)

    def _predictions(self, state: RunState) -> list[Mapping[str, Any]]:
        """Return for each video what every rule's epoch predicts, and the last's probability."""
        columns = {
            "video": self._data.val_videos,
            "label": self._evaluator.read_labels().tolist(),
            **{rule: state.predictions[rule].tolist() for rule in state.chosen},
            "last_probability": state.last_logits.softmax(dim=1).amax(dim=1).tolist(),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _result(self, state: RunState) -> RunResult:
        record, training = state.trainer["history"][-1], self._data.training
        coverage = {"source": (record["source_videos"], training.num_source)}
        if training.target_features is not None:
            coverage["target"] = (record["target_videos"], training.num_target)
        return RunResult(
            seed=self.trainer.settings.seed,
            rules=state.chosen,
            target_label_reads=self._evaluator.label_reads,
            coverage=coverage,
        )


def run_seed(
    settings: RunSettings,
    data: RunData,
    folder: RunFolder,
    device: torch.device,
    *,
    tensorboard: bool = False,
) -> RunResult:
    """Train one seed, or go on with it from its checkpoint; everything is kept in its folder.

    Raises:
        TrainingError: If a loss stops being finite.
        FeatureStoreError: If a checkpoint is damaged.
        DataConflictError: If a checkpoint is of another run.
        OSError: If a folder cannot be written.
    """
    run = SeedRun(settings, data.to(device), folder, device, tensorboard=tensorboard)
    (result,) = _train([run], ([record] for record in run.trainer.epochs()), data)
    return result


def run_stacked(
    settings: Sequence[RunSettings],
    data: RunData,
    folders: Sequence[RunFolder],
    device: torch.device,
    *,
    tensorboard: bool = False,
) -> list[RunResult]:
    """Train seeds of one row as one batched program, each kept as `run_seed` keeps it.

    Seeds whose checkpoints lie at different epochs cannot share a program: those of one epoch are
    stacked, one group after another. Raises what `run_seed` does.
    """
    on_device = data.to(device)
    runs = [
        SeedRun(each, on_device, folder, device, tensorboard=tensorboard)
        for each, folder in zip(settings, folders, strict=True)
    ]
    by_epoch: dict[int, list[SeedRun]] = {}
    for run in runs:
        by_epoch.setdefault(run.trainer.epoch, []).append(run)
    if len(by_epoch) > 1:
        LOGGER.info("seeds stand at different epochs: %d stacks, one after another", len(by_epoch))
    results = {}
    for group in by_epoch.values():
        stack = StackedTrainer([run.trainer for run in group])
        for result in _train(group, stack.epochs(), data):
            results[result.seed] = result
    return [results[each.seed] for each in settings]


def _train(
    runs: Sequence[SeedRun], epochs: Iterator[Sequence[EpochRecord]], data: RunData
) -> list[RunResult]:
    """Train runs in step to the end; whatever stops them, the last complete epoch is saved."""
    try:
        seconds = _run_epochs(runs, epochs)
    except (Exception, KeyboardInterrupt) as error:
        for run in runs:
            run.save_after_failure()
        if isinstance(error, NonFiniteError):
            raise TrainingError(f"{error}; {_describe_batch(error, data)}") from error
        raise
    stacked = f" for {len(runs)} seeds" if len(runs) > 1 else ""
    LOGGER.info("an epoch took %.2f s%s", seconds, stacked)
    return [run.finish(seconds / len(runs)) for run in runs]


def _run_epochs(runs: Sequence[SeedRun], epochs: Iterator[Sequence[EpochRecord]]) -> float:
    """Look at the target after each epoch, show how far it is, and save now and then.

    Returns:
        Seconds for an epoch.
    """
    first = runs[0].trainer
    done_before, total = first.epoch, first.settings.recipe.epochs
    started = saved = time.monotonic()
    with ProgressLine(total, "epochs") as line:
        for records in epochs:
            notes = [run.note(record) for run, record in zip(runs, records, strict=True)]
            more = f", {len(notes) - 1} more stacked" if len(notes) > 1 else ""
            elapsed_s, done = time.monotonic() - started, records[0].epoch
            left = describe_time_left(elapsed_s, done - done_before, total - done_before)
            line.update(done, f"{notes[0]}{more}, {left}")
            if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
                for run in runs:
                    run.save()
                saved = time.monotonic()
    return (time.monotonic() - started) / max(first.epoch - done_before, 1)


def _describe_batch(error: NonFiniteError, data: RunData) -> str:
    """Name the first few videos of the batch at which a loss was not finite."""
    parts = []
    for domain, numbers, paths in (
        ("source", error.source, data.source_videos),
        ("target", error.target, data.target_videos),
    ):
        named = shorten([paths[n] for n in numbers], _NUM_NAMED_VIDEOS)
        parts += [f"{len(numbers)} {domain} videos ({named})"] if numbers else []
    return f"its batch held {' and '.join(parts)}; the epochs before are kept"
