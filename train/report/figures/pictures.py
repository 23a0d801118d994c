"""All pictures of a direction: those of the run folders, then those of the trained models."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ta3n.common.errors import DataMissingError, Ta3nError
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import focal_rows, no_source_only, source_only_for
from ta3n.train.report.figures.accuracy import (
    accuracy_picture,
    class_changes_picture,
    confusion_picture,
)
from ta3n.train.report.figures.look import Gallery, Picture
from ta3n.train.report.figures.training import (
    attention_kind,
    curves_picture,
    domain_pictures,
    losses_picture,
    selection_picture,
)

if TYPE_CHECKING:
    from ta3n.train.report.data.embed import RunEmbedding, SubsetFeatures
    from ta3n.train.report.figures.feature_space import Map


@dataclass(frozen=True, kw_only=True)
class _Models:
    """What the trained models make of the cached features: `runs` is of the focal row, by seed.

    The maps are of the source-only row, if there is one, and of the focal row; `source` says in
    words which source videos are shown.
    """

    runs: Sequence["RunEmbedding"]
    maps: Sequence["Map"]
    source: str
    target: "SubsetFeatures"


def draw_pictures(
    direction: DirectionRuns,
    features: Path | Sequence[Path] | None,
    prefix: str = "",
    videos: Path | None = None,
    focal_names: Sequence[str] = (),
) -> Gallery:
    """Draw everything that the runs, and the features and videos if given, allow.

    The prefix goes before every file name. The clips lie in `videos`, or in a folder of it for each
    dataset. `focal_names` is for `focal_rows`.
    """
    rows = focal_rows(direction, focal_names)
    found = list(_pictures(direction, features, videos, rows[0] if rows else None))
    return Gallery(
        pictures=[item.prefixed(prefix) for item in found if isinstance(item, Picture)],
        missing=[item for item in found if isinstance(item, str)],
    )


def _pictures(
    direction: DirectionRuns,
    features: Path | Sequence[Path] | None,
    videos: Path | None,
    focal: RunGroup | None,
) -> Iterator[Picture | str]:
    with ThreadPoolExecutor(1) as pool:
        # The models run while the pictures that need none are drawn.
        future = (
            pool.submit(_run_models, direction, focal, features) if focal and features else None
        )
        yield from _run_pictures(direction, focal)
        if focal is None:
            return
        if future is None:
            yield "t-SNE, attention, frames: the report was made without features."
            return
        try:
            models = future.result()
        except Ta3nError as error:
            yield f"t-SNE, attention, frames: {error}."
            return
    yield from _model_pictures(direction, focal, models, videos)


def _run_pictures(direction: DirectionRuns, focal: RunGroup | None) -> Iterator[Picture | str]:
    if not direction.is_labelled:
        yield "Accuracy in every form: the tested videos have no labels."
        if focal is not None:
            yield losses_picture(focal)
            yield from domain_pictures(focal)
        return
    yield accuracy_picture(direction)
    if focal is None:
        yield "Pictures of an adapted model: no adapting method was run."
        yield curves_picture(direction, None)
        return
    if all(row.config.method != "ta3n" for row in direction.rows):
        yield f"TA3N was not run; {focal.label} takes its place in the pictures."
    before = source_only_for(focal, direction)
    if direction.heads:
        yield "Accuracy by class, mistakes by class: drawn for a single head alone."
    elif before is None:
        yield f"Accuracy by class before and after: {no_source_only(focal, direction)}."
    else:
        yield class_changes_picture(focal, before)
    if not direction.heads:
        yield confusion_picture(focal)
    yield curves_picture(direction, focal)
    yield from domain_pictures(focal)
    yield selection_picture(focal)


def _run_models(
    direction: DirectionRuns, focal: RunGroup, features: Path | Sequence[Path]
) -> _Models:
    """Run the models and place the videos: all that takes long and draws nothing."""
    # Torch and scikit-learn are imported only where they are needed.
    from ta3n.train.report.data.embed import embed_row, load_subsets
    from ta3n.train.report.figures.feature_space import LEAST_VIDEOS, make_map

    subsets = load_subsets(direction, features, ("source val", "target val"))
    held_out = "source val" in subsets
    if not held_out:
        subsets |= load_subsets(direction, features, ("source train",))
    fewest = min(len(subset.labels) for subset in subsets.values())
    if fewest < LEAST_VIDEOS:
        raise DataMissingError(
            f"a domain has {fewest} videos to show, and at least {LEAST_VIDEOS} are needed"
        )
    rows = [row for row in (source_only_for(focal, direction), focal) if row is not None]
    with ThreadPoolExecutor() as pool:
        embedded, maps = [], []
        for row in rows:
            embedded.append(embed_row(row, subsets))
            maps.append(pool.submit(make_map, embedded[-1]))
        return _Models(
            runs=embedded[-1],
            maps=[future.result() for future in maps],
            source="source validation" if held_out else "source training",
            target=subsets["target val"],
        )


def _model_pictures(
    direction: DirectionRuns, focal: RunGroup, models: _Models, videos: Path | None
) -> Iterator[Picture | str]:
    from ta3n.train.report.figures.attention import attention_picture, frames_pictures
    from ta3n.train.report.figures.feature_space import tsne_picture

    before = source_only_for(focal, direction)
    if before is None:
        yield f"t-SNE before adaptation: {no_source_only(focal, direction)}."
    yield tsne_picture(before, focal, models.maps, models.source)
    if attention_kind(focal) != "domain":
        yield f"Attention and frames by attention: {focal.label} has no domain attention."
        return
    yield attention_picture(focal, models.runs, models.source)
    if direction.heads:
        yield "Frames: drawn for a single head alone."
        return
    if videos is None:
        yield "Frames: the report was made without the folder of videos."
        return
    yield from frames_pictures(focal, models.target, models.runs, videos, direction.target)
