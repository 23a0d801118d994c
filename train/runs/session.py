"""Runs from start to finish: train, look at the target after each epoch, keep everything."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ta3n.common.device import describe_device
from ta3n.common.errors import DivergedError, shorten
from ta3n.common.log import LOGGER, ProgressLine
from ta3n.datasets.benchmarks.benchmark import UNLABELLED
from ta3n.train.data.features import RunData
from ta3n.train.epic.ranking import are_of_the_challenge, ranks_of
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.checks import NonFiniteError
from ta3n.train.loop.closed_form import ClosedFormTrainer
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.measurements import EpochRecord
from ta3n.train.loop.stacked import StackedTrainer
from ta3n.train.methods.heads import columns_of
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.model.prediction import classes_of, probabilities_of
from ta3n.train.model.videos import batches_of
from ta3n.train.runs.checkpoint import (
    RunState,
    initial_weights,
    read_state,
    write_state,
    write_weights,
)
from ta3n.train.runs.folder import Divergence, RunFolder, RunResult
from ta3n.train.runs.scalars import ScalarWriter
from ta3n.train.runs.scores import Evaluator, label_free_scores
from ta3n.train.runs.selection import count_withheld
from ta3n.train.runs.troubles import RunWatch, guessing

_SECONDS_BETWEEN_CHECKPOINTS = 20.0
_NUM_NAMED_VIDEOS = 3
_LOOKED_AT = 64
_TRY = "try a lower learning rate or weights of the losses"


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
        self.trainer = _make_trainer(settings, data, device)
        self._evaluator = Evaluator(
            data.val_features,
            data.val_labels,
            num_classes=settings.num_classes,
            heads=settings.heads,
            rejection=settings.rejection,
        )
        self._data = data
        self._watch = RunWatch(
            guessed=guessing([_plain(each) for each in data.training.source_labels.tolist()]),
            magnitude=_magnitude(data.training),
            classes=settings.num_classes,
            epochs=settings.recipe.epochs,
            aligns=settings.method.uses_target,
        )
        self._folder = folder
        self._device = device
        self._state = read_state(folder, self.trainer)
        self._epoch_saved = 0
        if self._state is not None:
            self._evaluator.label_reads = self._state.label_reads
            LOGGER.info("seed %d goes on after epoch %d", settings.seed, self._state.epoch)
        self._scalars = (
            ScalarWriter(folder.path, settings.method.encoder.part) if tensorboard else None
        )

    def note(self, record: EpochRecord) -> str:
        """Look at the target after an epoch; return what is worth showing."""
        evaluation = self._evaluator.evaluate(self.trainer.model, record.epoch)
        predicted = classes_of(evaluation.logits, self.trainer.settings.heads).tolist()
        troubles = self._watch.look(
            record, list(map(_plain, predicted)), evaluation.outputs.features
        )
        self._state = RunState.after_epoch(
            self._state,
            self.trainer,
            evaluation,
            validators=label_free_scores(
                self.trainer.model, evaluation.outputs, self._data, self.trainer.settings.heads
            ),
            label_reads=self._evaluator.label_reads,
            troubles=troubles,
        )
        seed = self.trainer.settings.seed
        for text in self._watch.news(troubles):
            LOGGER.warning("seed %d, epoch %d: %s", seed, record.epoch, text)
        told = record.source_accuracy
        source = "" if told is None else f", source {100 * told:.1f} %"
        return (
            f"seed {seed}: loss {record.losses['total']:.4f}{source}, "
            f"target {evaluation.score.told()}"
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

    def diverge(self, error: NonFiniteError) -> None:
        """Write what stopped being finite, and the epochs before; the run is not tried again."""
        self.save()
        divergence = Divergence(
            seed=self.trainer.settings.seed,
            epoch=error.epoch,
            loss=error.loss,
            message=f"{error}{_describe_batch(error, self._data)}; the epochs before are kept",
            source_videos=[self._data.source_videos[n] for n in error.source],
            target_videos=[self._data.target_videos[n] for n in error.target],
        )
        self._folder.write_divergence(divergence)
        if self._scalars is not None:
            self._scalars.close()
        LOGGER.warning("%s (%s)", divergence.message, self._folder.path)

    def finish(self, seconds_per_epoch: float | None) -> RunResult | None:
        """Write all that is kept of a finished run, the figures last.

        Args:
            seconds_per_epoch: None where no epoch was left.

        Returns:
            The figures; None if the last epoch left no finite outputs.
        """
        state = self._state
        assert state is not None, "a run has at least one epoch"
        if not state.last_logits.isfinite().all():
            # The last update of all: no loss was computed after it.
            seed, name = self.trainer.settings.seed, "output"
            message = (
                f"seed {seed}, epoch {state.epoch}: the {name} after it was not finite; {_TRY}"
            )
            self.diverge(NonFiniteError(message, loss=name, epoch=state.epoch))
            return None
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
        # Nothing is left to be saved, should another run of the stack fail.
        self._state = None
        result.log()
        return result

    def _write_metrics(self, state: RunState) -> None:
        lines = [
            {
                **{key: value for key, value in record.items() if value is not None},
                "target_correct": scores.target.correct,
                "target_total": scores.target.total,
                **({} if (c := scores.target.mean_class) is None else {"target_mean_class": c}),
                **({"target_open_set": o} if (o := scores.target.open_set) else {}),
                **({"target_by_head": by_head} if (by_head := scores.target.by_head) else {}),
                "validators": scores.validators,
                "withheld": scores.withheld,
                "measures": scores.measures,
            }
            for record, scores in zip(state.trainer["history"], state.scores, strict=True)
        ]
        if self._scalars is not None:
            self._scalars.write(lines)
        self._folder.write_metrics(lines)

    def _predictions(self, state: RunState) -> list[Mapping[str, Any]]:
        """Return for each video what every rule's epoch predicts, and the last's probability.

        With several heads a column for each, and the probability that all are right; with those
        of a challenge how many classes, or pairs of them, the last epoch puts before what is true.
        """
        heads, labels = self.trainer.settings.heads, self._evaluator.read_labels()
        trained = [head.name for head in heads if head.weight]
        columns: dict[str, Sequence[Any]] = {"video": self._data.val_videos}
        columns |= _by_head("label", labels, [head.name for head in heads])
        for rule in state.chosen:
            columns |= _by_head(rule, state.predictions[rule], trained)
        probabilities = probabilities_of(state.last_logits, heads)
        if heads:
            of_each = [probabilities[:, columns_of(heads)[name]].amax(dim=1) for name in trained]
            surest = torch.stack(of_each).prod(dim=0)
        else:
            surest = probabilities.amax(dim=1)
        columns["last_probability"] = surest.tolist()
        if are_of_the_challenge(heads):
            for of, ranks in ranks_of(state.last_logits, labels, heads).items():
                columns |= {f"last_rank_{of}": ["" if r == UNLABELLED else int(r) for r in ranks]}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _result(self, state: RunState) -> RunResult:
        record, training = state.trainer["history"][-1], self._data.training
        coverage = {}
        if training.num_source:
            coverage["source"] = (record["source_videos"], training.num_source)
        if training.target_features is not None:
            coverage["target"] = (record["target_videos"], training.num_target)
        return RunResult(
            seed=self.trainer.settings.seed,
            rules=state.chosen,
            target_label_reads=self._evaluator.label_reads,
            coverage=coverage,
            withheld=count_withheld(state.scores),
            troubles=state.troubles,
        )


def _by_head(name: str, classes: Tensor, heads: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return one column, or one for each head, of classes [N] or [N, heads]; -1 is left empty."""
    if not heads:
        return {name: classes.tolist()}
    return {
        f"{name}_{head}": ["" if each == UNLABELLED else each for each in column]
        for head, column in zip(heads, classes.T.tolist(), strict=True)
    }


