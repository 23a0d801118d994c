"""All pictures of a direction: those of the run folders, then those of the trained models."""

from pathlib import Path

from ta3n.common.errors import Ta3nError
from ta3n.train.report.collect import Direction, Row
from ta3n.train.report.compare import focal_row
from ta3n.train.report.gallery import Gallery, Picture
from ta3n.train.report.plot_accuracy import plot_accuracy
from ta3n.train.report.plot_confusion import plot_confusion
from ta3n.train.report.plot_curves import plot_accuracy_curves, plot_losses


def draw_pictures(direction: Direction, features: Path | None, prefix: str = "") -> Gallery:
    """Draw everything that the runs, and the features if given, allow.

    Args:
        direction: Whose rows.
        features: Folder that stage one wrote, or None.
        prefix: Goes before every file name.
    """
    gallery = Gallery()
    focal = focal_row(direction)
    gallery.add(_accuracy(direction, prefix))
    gallery.add(_curves(direction, focal, prefix))
    if focal is None:
        gallery.missing.append("Pictures of an adapted model: no adapting method was run.")
        return gallery
    if focal.config.method != "ta3n":
        gallery.missing.append(f"TA3N was not run; {focal.label} takes its place in the pictures.")
    gallery.add(_confusion(focal, prefix))
    if features is None:
        gallery.missing.append("t-SNE and attention: the report was made without features.")
        return gallery
    # Torch and scikit-learn are imported only where they are needed.
    from ta3n.train.report.pictures_of_models import add_model_pictures

    try:
        add_model_pictures(gallery, direction, focal, features, prefix)
    except Ta3nError as error:
        gallery.missing.append(f"t-SNE and attention: {error}.")
    return gallery


def _accuracy(direction: Direction, prefix: str) -> Picture:
    return Picture(
        heading="Accuracy by row",
        caption="Accuracy on the target validation videos by row and seed. Filled: after the last "
        "epoch; open: after the epoch that is best on target labels (oracle).",
        reading="Compare filled marks: they are what one would get in practice. How far the open "
        "marks lie to the right of them is what choosing on target labels would flatter. Rows "
        "whose bars overlap are hardly told apart by this many seeds.",
        panels=(plot_accuracy(direction, f"{prefix}accuracy"),),
    )


def _curves(direction: Direction, focal: Row | None, prefix: str) -> Picture:
    panels = [plot_accuracy_curves(direction, f"{prefix}learning-curves")]
    caption = (
        "Accuracy on the target validation videos after each epoch; line: mean over seeds, band: "
        "lowest to highest seed. Solid: relation module, dashed: pooling."
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


def _confusion(focal: Row, prefix: str) -> Picture:
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
