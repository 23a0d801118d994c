"""The training loop, to be read from top to bottom.

Shapes: see `loop/batches.py` for the data and `model/model.py` for the model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ta3n.common.errors import TrainingError
from ta3n.train.layers.dropout import DropoutMasks, draw_masks
from ta3n.train.loop.batches import Batch, EpochPlan, TrainingData, plan_epoch
from ta3n.train.loop.checks import (
    check_finite,
    check_same_run,
    check_trainable,
    identity_of,
)
from ta3n.train.loop.measurements import (
    SOURCE_ACCURACY,
    EpochRecord,
    EpochTable,
    Measured,
    read_tables,
    split_means,
)
from ta3n.train.loop.objective import Objective, Start, Weights, renew_states
from ta3n.train.loop.randomness import RunGenerators
from ta3n.train.loop.step import SingleLearner, train_step
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.model.model import TA3N, model_spec
from ta3n.train.model.videos import batches_of
from ta3n.train.recipe.optimizers import make_optimizer
from ta3n.train.recipe.schedule import dann_ramp, learning_rate, progress

_AT_ONCE = 256


class Trainer:
    """One run of one method with one seed.

    Args:
        data: on any device; copied to the run's device.
        dtype: floating-point type of weights and features.
        initial: weights of another run to start from, by name. What it does not have, such as the
            modules of terms, is drawn from the seed.

    Attributes:
        data: on the run's device.
        history: one record for each epoch done.

    Raises:
        TrainingError: if the data cannot be trained on.
        UsageError: for settings that no model can be built from.
    """

    def __init__(
        self,
        settings: RunSettings,
        data: TrainingData,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        check_trainable(settings, data)
        self.settings = settings
        device = device or torch.device("cpu")
        self.data = data.to(device, dtype)
        self.objective = Objective(
            method=settings.method, recipe=settings.recipe, heads=settings.heads
        )
        self._generators = RunGenerators(settings.seed, device)
        spec = model_spec(
            settings.method,
            settings.recipe,
            num_classes=settings.num_classes,
            feature_dim=data.source_features.shape[2],
            heads=settings.heads,
            stream_dims=settings.stream_dims,
            stream_widths=settings.stream_widths,
            num_domains=1 + len(data.source_sizes) if settings.domains == "each" else 2,
        )
        self.model = TA3N(spec, self._generators.weights)
        if self.model.feature_scale is not None:
            self.model.feature_scale.fit(batches_of(data.source_features, _AT_ONCE))
        if initial is not None:
            self.model.start_from(initial)
        self._start_states()
        self.model.to(device, dtype)
        self.optimizer = make_optimizer(self.model.parameters(), settings.optimisation)
        self._learner = SingleLearner(self.model, self.optimizer)
        self.history: list[EpochRecord] = []
        self._within_epoch = False

    def _start_states(self) -> None:
        """Lay out what terms keep between steps, from the weights at the start."""
        start = Start(
            model=self.model,
            num_source=self.data.num_source,
            num_target=self.data.num_target,
            generator=self._generators.fresh("states"),
        )
        for term in self.settings.method.terms:
            if term.start is not None:
                self.model.keep_state(term.name, term.start(start))

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    def epochs(self) -> Iterator[EpochRecord]:
        """Train to the end of the recipe, handing over after each epoch to evaluate and save."""
        while self.epoch < self.settings.recipe.epochs:
            yield self.run_epoch()

    def run_epoch(self) -> EpochRecord:
        """Train for one epoch.

        Raises:
            NonFiniteError: if a loss or the gradient stopped being finite. The weights are useless
                then; go on from the last saved state, with other settings.
        """
        plan = self.begin_epoch()
        measured = [
            self._step(batch, step, plan.steps)
            for step, batch in enumerate(plan.batches(self.data))
        ]
        (table,) = read_tables(measured, 1)
        return self.end_epoch(plan, table)

    def _step(self, batch: Batch, step: int, steps_per_epoch: int) -> Measured:
        """Make one update at the rate left by the step before, and set the rate of the next."""
        result = train_step(
            self._learner,
            batch,
            self.draw_masks(batch.num_videos),
            objective=self.objective,
            weights=self.weights(step, steps_per_epoch),
        )
        self.set_learning_rate(self.optimizer, step, steps_per_epoch)
        return {**result.losses, **result.measured}

    # What follows is an epoch in parts, for those who train several runs side by side.

    def begin_epoch(self) -> EpochPlan:
        """Draw the order of the next epoch, and let terms renew what they keep."""
        self._within_epoch = True
        renew_states(self.model, self.data, objective=self.objective, epoch=self.epoch + 1)
        return plan_epoch(
            self.data,
            source_batch=self.settings.recipe.source_batch,
            uses_target=self.settings.method.uses_target,
            generators=self._generators,
            policy=self.settings.recipe.batches,
            sampling=self.settings.recipe.sampling,
        )

    def end_epoch(self, plan: EpochPlan, table: EpochTable) -> EpochRecord:
        """Note what an epoch measured.

        Raises:
            NonFiniteError: if a value is not finite.
        """
        check_finite(self.settings.seed, self.epoch + 1, plan, table)
        self.history.append(self._record(plan, table))
        self._within_epoch = False
        return self.history[-1]

    def _progress(self, step: int, steps_per_epoch: int) -> float:
        return progress(
            epoch=self.epoch + 1,
            step=step,
            steps_per_epoch=steps_per_epoch,
            epochs=self.settings.recipe.epochs,
        )

    def weights(self, step: int, steps_per_epoch: int) -> Weights:
        """Return the weights of the terms at a step of the present epoch, ramps resolved."""
        ramp_step = step if self.settings.recipe.ramp == "step" else 0
        ramp = dann_ramp(self._progress(ramp_step, steps_per_epoch))
        reversal = self.settings.recipe.reversal_ramp
        warm = dann_ramp(self._progress(step, steps_per_epoch), reversal) if reversal else 1.0
        return {
            name: ramp if weight < 0 else weight * warm if name.startswith("beta_") else weight
            for name, weight in self.settings.weights.items()
        }

    def draw_masks(self, num_videos: int) -> list[DropoutMasks | None]:
        """Draw the dropout masks of a step, for each update of the objective."""
        spec = self.model.spec
        return [
            draw_masks(
                self._generators.dropout,
                frame_shape=(num_videos, spec.num_segments, spec.frame_dim),
                video_dim=spec.video_dim,
                probability=spec.dropout,
                dtype=self.data.source_features.dtype,
            )
            for _ in self.objective.updates
        ]

    def set_learning_rate(
        self, optimizer: torch.optim.Optimizer, step: int, steps_per_epoch: int
    ) -> None:
        """Set the rate for the step after this one."""
        rate = learning_rate(
            self.settings.optimisation,
            self._progress(step, steps_per_epoch),
            epoch=self.epoch + 1 + (step + 1) // steps_per_epoch,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate

    def _record(self, plan: EpochPlan, table: EpochTable) -> EpochRecord:
        losses, domain_accuracy, attention = split_means(table.means())
        source_accuracy = losses.pop(SOURCE_ACCURACY, None)
        weights = self.weights(plan.steps - 1, plan.steps)
        return EpochRecord(
            epoch=self.epoch + 1,
            steps=plan.steps,
            grad_norm=losses.pop("grad_norm"),
            losses=losses,
            reversal={
                level: float(weights[f"beta_{level}"])
                for level in self.settings.method.discriminators
            },
            domain_accuracy=domain_accuracy,
            attention=attention,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            source_videos=plan.source_videos,
            target_videos=plan.target_videos,
            source_accuracy=source_accuracy,
        )

    def identity(self) -> dict[str, Any]:
        """What must not differ between a saved state and the run that takes it up."""
        return identity_of(self.settings, self.data)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that resuming needs: plain values and tensors only.

        `torch.save` it, and load it with `torch.load(..., weights_only=True)`. A run that resumes
        from it on the same device is bit-equal to one that was never stopped.

        Raises:
            TrainingError: within an epoch, or after one that failed.
        """
        if self._within_epoch:
            raise TrainingError(
                f"epoch {self.epoch + 1} is not complete, so it cannot be saved;"
                " keep the state saved at the end of the epoch before"
            )
        return {
            "identity": self.identity(),
            "model": _copied(dict(self.model.state_dict())),
            "optimizer": _copied(self.optimizer.state_dict()),
            "generators": self._generators.state_dict(),
            "history": [asdict(record) for record in self.history],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a run where `state_dict` left it.

        Raises:
            DataConflictError: if the state belongs to other settings or data.
        """
        check_same_run(state["identity"], self.identity())
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(_copied(dict(state["optimizer"])))
        self._generators.load_state_dict(state["generators"], len(state["history"]))
        self.history = [EpochRecord(**record) for record in state["history"]]
        self._within_epoch = False


def _copied(value: Any) -> Any:
    """Copy tensors inside dictionaries and lists, each without what it may be a part of."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value
