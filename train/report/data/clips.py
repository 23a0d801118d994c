"""The sampled frames of a clip as pictures.

Legend: K frames, H height, W width in pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ta3n.common.errors import ClipError
from ta3n.common.video import RgbImage, VideoReader


def find_clip(videos: Path, dataset: str, path: str) -> Path | None:
    """Return where a clip lies, or None.

    Args:
        videos: Folder with a folder for each dataset, or the dataset's own.
        dataset: Full name.
        path: As the manifest has it.
    """
    places = (videos / dataset / path, videos / path)
    return next((place for place in places if place.is_file()), None)


def read_frames(path: Path, numbers: Sequence[int], width: int) -> list[RgbImage]:
    """Decode some frames of a clip: K images [H, W, 3].

    Args:
        path: The clip.
        numbers: K frame numbers from 0, in rising order; one may occur several times.
        width: W of the images; H follows.

    Raises:
        ClipError: If the clip cannot be decoded so far.
    """
    found: dict[int, RgbImage] = {}
    with VideoReader(path) as reader:
        for number, frame in enumerate(reader.frames()):
            if number in numbers:
                found[number] = _scaled(frame.rgb(), width)
            if number >= numbers[-1]:
                break
    if numbers[-1] not in found:
        raise ClipError(f"gives no frame {numbers[-1]}")
    return [found[number] for number in numbers]


def _scaled(pixels: RgbImage, width: int) -> RgbImage:
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8)
