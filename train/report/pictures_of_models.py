"""The pictures that need trained models and cached features: t-SNE and attention."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ta3n.common.errors import DataMissingError
from ta3n.train.report.collect import Direction, Row
from ta3n.train.report.compare import pick
from ta3n.train.report.embed import Part, RunEmbedding, embed_row, load_parts
from ta3n.train.report.gallery import Gallery, Picture
from ta3n.train.report.labels import method_label
from ta3n.train.report.look import Panel
from ta3n.train.report.plot_attention import plot_attention, plot_class_attention
from ta3n.train.report.plot_tsne import LEAST_VIDEOS, measure_gap, plot_tsne

_PART_WORDS: dict[Part, str] = {
    "source train": "source training",
    "source val": "source validation",
    "target val": "target validation",
}


def add_model_pictures(
    gallery: Gallery, direction: Direction, focal: Row, features: Path, prefix: str
) -> None:
    """Add t-SNE before and after adaptation, and the attention of the focal row.

    Args:
        gallery: Pictures are added to it, and the reasons for those that cannot be drawn.
        direction: Whose rows.
        focal: The row after adaptation.
        features: Folder that stage one wrote.
        prefix: Goes before every file name.

    Raises:
        DataMissingError: If features or checkpoints are missing.
        DataConflictError: If the features are not those that the runs were trained on.
        FeatureStoreError: If features or checkpoints are damaged.
    """
    parts = load_parts(direction, features, parts=("source val", "target val"))
    held_out: Part = "source val"
    if held_out not in parts:
        held_out = "source train"
        parts |= load_parts(direction, features, parts=(held_out,))
    fewest = min(len(part.labels) for part in parts.values())
    if fewest < LEAST_VIDEOS:
        raise DataMissingError(
            f"a domain has {fewest} videos to show, and at least {LEAST_VIDEOS} are needed"
        )
    before = pick(direction.rows, "source-only", focal.config.temporal)
    if before is None:
        gallery.missing.append(
            f"t-SNE before adaptation: there is no source-only row with {focal.config.temporal}."
        )
    after = embed_row(focal, parts)
    shown = [] if before is None else [(before, embed_row(before, parts), "before")]
    gallery.add(_tsne([*shown, (focal, after, "after")], held_out, prefix))
    if focal.config.settings["method"]["attention"] != "domain":
        gallery.missing.append(f"Attention: {focal.label} has no domain attention.")
    else:
        gallery.add(_attention(focal, after, held_out, prefix))


def _tsne(
    shown: Sequence[tuple[Row, list[RunEmbedding], str]], held_out: Part, prefix: str
) -> Picture:
    panels = tuple(_tsne_panels(shown, prefix))
    names = " and ".join(f"{when} adaptation ({row.label})" for row, _, when in shown)
    source = _PART_WORDS[held_out]
    return Picture(
        heading="Source and target in feature space",
        caption=f"t-SNE of the video features in front of the classifier, {names}: {source} "
        "against target validation videos, first seed. Below each panel two distances in the full "
        "feature space, mean ± standard deviation over seeds, and the row's mean accuracy.",
        reading="Trust the figures more than the picture: t-SNE keeps neighbours, not distances, "
        "and can be made to look convincing. Proxy A-distance: 2 where a linear classifier tells "
        "held-out source and target videos apart without a mistake, 0 where it can only guess. "
        "MMD² (radial kernel, median bandwidth): 0 where the two distributions are equal. Mixed "
        "domains alone do not make right classes: see the accuracy. Both panels use the same "
        "settings, start and random seed.",
        panels=panels,
    )


def _tsne_panels(
    shown: Sequence[tuple[Row, list[RunEmbedding], str]], prefix: str
) -> Iterator[Panel]:
    for row, runs, when in shown:
        gap = measure_gap(runs)
        assert gap is not None, "there are enough videos"
        title = f"{when.capitalize()} adaptation: {row.label}"
        yield plot_tsne(row, title, runs, gap, f"{prefix}tsne-{when}")


def _attention(focal: Row, runs: Sequence[RunEmbedding], held_out: Part, prefix: str) -> Picture:
    name = method_label(focal.config.method)
    panels = [plot_attention(name, runs, f"{prefix}attention")]
    by_class = plot_class_attention(name, focal.classes, runs, f"{prefix}attention-by-class")
    panels += [by_class] if by_class is not None else []
    return Picture(
        heading="Domain attention",
        caption=f"Attention w of {name} for each n-frame relation, {_PART_WORDS[held_out]} and "
        "target validation videos, last epoch. Mark: mean over videos and seeds; bar: middle half "
        "of the videos, line: middle nine tenths; dash: mean of one seed."
        + (" And the mean by class." if by_class is not None else ""),
        reading="w is 1 less the entropy of the relation's domain discriminator. At 1 − ln 2 the "  # noqa: RUF001
        "discriminator guesses: the relation is aligned. The higher w, the more this relation "
        "still differs between the domains, and the more weight it gets. Attention tells where "
        "the domains differ, not what decides a class. It can reach 1: mind the scale.",
        panels=tuple(panels),
    )
