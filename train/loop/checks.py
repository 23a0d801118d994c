"""The checks before and during a run."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ta3n.common.errors import DataConflictError, TrainingError
from ta3n.train.loop.batches import EpochPlan, TrainingData
from ta3n.train.loop.measurements import EpochTable
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.model.videos import StoredVideos, count_not_finite


def check_trainable(settings: RunSettings, data: TrainingData) -> None:
    """Refuse what would otherwise fail, or go wrong silently, hours later."""
    uses_target = settings.method.uses_target
    if uses_target and data.target_features is None:
        raise TrainingError(
            f"{settings.method.name} aligns source and target, but there are no target videos;"
            " give target features, or choose source-only"
        )
    segments = data.source_features.shape[1]
    if segments != settings.recipe.num_segments:
        raise TrainingError(
            f"the features have {segments} frames for each video, but num_segments is"
            f" {settings.recipe.num_segments}; sample as many frames as the recipe asks for"
        )
    if (settings.method.trains_on == "nothing") != (data.num_source == 0):
        raise TrainingError(
            f"{settings.method.name} trains on {settings.method.trains_on}, but there are "
            f"{data.num_source} source videos; source-free adaptation alone has none"
        )
    _check_sources(settings, data)
    settings.check_batches(data.source_sizes or (data.num_source,), data.num_target)
    _check_labels(settings, data.source_labels)
    used = {"source": data.source_features, "target": data.target_features if uses_target else None}
    for domain, features in used.items():
        if features is None:
            bad, what = 0, ""
        elif isinstance(features, StoredVideos):
            bad, what = features.num_not_finite(), "rows"
        else:
            bad, what = count_not_finite(features), "videos"
        if bad:
            raise TrainingError(
                f"{bad} {domain} {what} have features that are not finite;"
                " verify the feature files and extract them again"
            )


def _check_sources(settings: RunSettings, data: TrainingData) -> None:
    if settings.domains == "each":
        settings.method.check_sources()
        if not data.source_sizes:
            raise TrainingError("there is one source, and domains=each is for several")
    if (num := len(data.source_sizes)) > settings.recipe.source_batch:
        raise TrainingError(
            f"a batch of {settings.recipe.source_batch} source videos has no video of some of the "
            f"{num} sources; set --batch-size to {num} at least"
        )


def _check_labels(settings: RunSettings, labels: Tensor) -> None:
    names = [f"{head.name} " for head in settings.heads] or [""]
    counts = [head.num_classes for head in settings.heads] or [settings.num_classes]
    columns = labels.unbind(dim=1) if labels.ndim > 1 else (labels,)
    if len(columns) != len(counts):
        raise TrainingError(
            f"source_labels are {list(labels.shape)} for {len(counts)} heads; give one for each"
        )
    for name, count, column in zip(names, counts, columns, strict=True):
        low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
        if low < 0 or high >= count:
            raise TrainingError(
                f"{name}labels run from {low} to {high}, but there are {count} classes;"
                " labels must lie from 0 to one below the number of classes"
            )


def identity_of(settings: RunSettings, data: TrainingData) -> dict[str, Any]:
    """Return what must not differ between a saved state and the run that takes it up."""
    return {
        **settings.identity(),
        "num_classes": settings.num_classes,
        "seed": settings.seed,
        "dtype": str(data.source_features.dtype),
        "source_shape": list(data.source_features.shape),
        "num_target": data.num_target,
        **({"source_sizes": list(data.source_sizes)} if data.source_sizes else {}),
    }


def check_same_run(saved: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Hold a saved identity against that of the run that takes it up.

    Raises:
        DataConflictError: if the state belongs to other settings or data.
    """
    for key, value in ours.items():
        if saved.get(key) != value:
            raise DataConflictError(
                f"the saved run has {key} = {saved.get(key)} but this one has {value};"
                " resume with the settings it was started with, or start a new run"
            )


class NonFiniteError(TrainingError):
    """A loss or a gradient that stopped being finite.

    Args:
        message: says which, when, and what to do.
        loss: its name.
        epoch: from 1.
        source: indices of the step's source videos.
        target: indices of its target videos.
    """

    def __init__(
        self,
        message: str,
        *,
        loss: str,
        epoch: int,
        source: tuple[int, ...] = (),
        target: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message)
        self.loss = loss
        self.epoch = epoch
        self.source = source
        self.target = target


def check_finite(seed: int, epoch: int, plan: EpochPlan, table: EpochTable) -> None:
    """Name the first loss that was not finite; `total` only follows, so it is never the culprit.

    Raises:
        NonFiniteError: with the videos of that step.
    """
    for step, row in enumerate(table.rows):
        for name, value in zip(table.names, row, strict=True):
            if name != "total" and not math.isfinite(value):
                source, target = plan.videos_of(step)
                raise NonFiniteError(
                    f"seed {seed}, epoch {epoch}: {name} was {value} at step {step + 1} of"
                    f" {len(table.rows)}, the first that was not finite; try a lower learning rate"
                    " or weights of the losses, and check the features for extreme values",
                    loss=name,
                    epoch=epoch,
                    source=source,
                    target=target,
                )
