"""What trained models make of cached features, and the pictures that need them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.errors import DataMissingError
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import source_only_for
from ta3n.train.report.data.embed import (
    RunEmbedding,
    Subset,
    SubsetFeatures,
    embed_row,
    load_subsets,
)
from ta3n.train.report.figures.attention import attention_picture
from ta3n.train.report.figures.feature_space import LEAST_VIDEOS, Map, make_map, tsne_picture
from ta3n.train.report.figures.frames import frames_pictures
from ta3n.train.report.figures.look import Picture
from ta3n.train.report.figures.training import attention_kind

_WORDS: dict[Subset, str] = {
    "source train": "source training",
    "source val": "source validation",
}


@dataclass(frozen=True, kw_only=True)
class Models:
    """What the trained models make of the cached features.

    Attributes:
        focal: The row after adaptation.
        before: The source-only row with the same temporal module, if there is one.
        runs: What the focal row's models make of the videos, by seed.
        maps: Of the row before, if there is one, and of the focal row.
        held_out: Which source videos are shown.
        target: Target validation videos.
    """

    focal: RunGroup
    before: RunGroup | None
    runs: Sequence[RunEmbedding]
    maps: Sequence[Map]
    held_out: Subset
    target: SubsetFeatures


def run_models(direction: DirectionRuns, focal: RunGroup, features: Path) -> Models:
    """Run the models and place the videos: all that takes long and draws nothing.

    Args:
        direction: Whose rows.
        focal: The row after adaptation.
        features: Folder that stage one wrote.

    Raises:
        DataMissingError: If features or checkpoints are missing.
        DataConflictError: If the features are not those that the runs were trained on.
        FeatureStoreError: If features or checkpoints are damaged.
    """
    subsets = load_subsets(direction, features, ("source val", "target val"))
    held_out: Subset = "source val"
    if held_out not in subsets:
        held_out = "source train"
        subsets |= load_subsets(direction, features, (held_out,))
    fewest = min(len(subset.labels) for subset in subsets.values())
    if fewest < LEAST_VIDEOS:
        raise DataMissingError(
            f"a domain has {fewest} videos to show, and at least {LEAST_VIDEOS} are needed"
        )
    before = source_only_for(focal, direction)
    rows = [row for row in (before, focal) if row is not None]
    with ThreadPoolExecutor() as pool:
        embedded, maps = [], []
        for row in rows:
            embedded.append(embed_row(row, subsets))
            maps.append(pool.submit(make_map, embedded[-1]))
        return Models(
            focal=focal,
            before=before,
            runs=embedded[-1],
            maps=[future.result() for future in maps],
            held_out=held_out,
            target=subsets["target val"],
        )


def model_pictures(models: Models, dataset: str, videos: Path | None) -> list[Picture | str]:
    """Draw t-SNE before and after adaptation, attention, and frames of the focal row.

    Args:
        models: What they make of the features.
        dataset: Full name of the target.
        videos: Folder with its clips, or None.
    """
    focal, source = models.focal, _WORDS[models.held_out]
    found: list[Picture | str] = []
    if models.before is None:
        found.append(
            f"t-SNE before adaptation: there is no source-only row with {focal.config.temporal}."
        )
    found.append(tsne_picture(models.before, focal, models.maps, source))
    if attention_kind(focal) != "domain":
        told = f"Attention and frames by attention: {focal.label} has no domain attention."
        return [*found, told]
    found.append(attention_picture(focal, models.runs, source))
    if videos is None:
        return [*found, "Frames: the report was made without the folder of videos."]
    return [*found, *frames_pictures(focal, models.target, models.runs, videos, dataset)]
