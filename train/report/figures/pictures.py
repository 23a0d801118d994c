"""All pictures of a direction: those of the run folders, then those of the trained models."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ta3n.common.errors import Ta3nError
from ta3n.train.report.data.collect import DirectionRuns, RunGroup
from ta3n.train.report.data.compare import focal_row, source_only_for
from ta3n.train.report.figures.accuracy import accuracy_picture
from ta3n.train.report.figures.classes import class_changes_picture, confusion_picture
from ta3n.train.report.figures.look import Gallery, Picture
from ta3n.train.report.figures.selection import selection_picture
from ta3n.train.report.figures.training import curves_picture, domain_pictures

if TYPE_CHECKING:
    from ta3n.train.report.figures.models import Models


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
    gallery = Gallery(prefix=prefix)
    focal = focal_row(direction)
    with ExitStack() as stack:
        future: Future[Models] | None = None
        if focal is not None and features is not None:
            # The models run while the pictures that need none are drawn.
            pool = stack.enter_context(ThreadPoolExecutor(1))
            future = pool.submit(_run_models, direction, focal, features)
        gallery.add(*_run_pictures(direction, focal))
        if focal is None:
            return gallery
        if future is None:
            gallery.add("t-SNE, attention, frames: the report was made without features.")
            return gallery
        try:
            models = future.result()
        except Ta3nError as error:
            gallery.add(f"t-SNE, attention, frames: {error}.")
            return gallery
    from ta3n.train.report.figures.models import model_pictures

    gallery.add(*model_pictures(models, direction.target, videos))
    return gallery


def _run_models(direction: DirectionRuns, focal: RunGroup, features: Path) -> "Models":
    # Torch and scikit-learn are imported only where they are needed.
    from ta3n.train.report.figures.models import run_models

    return run_models(direction, focal, features)


def _run_pictures(direction: DirectionRuns, focal: RunGroup | None) -> Iterator[Picture | str]:
    """Yield the pictures that need nothing but run folders."""
    yield accuracy_picture(direction)
    if focal is None:
        yield "Pictures of an adapted model: no adapting method was run."
        yield curves_picture(direction, None)
        return
    if focal.config.method != "ta3n":
        yield f"TA3N was not run; {focal.label} takes its place in the pictures."
    yield class_changes_picture(focal, source_only_for(focal, direction))
    yield confusion_picture(focal)
    yield curves_picture(direction, focal)
    yield from domain_pictures(focal)
    yield selection_picture(focal)
