"""Training data on the device, and how an epoch walks through it.

Shapes: N_S source and N_T target videos, B_S and B_T of them in a batch, K segments,
D feature width, H heads.

An epoch zips a shuffled source with a shuffled target. Short last batches are kept and nothing is
padded. Where one domain has fewer batches, either it ends the epoch, or it goes on with a fresh
permutation until the other is done; the videos used are counted.

Several sources, M of them, share every batch: each has an equal part of it, in which its classes
are equally frequent. A source with many videos does not drown one with few, and how frequent a
class is does not tell its source. An epoch has as many steps as if all were one dataset, so that
small sources come round more often, and of large ones an epoch sees a part. Such batches are never
short: which rows are of which source is the same in all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from ta3n.common.errors import TrainingError
from ta3n.train.layers.domains import source_shares
from ta3n.train.loop.randomness import RunGenerators
from ta3n.train.model.videos import StoredVideos, Videos, asked_on, take_videos
from ta3n.train.recipe.recipes import Batches, Sampling
from ta3n.train.recipe.schedule import target_batch_size


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """All that training may see. There is no place in it for a target label.

    To train on a labelled target (the Target only rows), hand the target's features and labels over
    as source and leave out the target. Source-free adaptation has a source of no videos.

    Args:
        source_features: [N_S, K, D], floating point; of `StoredVideos` an epoch may draw frames.
        source_labels: class indices, int64 [N_S], or [N_S, H] with several heads.
        target_features: [N_T, K, D], or none for methods that do not adapt.
        source_sizes: of several sources, whose videos come one source after another, how many
            videos each has; empty for one.

    Raises:
        TrainingError: if shapes or types do not fit together, or a domain is empty.
    """

    # `Videos`, nearly everywhere a tensor, which whoever hands one over may go on taking them for.
    source_features: Any
    source_labels: Tensor
    target_features: Any = None
    source_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        has_target = self.target_features is not None
        _check_features("source_features", self.source_features, may_be_none=has_target)
        labels = self.source_labels
        fits = labels.ndim in (1, 2) and len(labels) == self.num_source
        if not fits or labels.dtype != torch.int64:
            raise TrainingError(
                f"source_labels are {labels.dtype} {list(labels.shape)};"
                f" expected torch.int64 [{self.source_features.shape[0]}], one for each video"
            )
        if self.source_sizes and (sum(self.source_sizes) != self.num_source):
            raise TrainingError(
                f"source_sizes are {list(self.source_sizes)}, but there are {self.num_source} "
                "source videos"
            )
        if len(self.source_sizes) == 1 or 0 in self.source_sizes:
            raise TrainingError(
                f"source_sizes are {list(self.source_sizes)}; give them for two sources or more, "
                "each with videos"
            )
        if self.target_features is not None:
            _check_features("target_features", self.target_features)
            if self.target_features.shape[1:] != self.source_features.shape[1:]:
                raise TrainingError(
                    f"target_features have [K, D] {list(self.target_features.shape[1:])} but"
                    f" source_features {list(self.source_features.shape[1:])};"
                    " extract and sample both domains alike"
                )

    @property
    def num_source(self) -> int:
        """N_S."""
        return len(self.source_features)

    @property
    def num_target(self) -> int:
        """N_T, 0 without a target."""
        return 0 if self.target_features is None else len(self.target_features)

    def to(self, device: torch.device, dtype: torch.dtype) -> "TrainingData":
        """Return the data on a device, features in the given floating-point type."""
        target = self.target_features
        return TrainingData(
            source_features=self.source_features.to(device, dtype),
            source_labels=self.source_labels.to(device),
            target_features=None if target is None else target.to(device, dtype),
            source_sizes=self.source_sizes,
        )


def _check_features(name: str, features: Videos, *, may_be_none: bool = False) -> None:
    sizes = features.shape[1:] if may_be_none else features.shape
    if features.ndim != 3 or 0 in sizes or not features.is_floating_point():
        raise TrainingError(
            f"{name} are {features.dtype} {list(features.shape)};"
            " expected floating point [videos, K, D] with at least one video"
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step sees.

    Args:
        source_features: [B_S, K, D].
        source_labels: int64 [B_S], or [B_S, H].
        target_features: [B_T, K, D], or none.
        source_indices: places of the videos in the training data, int64 [B_S]; none if unknown.
        target_indices: likewise, [B_T].
    """

    source_features: Tensor
    source_labels: Tensor
    target_features: Tensor | None = None
    source_indices: Tensor | None = None
    target_indices: Tensor | None = None

    @property
    def num_videos(self) -> int:
        """B_S + B_T."""
        return len(self.source_features) + (
            0 if self.target_features is None else len(self.target_features)
        )


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """The order of one epoch.

    Of N epochs side by side whatever is a tensor has a leading [N], see `side_by_side`.

    Args:
        source_batches: indices of source videos, one batch for each step, where those who gather
            them ask for them.
        target_batches: likewise for the target, or none if the target is not used.
        source_videos: number of different source videos that the epoch uses.
        target_videos: number of different target videos that the epoch uses.
        source_frames: which frames of all source videos were drawn, int64 [N_S, K]; none for the
            centres.
        target_frames: likewise, of the target.
    """

    source_batches: tuple[Tensor, ...]
    target_batches: tuple[Tensor, ...] | None
    source_videos: int
    target_videos: int
    source_frames: Tensor | None = None
    target_frames: Tensor | None = None

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.source_batches)

    def videos_of(self, step: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the indices of a step's source and target videos."""
        target = () if self.target_batches is None else self.target_batches[step].tolist()
        return tuple(self.source_batches[step].tolist()), tuple(target)

    def batches(self, data: TrainingData) -> Iterator[Batch]:
        """Return the batches, each gathered when it is asked for, on the device of the data."""
        return (self._batch(step, data) for step in range(self.steps))

    def _batch(self, step: int, data: TrainingData) -> Batch:
        source, target, features = self.source_batches[step], None, None
        device = data.source_labels.device
        if self.target_batches is not None and data.target_features is not None:
            target = self.target_batches[step]
            features = take_videos(data.target_features, target, self.target_frames)
            target = target.to(device)
        videos = take_videos(data.source_features, source, self.source_frames)
        source = source.to(device)
        return Batch(
            source_features=videos,
            source_labels=data.source_labels[source],
            target_features=features,
            source_indices=source,
            target_indices=target,
        )


def side_by_side(plans: Sequence[EpochPlan]) -> EpochPlan:
    """Return epochs of several runs on the same data, none shorter than another, as one."""

    def stacked(name: str) -> Any:
        each = [getattr(plan, name) for plan in plans]
        if each[0] is None:
            return None
        if isinstance(each[0], Tensor):
            return torch.stack(each)
        return tuple(torch.stack(of_step) for of_step in zip(*each, strict=True))

    names = ("source_batches", "target_batches", "source_frames", "target_frames")
    return replace(plans[0], **{name: stacked(name) for name in names})


def plan_epoch(
    data: TrainingData,
    *,
    source_batch: int,
    uses_target: bool,
    generators: RunGenerators,
    policy: Batches = "zip",
    sampling: Sampling = "centre",
) -> EpochPlan:
    """Shuffle both domains and cut them into batches.

    The indices are drawn on the CPU and go to the device once; where rows are read from files they
    stay, so that the next ones are read while the device computes. A method that does not use the
    target always walks through the whole source, however small the target is.

    Args:
        uses_target: whether the method's losses need target videos.
        policy: what happens where one domain has fewer batches, see `Recipe`.
        sampling: whether frames are drawn anew, see `Recipe`.
    """
    if data.source_sizes:
        source_batch = min(source_batch, data.num_source)
    steps = -(-data.num_source // source_batch)
    target, target_batches = None, None
    if uses_target:
        target_batch = target_batch_size(source_batch, data.num_source, data.num_target)
        target_steps = -(-data.num_target // target_batch)
        walk = min if policy == "zip" and data.num_source else max
        steps = walk(steps, target_steps)
        target = _shuffled(data.num_target, target_batch, steps, generators.target_order)
        target_batches = _on_device(target, asked_on(data.target_features))
    if data.source_sizes:
        source = _balanced(data, source_batch, steps, generators.source_order)
    else:
        source = _shuffled(data.num_source, source_batch, steps, generators.source_order)
    return EpochPlan(
        source_batches=_on_device(source, asked_on(data.source_features)),
        target_batches=target_batches,
        source_videos=len(set(torch.cat(source).tolist()))
        if data.source_sizes
        else _different(source, data.num_source),
        target_videos=_different(target or (), data.num_target),
        source_frames=_drawn(data.source_features, sampling, generators.source_frames),
        target_frames=_drawn(
            data.target_features if uses_target else None, sampling, generators.target_frames
        ),
    )


def _drawn(videos: Videos | None, sampling: Sampling, generator: torch.Generator) -> Tensor | None:
    if sampling == "centre" or videos is None:
        return None
    if not isinstance(videos, StoredVideos):
        raise TrainingError("frames are drawn of StoredVideos, and these are centres already")
    return videos.draw(generator)


def _shuffled(count: int, batch: int, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Return that many batches, one permutation after another."""
    batches: list[Tensor] = []
    while len(batches) < steps:
        batches += torch.split(torch.randperm(count, generator=generator), batch)
    return tuple(batches[:steps])


def _balanced(
    data: TrainingData, batch: int, steps: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Return that many batches in which all sources, and within each its classes, are alike."""
    labels = data.source_labels.cpu()
    if labels.ndim > 1:
        # Of several heads there is no class to balance.
        labels = torch.zeros(len(labels), dtype=torch.int64)
    starts = [0, *accumulate(data.source_sizes)]
    shares = source_shares(batch, len(data.source_sizes))
    parts = [
        [start + each for each in _balanced_share(labels[start:end], share, steps, generator)]
        for (start, end), share in zip(pairwise(starts), shares, strict=True)
    ]
    return tuple(torch.cat(of_step) for of_step in zip(*parts, strict=True))


def _balanced_share(
    labels: Tensor, share: int, steps: int, generator: torch.Generator
) -> list[Tensor]:
    """Return a source's part of each batch, [share] places among its labels [N].

    The counts of two of its classes differ by one at most. None of a class comes again before each
    came once.
    """
    there = sorted(set(labels.tolist()))
    members = [torch.nonzero(labels == label).flatten() for label in there]
    base, more = divmod(share, len(members))
    # Which classes have one more than the others is drawn for each batch.
    favoured = torch.rand(steps, len(members), generator=generator).argsort(dim=1) < more
    counts = base + favoured.long()  # [steps, classes]
    by_class = [
        torch.split(torch.cat(_shuffled_videos(own, int(column.sum()), generator)), column.tolist())
        for own, column in zip(members, counts.T, strict=True)
    ]
    # The order of a part is drawn as well: some objectives pair neighbours.
    return [
        torch.cat(of_step)[torch.randperm(share, generator=generator)]
        for of_step in zip(*by_class, strict=True)
    ]


def _shuffled_videos(videos: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
    """Return so many of some videos, one permutation after another."""
    rounds = range(0, max(count, 1), len(videos))
    drawn = [videos[torch.randperm(len(videos), generator=generator)] for _ in rounds]
    drawn[-1] = drawn[-1][: count - rounds[-1]]
    return drawn


def _on_device(batches: Sequence[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """Copy all batches at once."""
    return torch.split(torch.cat(tuple(batches)).to(device), [len(batch) for batch in batches])


def _different(batches: Sequence[Tensor], count: int) -> int:
    """Count the videos used: none comes twice before each came once."""
    return min(count, sum(map(len, batches)))
