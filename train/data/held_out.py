"""Which labelled source videos say something about a model: those that it saw nothing alike of."""

from pathlib import PurePosixPath

from ta3n.common.log import LOGGER
from ta3n.common.names import shorten
from ta3n.datasets.reading.base import Dataset
from ta3n.train.data.videos import DomainVideos, Video


def held_out(side: DomainVideos, dataset: Dataset) -> tuple[Video, ...]:
    """Return the source's validation videos that share no recording with its training videos.

    Clips cut from one recording look alike (UCF101's groups, HMDB51's films), so that the accuracy
    on such a clip says how well training clips are remembered. What is left out is logged.

    Args:
        side: The source's part in a run.
        dataset: Tells which clips were cut from one recording.
    """
    trained = {_recording(dataset, video) for video in side.train}
    kept = tuple(video for video in side.val if _recording(dataset, video) not in trained)
    if len(kept) < len(side.val):
        dropped = [v.clip.path for v in side.val if _recording(dataset, v) in trained]
        LOGGER.info(
            "%s: %d of %d validation videos are not held out, as training videos come from the "
            "same recordings: %s",
            side.dataset,
            len(dropped),
            len(side.val),
            shorten(dropped, 3),
        )
    if not kept:
        LOGGER.info(
            "%s: without held-out videos the rules source_val and dev do not apply", side.dataset
        )
    return kept


def _recording(dataset: Dataset, video: Video) -> tuple[str, str]:
    return dataset.recording_of(video.clip.class_name, PurePosixPath(video.clip.path).stem)
