"""All pictures of a direction: those of the run folders, then those of the trained models."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ta3n.common.errors import Ta3nError
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import focal_row, source_only_for
from ta3n.train.report.figures.gallery import Gallery
from ta3n.train.report.figures.pictures_of_runs import (
    accuracy_picture,
    add_class_changes,
    add_selection,
    add_training,
    confusion_picture,
    curves_picture,
)

if TYPE_CHECKING:
    from ta3n.train.report.figures.pictures_of_models import Models


def draw_pictures(
    direction: DirectionRuns, features: Path | None, prefix: str = "", videos: Path | None = None
) -> Gallery:
    """Draw everything that the runs, and the features and videos if given, allow.

    Args:
        direction: Whose rows.
        features: Folder that stage one wrote, or None.
        prefix: Goes before every file name.
        videos: Folder with the clips of the target, or None: its own, or one with a folder for
            each dataset.
    """
    gallery = Gallery()
    focal = focal_row(direction)
    with ExitStack() as stack:
        future: Future[Models] | None = None
        if focal is not None and features is not None:
            # The models run while the pictures that need none are drawn.
            pool = stack.enter_context(ThreadPoolExecutor(1))
            future = pool.submit(_run_models, direction, focal, features)
        _draw_runs(gallery, direction, focal, prefix)
        if focal is None:
            return gallery
        if future is None:
            gallery.missing.append(
                "t-SNE, attention, frames: the report was made without features."
            )
            return gallery
        try:
            models = future.result()
        except Ta3nError as error:
            gallery.missing.append(f"t-SNE, attention, frames: {error}.")
            return gallery
    from ta3n.train.report.figures.pictures_of_models import add_model_pictures

    add_model_pictures(gallery, models, direction.target, videos, prefix)
    return gallery


def _run_models(direction: DirectionRuns, focal: RunGroup, features: Path) -> "Models":
    # Torch and scikit-learn are imported only where they are needed.
    from ta3n.train.report.figures.pictures_of_models import run_models

    return run_models(direction, focal, features)


def _draw_runs(
    gallery: Gallery, direction: DirectionRuns, focal: RunGroup | None, prefix: str
) -> None:
    gallery.add(accuracy_picture(direction, prefix))
    if focal is None:
        gallery.missing.append("Pictures of an adapted model: no adapting method was run.")
        gallery.add(curves_picture(direction, None, prefix))
        return
    if focal.config.method != "ta3n":
        gallery.missing.append(f"TA3N was not run; {focal.label} takes its place in the pictures.")
    add_class_changes(gallery, focal, source_only_for(focal, direction), prefix)
    gallery.add(confusion_picture(focal, prefix))
    gallery.add(curves_picture(direction, focal, prefix))
    add_training(gallery, focal, prefix)
    add_selection(gallery, focal, prefix)