def _plain(label: Any) -> Any:
    """Return the label of a video, or those of its heads, as what can be counted."""
    return tuple(label) if isinstance(label, list) else label


def _magnitude(data: TrainingData) -> float:
    """Return the root mean square of a value of some of the features that are learned from."""
    features = data.source_features if data.num_source else data.target_features
    assert features is not None, "something is learned from"
    some = next(iter(batches_of(features, _LOOKED_AT)))
    return float(some.square().mean().sqrt())


def _make_trainer(
    settings: RunSettings, data: RunData, device: torch.device
) -> Trainer | ClosedFormTrainer:
    if settings.method.closed_form is not None:
        return ClosedFormTrainer(settings, data.training, device=device)
    initial = initial_weights(settings)
    return Trainer(settings, data.training, device=device, initial=initial)


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
        DivergedError: If a loss stops being finite; the folder has a record of it.
        FeatureStoreError: If a checkpoint is damaged.
        DataConflictError: If a checkpoint is of another run.
        OSError: If a folder cannot be written.
    """
    run = SeedRun(settings, data.to(device), folder, device, tensorboard=tensorboard)
    results = _train([run], epochs_alone(run.trainer))
    if not results:
        divergence = folder.read_divergence()
        raise DivergedError(divergence.message if divergence else "the run diverged")
    return results[0]


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
    stacked, one group after another. Raises what `run_seed` does, but for seeds that diverge:
    the others go on without them, and their results are returned.
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
        stack = StackedTrainer([t for run in group if isinstance(t := run.trainer, Trainer)])
        for result in _train(group, stack.epochs()):
            results[result.seed] = result
    return [results[each.seed] for each in settings if each.seed in results]


_Ended = EpochRecord | NonFiniteError
"""How an epoch ended."""


def epochs_alone(trainer: Trainer | ClosedFormTrainer) -> Iterator[list[_Ended]]:
    """Train to the end, handing over how each epoch ended, as a stack of one would."""
    try:
        for record in trainer.epochs():
            yield [record]
    except NonFiniteError as error:
        yield [error]


def _train(runs: Sequence[SeedRun], epochs: Iterator[Sequence[_Ended]]) -> list[RunResult]:
    """Train runs in step to the end; whatever stops them, the last complete epoch is saved.

    Returns:
        The figures of the runs that did not diverge.
    """
    going = list(runs)
    try:
        seconds = _run_epochs(going, epochs)
        if going and seconds is not None:
            stacked = f" for {len(runs)} seeds" if len(runs) > 1 else ""
            LOGGER.info("an epoch took %.2f s%s", seconds, stacked)
        finished = [run.finish(seconds and seconds / len(runs)) for run in going]
    except (Exception, KeyboardInterrupt):
        for run in runs:
            run.save_after_failure()
        raise
    return [result for result in finished if result is not None]


def _run_epochs(runs: list[SeedRun], epochs: Iterator[Sequence[_Ended]]) -> float | None:
    """Look at the target after each epoch, show how far it is, and save now and then.

    Args:
        runs: Those that diverge are taken out.
        epochs: Of all runs that are left.

    Returns:
        Seconds for an epoch; None if all were done before.
    """
    first = runs[0].trainer
    done_before, total = first.epoch, first.settings.recipe.epochs
    started = saved = time.monotonic()
    with ProgressLine(total, "epochs") as line:
        for outcomes in epochs:
            notes = []
            for run, outcome in zip(tuple(runs), outcomes, strict=True):
                if isinstance(outcome, NonFiniteError):
                    runs.remove(run)
                    run.diverge(outcome)
                else:
                    notes.append(run.note(outcome))
            if not notes:
                break
            more = f", {len(notes) - 1} more stacked" if len(notes) > 1 else ""
            line.update(runs[0].trainer.epoch, f"{notes[0]}{more}")
            if time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
                for run in runs:
                    run.save()
                saved = time.monotonic()
    done = max(run.trainer.epoch for run in runs) if runs else first.epoch
    return (time.monotonic() - started) / (done - done_before) if done > done_before else None


def _describe_batch(error: NonFiniteError, data: RunData) -> str:
    """Name the first few videos of the batch at which a loss was not finite, if it is known."""
    parts = []
    for domain, numbers, paths in (
        ("source", error.source, data.source_videos),
        ("target", error.target, data.target_videos),
    ):
        named = shorten([paths[n] for n in numbers], _NUM_NAMED_VIDEOS)
        parts += [f"{len(numbers)} {domain} videos ({named})"] if numbers else []
    return f"; its batch held {' and '.join(parts)}" if parts else ""
