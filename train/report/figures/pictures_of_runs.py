"""The pictures that need nothing but run folders, with captions and how to read them."""

from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.series import attention_kind
from ta3n.train.report.figures.accuracy import plot_accuracy
from ta3n.train.report.figures.attention_training import plot_attention_training
from ta3n.train.report.figures.classes import class_changes, plot_class_changes
from ta3n.train.report.figures.confusion import plot_confusion
from ta3n.train.report.figures.curves import plot_accuracy_curves, plot_losses
from ta3n.train.report.figures.discriminators import plot_domain_accuracy
from ta3n.train.report.figures.gallery import Gallery, Picture
from ta3n.train.report.figures.look import Panel
from ta3n.train.report.figures.selection import plot_selection

_BAND = "line: mean over seeds, band: lowest to highest seed"


def accuracy_picture(direction: DirectionRuns, prefix: str) -> Picture:
    """Return the accuracy of every row."""
    return Picture(
        heading="Accuracy by row",
        caption="Accuracy on the target validation videos by row and seed. Filled: after the last "
        "epoch; open: after the epoch that is best on target labels (oracle).",
        reading="Compare filled marks: they are what one would get in practice. How far the open "
        "marks lie to the right of them is what choosing on target labels would flatter. Rows "
        "whose bars overlap are hardly told apart by this many seeds.",
        panels=(plot_accuracy(direction, f"{prefix}accuracy"),),
    )


def curves_picture(direction: DirectionRuns, focal: RunGroup | None, prefix: str) -> Picture:
    """Return accuracy over epochs of every row, and the losses of the focal one."""
    panels = [plot_accuracy_curves(direction, f"{prefix}learning-curves")]
    caption = (
        f"Accuracy on the target validation videos after each epoch; {_BAND}. Solid: relation "
        "module, dashed: pooling."
    )
    if focal is not None:
        panels.append(plot_losses(focal, f"{prefix}losses"))
        caption += f" Then the loss terms of {focal.label}, mean over the steps of an epoch."
    return Picture(
        heading="Learning curves",
        caption=caption,
        reading="A curve that still rises asks for more epochs; one that falls at the end shows "
        "why last and oracle differ. A domain loss near ln 2 means that its discriminator is "
        "guessing; far below, that it still tells the domains apart. Losses are shown before "
        "their weights.",
        panels=tuple(panels),
    )


def confusion_picture(focal: RunGroup, prefix: str) -> Picture:
    """Return the confusion matrix of the focal row."""
    num = len(focal.runs)
    seeds = f"summed over {num} seeds" if num > 1 else "of one seed"
    return Picture(
        heading="Mistakes by class",
        caption=f"Target validation videos under {focal.label}, last epoch, {seeds}: true class "
        "against predicted class. Colour: share of the true class, so that each line sums to 1; "
        "numbers: videos.",
        reading="The diagonal is right. A dark field off the diagonal is a class taken for another "
        "one; a dark column, a class that attracts everything. A grey line is a class without "
        "videos.",
        panels=(plot_confusion(focal, f"{prefix}confusion"),),
    )


def add_class_changes(
    gallery: Gallery, focal: RunGroup, reference: RunGroup | None, prefix: str
) -> None:
    """Add what adaptation does to each class.

    Args:
        gallery: Added to.
        focal: The row after adaptation.
        reference: Source only with the same temporal module, or None.
        prefix: Goes before every file name.
    """
    if reference is None:
        temporal = focal.config.temporal
        gallery.missing.append(
            f"Accuracy by class before and after: there is no source-only row with {temporal}."
        )
        return
    untested = [change.name for change in class_changes(focal, reference) if not change.num_videos]
    without = f" Without target videos, and not shown: {', '.join(untested)}." if untested else ""
    gallery.add(
        Picture(
            heading="What adaptation does to each class",
            caption=f"Accuracy on the target validation videos of each class, last epoch, mean "
            f"over seeds: {reference.label} (open) and {focal.label} (filled), and the change in "
            "points ± its standard error over the videos of the class, paired; in brackets the "
            f"number of videos. Largest gain on top; the line of a loss is dashed.{without}",
            reading="A mean gain can hide a class that adaptation ruins: look at the bottom. A "
            "change of less than twice its error is within what other videos would change, and "
            "of many classes some change that much by chance.",
            panels=(plot_class_changes(focal, reference, f"{prefix}class-changes"),),
        )
    )


def add_training(gallery: Gallery, focal: RunGroup, prefix: str) -> None:
    """Add how discriminators and attention of the focal row develop in training."""
    domain = plot_domain_accuracy(focal, f"{prefix}domain-accuracy")
    attention = None
    if attention_kind(focal) == "none":
        gallery.missing.append(f"Attention in training: {focal.label} has no attention.")
    else:
        attention = plot_attention_training(focal, f"{prefix}attention-in-training")
        if attention is None:
            gallery.missing.append(f"Attention in training: the runs of {focal.label} kept none.")
    if domain is None:
        gallery.missing.append(f"Domain accuracy: the runs of {focal.label} kept none.")
    panels: tuple[Panel, ...] = tuple(p for p in (domain, attention) if p is not None)
    if not panels:
        return
    caption = []
    if domain is not None:
        caption.append(
            "Share of training videos (or their frames and relations) that each discriminator of "
            f"{focal.label} assigns to the right domain, both domains counting the same."
        )
    if attention is not None:
        caption.append(
            f"Attention of {focal.label} for each relation, mean over the training videos."
        )
    gallery.add(
        Picture(
            heading="The domain game in training",
            caption=f"{' '.join(caption)} Mean over the steps of an epoch; {_BAND}.",
            reading="A discriminator at 50 % guesses: what it sees is aligned, or it has not "
            "learnt yet, as in the first epochs. One near 100 % is not fooled. Attention falls "
            "to 1 − ln 2 where a relation is aligned, and is high for relations that still tell "  # noqa: RUF001
            "the domains apart.",
            panels=panels,
        )
    )


def add_selection(gallery: Gallery, focal: RunGroup, prefix: str) -> None:
    """Add how the scores of the label-free rules follow accuracy over the epochs."""
    panel = plot_selection(focal, f"{prefix}selection")
    if panel is None:
        gallery.missing.append(f"Selection: the runs of {focal.label} kept no validator scores.")
        return
    gallery.add(
        Picture(
            heading="Choosing an epoch without target labels",
            caption=f"Target accuracy of {focal.label} against the score of each label-free rule: "
            "a point an epoch and seed, darker when later; ringed: the epoch that the rule chose, "
            "with its highest score. ρ: Spearman's rank correlation over the epochs, mean over "  # noqa: RUF001
            "seeds.",
            reading="A rule can be trusted where the points rise to the right and the rings lie "
            "high. A large ρ may only say that both rise with training: look at the late, dark "  # noqa: RUF001
            "points among themselves. Accuracy is drawn in hindsight; the rules never see it.",
            panels=(panel,),
        )
    )
