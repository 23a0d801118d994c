"""The pictures that need trained models and cached features: t-SNE, attention, frames."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ta3n.common.errors import DataMissingError
from ta3n.common.names import shorten
from ta3n.train.paper.labels import method_label
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import pick
from ta3n.train.report.data.embed import RunEmbedding, Subset, SubsetFeatures, embed_row, load_parts
from ta3n.train.report.data.series import attention_kind
from ta3n.train.report.figures.attention import plot_attention, plot_class_attention
from ta3n.train.report.figures.frames import by_attention, plot_frames, read_videos
from ta3n.train.report.figures.gallery import Gallery, Picture
from ta3n.train.report.figures.look import Panel
from ta3n.train.report.figures.tsne import LEAST_VIDEOS, Map, make_map, plot_tsne

_PART_WORDS: dict[Subset, str] = {
    "source train": "source training",
    "source val": "source validation",
    "target val": "target validation",
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
    parts = load_parts(direction, features, parts=("source val", "target val"))
    held_out: Subset = "source val"
    if held_out not in parts:
        held_out = "source train"
        parts |= load_parts(direction, features, parts=(held_out,))
    fewest = min(len(part.labels) for part in parts.values())
    if fewest < LEAST_VIDEOS:
        raise DataMissingError(
            f"a domain has {fewest} videos to show, and at least {LEAST_VIDEOS} are needed"
        )
    before = pick(direction.rows, "source-only", focal.config.temporal)
    rows = [row for row in (before, focal) if row is not None]
    with ThreadPoolExecutor() as pool:
        embedded, maps = [], []
        for row in rows:
            embedded.append(embed_row(row, parts))
            maps.append(pool.submit(make_map, embedded[-1]))
        return Models(
            focal=focal,
            before=before,
            runs=embedded[-1],
            maps=[future.result() for future in maps],
            held_out=held_out,
            target=parts["target val"],
        )


def add_model_pictures(
    gallery: Gallery, models: Models, dataset: str, videos: Path | None, prefix: str
) -> None:
    """Add t-SNE before and after adaptation, attention, and frames of the focal row.

    Args:
        gallery: Pictures are added to it, and the reasons for those that cannot be drawn.
        models: What they make of the features.
        dataset: Full name of the target.
        videos: Folder with its clips, or None.
        prefix: Goes before every file name.
    """
    focal = models.focal
    if models.before is None:
        gallery.missing.append(
            f"t-SNE before adaptation: there is no source-only row with {focal.config.temporal}."
        )
    gallery.add(_tsne(models, prefix))
    if attention_kind(focal) != "domain":
        gallery.missing.append(
            f"Attention and frames by attention: {focal.label} has no domain attention."
        )
        return
    gallery.add(_attention(models, prefix))
    if videos is None:
        gallery.missing.append("Frames: the report was made without the folder of videos.")
        return
    _add_frames(gallery, models, dataset, videos, prefix)


def _tsne(models: Models, prefix: str) -> Picture:
    rows = [row for row in (models.before, models.focal) if row is not None]
    shown = list(zip(rows, ("before", "after")[-len(rows) :], models.maps, strict=True))
    names = " and ".join(f"{when} adaptation ({row.label})" for row, when, _ in shown)
    source = _PART_WORDS[models.held_out]
    told = "; ".join(
        f"{when} proxy A-distance {found.gap.proxy_a}, MMD² {found.gap.mmd2}"
        for _, when, found in shown
    )
    return Picture(
        heading="Source and target in feature space",
        caption=f"t-SNE of the video features in front of the classifier, {names}: {source} "
        "against target validation videos, first seed. Two distances in the full feature space, "
        f"mean ± standard deviation over seeds: {told}.",
        reading="Trust the figures more than the picture: t-SNE keeps neighbours, not distances, "
        "and can be made to look convincing. Proxy A-distance (Ben-David et al. 2006): 2 where a "
        "linear classifier tells held-out source and target videos apart without a mistake, 0 "
        "where it can only guess. MMD² (Gretton et al. 2012; radial kernel, median bandwidth): 0 "
        "where the two distributions are equal. Mixed domains alone do not make right classes: "
        "see the accuracy. All panels use the same settings, start and random seed.",
        panels=tuple(
            plot_tsne(
                row, f"{when.capitalize()} adaptation: {row.label}", found, f"{prefix}tsne-{when}"
            )
            for row, when, found in shown
        ),
    )


def _attention(models: Models, prefix: str) -> Picture:
    name = method_label(models.focal.config.method)
    panels = [plot_attention(name, models.runs, f"{prefix}attention")]
    classes = models.focal.classes
    by_class = plot_class_attention(name, classes, models.runs, f"{prefix}attention-by-class")
    panels += [by_class] if by_class is not None else []
    return Picture(
        heading="Domain attention",
        caption=f"Attention w of {name} for each n-frame relation, {_PART_WORDS[models.held_out]} "
        "and target validation videos, last epoch. Mark: mean over videos and seeds; bar: middle "
        "half of the videos, line: middle nine tenths; dash: mean of one seed."
        + (" And the mean by class." if by_class is not None else ""),
        reading="w is 1 less the entropy of the relation's domain discriminator. At 1 − ln 2 the "  # noqa: RUF001
        "discriminator guesses: the relation is aligned. The higher w, the more this relation "
        "still differs between the domains, and the more weight it gets. Attention tells where "
        "the domains differ, not what decides a class. It can reach 1: mind the scale.",
        panels=tuple(panels),
    )


def _add_frames(gallery: Gallery, models: Models, dataset: str, videos: Path, prefix: str) -> None:
    order = by_attention(models.runs).tolist()
    panels, failures = [], []
    seen: set[str] = set()
    for which, places in (("highest", order), ("lowest", order[::-1])):
        left = [place for place in places if models.target.videos[place] not in seen]
        shown, failed = read_videos(
            left, models.target, models.focal.classes, models.runs, videos, dataset
        )
        failures += failed
        seen |= {video.path for video in shown}
        if shown:
            title = f"Target videos with the {which} attention"
            panels.append(plot_frames(title, shown, f"{prefix}frames-{which}"))
    if failures:
        told = shorten(dict.fromkeys(failures), 2)
        gallery.missing.append(f"Frames of some target videos, looked for in {videos}: {told}.")
    if panels:
        gallery.add(_frames(models.focal, tuple(panels)))


def _frames(focal: RunGroup, panels: tuple[Panel, ...]) -> Picture:
    return Picture(
        heading="Target videos by attention",
        caption=f"Sampled frames of the target validation videos whose highest attention over the "
        f"relations of {focal.label} is highest and lowest, mean over seeds, last epoch. Above "
        "each video its class, what most seeds predict, and the attention of each relation.",
        reading="High attention: the discriminators still tell the video from the source, so look "
        "for what the source has not. Low attention: it passes for source. A few extreme videos "
        "are examples, not evidence.",
        panels=panels,
    )
