"""What trained models make of the videos: features before the classifier, and attention.

Legend: N videos, K segments, D cached feature width, V video feature width, H trained heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from ta3n.common.errors import DataConflictError, FeatureStoreError
from ta3n.common.sampling import segment_indices
from ta3n.datasets.benchmarks.benchmark import BenchmarkRole
from ta3n.train.data.features import labels_of, load_part
from ta3n.train.data.joined import join_videos
from ta3n.train.data.streams import load_streams
from ta3n.train.methods.heads import ClassHead, heads_of
from ta3n.train.methods.rejection import Rejection, rejection_of
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.model import TA3N
from ta3n.train.model.prediction import BATCH_SIZE, NO_REVERSAL, classes_of
from ta3n.train.model.videos import Videos, over_views, views_of
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.runs.checkpoint import load_trained
from ta3n.train.runs.records import Run, benchmark_of, stream_records

Subset = Literal["source train", "source val", "target val"]
SUBSETS: tuple[Subset, ...] = get_args(Subset)


@dataclass(frozen=True, kw_only=True)
class SubsetFeatures:
    """Cached features of one subset of a benchmark.

    Attributes:
        features: float32 [N, K, D]; attention and logits of several views are averaged.
        labels: int64 [N], or [N, heads].
        videos: Paths [N].
        frames: Which frames of each video were sampled: N times K numbers from 0.
    """

    features: Videos
    labels: NDArray[np.int64]
    videos: tuple[str, ...]
    frames: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class SubsetEmbedding:
    """What one model makes of one subset.

    Attributes:
        features: Video features before the classifier, float32 [N, V].
        attention: Domain attention, float32 [N, P], with relations in the order n = K..2; None
            without attention.
        labels: int64 [N], or [N, heads].
        predicted: Class with the largest logit, int64 [N]; of each trained head [N, H].
    """

    features: NDArray[np.float32]
    attention: NDArray[np.float32] | None
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RunEmbedding:
    """What one seed's model makes of all subsets that were loaded; empty ones are absent."""

    seed: int
    subsets: Mapping[Subset, SubsetEmbedding]

    @property
    def source(self) -> SubsetEmbedding:
        """Held-out source videos, or training ones where the benchmark holds none out."""
        return self.subsets.get("source val") or self.subsets["source train"]

    @property
    def target(self) -> SubsetEmbedding:
        """Target validation videos."""
        return self.subsets["target val"]


def load_subsets(
    direction: DirectionRuns, features: Path | Sequence[Path], subsets: Sequence[Subset] = SUBSETS
) -> dict[Subset, SubsetFeatures]:
    """Read cached features through the loading code of training.

    Args:
        features: Folder that stage one wrote, or one for each stream.
        subsets: Which; one that has no videos is left out.

    Raises:
        DataMissingError: If features are missing.
        DataConflictError: If they are not those that the runs were trained on.
        FeatureStoreError: If they are damaged.
    """
    config = direction.rows[0].config
    num_segments = config.settings["recipe"]["num_segments"]
    loaded: dict[Subset, SubsetFeatures] = {}
    sides = [("source", name) for name in direction.sources] + [("target", direction.target)]
    for side, dataset in sides:
        domain = load_streams(
            features,
            benchmark_of(config),
            dataset,
            num_segments=num_segments,
            num_views=config.settings["recipe"].get("views", 1),
            # Training has refused or accepted gaps; the hashes below say that nothing changed.
            allow_missing=True,
        )
        recorded = [each["manifests"][dataset] for each in stream_records(config)]
        found = [stream.content_hash for stream in domain.streams]
        if (recorded, config.data["lists"][dataset]) != (found, domain.lists_hash):
            folders = " and ".join(str(stream.folder.parent) for stream in domain.streams)
            raise DataConflictError(
                f"the features of {dataset} in {folders} are not those that the runs used"
            )
        for subset in SUBSETS:
            part: BenchmarkRole = "train" if subset.endswith("train") else "val"
            videos = domain.videos(part)
            if subset in subsets and subset.startswith(side) and videos:
                frames = (segment_indices(v.clip.num_frames, num_segments) for v in videos)
                part_of_it = SubsetFeatures(
                    features=load_part(domain, part),
                    labels=labels_of(videos).numpy(),
                    videos=tuple(video.clip.path for video in videos),
                    frames=tuple(map(tuple, frames)),
                )
                before = loaded.get(subset)
                loaded[subset] = part_of_it if before is None else _joined(before, part_of_it)
    return loaded


def _joined(one: SubsetFeatures, other: SubsetFeatures) -> SubsetFeatures:
    """Return the videos of two sources as one subset."""
    return SubsetFeatures(
        features=join_videos([one.features, other.features]),
        labels=np.concatenate([one.labels, other.labels]),
        videos=(*one.videos, *other.videos),
        frames=(*one.frames, *other.frames),
    )


def embed_row(row: RunGroup, subsets: Mapping[Subset, SubsetFeatures]) -> list[RunEmbedding]:
    """Run every seed's last model over all subsets, without dropout.

    Raises:
        DataMissingError: If weights are missing.
        FeatureStoreError: If they are damaged, or not the model that the run reported on.
    """
    return [_embed_run(run, subsets) for run in row.runs]


def _embed_run(run: Run, subsets: Mapping[Subset, SubsetFeatures]) -> RunEmbedding:
    model = load_trained(run.path, run.config, seed=run.seed).model
    settings = run.config.settings
    told = heads_of(settings), rejection_of(settings)
    embedded = {
        name: _embed(model, subset, *told, is_source=name != "target val")
        for name, subset in subsets.items()
    }
    if not all(np.isfinite(subset.features).all() for subset in embedded.values()):
        raise FeatureStoreError(f"{run.path / 'weights.pt'} gives features that are not finite")
    _check_predictions(run, embedded["target val"], subsets["target val"].videos)
    return RunEmbedding(seed=run.seed, subsets=embedded)


@torch.no_grad()
def _embed(
    model: TA3N | AlignedModel,
    subset: SubsetFeatures,
    heads: Sequence[ClassHead],
    rejection: Rejection | None,
    *,
    is_source: bool,
) -> SubsetEmbedding:
    # AdaBN keeps statistics per domain, so the model is told which one it sees.
    features, attention, predicted = [], [], []
    for batch, num_views in views_of(subset.features, BATCH_SIZE):
        output = model(batch, NO_REVERSAL, num_source=len(batch) if is_source else 0)
        features.append(over_views(output.video_features, num_views))
        if output.attention is not None:
            attention.append(over_views(output.attention, num_views))
        predicted.append(classes_of(over_views(output.logits, num_views), heads, rejection))
    return SubsetEmbedding(
        features=torch.cat(features).numpy(),
        attention=torch.cat(attention).numpy() if attention else None,
        labels=subset.labels,
        predicted=torch.cat(predicted).numpy(),
    )


def _check_predictions(run: Run, target: SubsetEmbedding, videos: tuple[str, ...]) -> None:
    """Make sure that what is drawn is the model whose accuracy is reported.

    Another device rounds differently, so that a video between two classes may change sides.
    """
    recorded = {prediction.video: prediction.last for prediction in run.predictions}
    told = target.predicted.tolist()
    pairs = zip(videos, map(tuple, told) if target.predicted.ndim > 1 else told, strict=True)
    different = sum(recorded.get(video) != predicted for video, predicted in pairs)
    if different > max(1, len(videos) // 50):
        raise FeatureStoreError(
            f"{run.path / 'weights.pt'} predicts {different} of {len(videos)} target videos "
            "otherwise than the run recorded"
        )
