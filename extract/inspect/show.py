"""One clip of a feature folder: its record, and how alike its frames' features are.

Legend: F rows of the clip, D feature width, K frames shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ta3n.common.device import load_matplotlib
from ta3n.common.errors import ClipError, UsageError, did_you_mean, printable, shorten
from ta3n.common.files import replace_file
from ta3n.common.records import USABLE, ClipRecord
from ta3n.common.sampling import AS_IT_IS, FrameSelection, Reading, Section, segment_indices
from ta3n.common.store import Features, ShardReader, shard_path
from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import decode_clip, decode_sections, drain
from ta3n.extract.inspect.near_duplicates import unit_rows

_NUM_SHOWN = 5
_MOST_ROWS = 600
_INTERNAL = {"id", "path", "start"}


@dataclass(frozen=True)
class ShownClip:
    """A clip to look at.

    Attributes:
        rows: Its features [F, D]; none where it has none.
        numbers: Frame number of each row [F].
    """

    record: ClipRecord
    rows: Features
    numbers: tuple[int, ...]

    def lines(self) -> Iterator[str]:
        """Yield what the record says, a line each, without what is empty."""
        yield printable(self.record.path)
        for key, value in self.record.model_dump().items():
            if key not in _INTERNAL and value not in ("", None):
                yield printable(f"  {key}: {value}")
        if len(self.rows):
            norms = np.linalg.norm(self.rows, axis=1)
            yield f"  norm of the rows: {norms.min():.4g} to {norms.max():.4g}"
            zeros = float((self.rows == 0).mean())
            yield f"  values that are zero: {100 * zeros:.1f} %"


def load_clip(folder: Path, clips: Sequence[ClipRecord], name: str) -> ShownClip:
    """Return the clip of a feature folder that has this path, or a part of it that no other has.

    Raises:
        UsageError: No clip, or several, of that name.
        FeatureStoreError: The shard is damaged.
    """
    record = _find(clips, name, folder)
    if record.status not in USABLE:
        return ShownClip(record, np.empty((0, 0), np.float32), ())
    with ShardReader(shard_path(folder, record.shard)) as shard:
        rows = shard.rows(record.start, range(record.length))
        numbers = shard.frames[record.start : record.start + record.length]
    return ShownClip(record, rows, tuple(map(int, numbers)))


def _find(clips: Sequence[ClipRecord], name: str, folder: Path) -> ClipRecord:
    found = [c for c in clips if c.path == name] or [c for c in clips if name in c.path]
    if len(found) == 1:
        return found[0]
    if found:
        paths = printable(shorten((clip.path for clip in found), 3))
        raise UsageError(f"{len(found)} clips of {folder} are called {name!r}: {paths}; name one")
    nearest = did_you_mean(name, (clip.path for clip in clips))
    raise UsageError(f"no clip of {folder} is called {name!r}{nearest}")


def self_similarity(rows: Features) -> NDArray[np.float32]:
    """Return the cosine similarity of all pairs of rows [F, D] as [F, F]; 0 for a row of zeros."""
    unit = unit_rows(rows)
    similarity: NDArray[np.float32] = unit @ unit.T
    return similarity


def read_sampled(
    path: Path, section: Section | None = None, reading: Reading = AS_IT_IS
) -> list[RgbImage]:
    """Return the frames [224, 224, 3] that stand for five equal parts of a clip.

    Args:
        section: The part of the video that the clip is; None for all of it.
        reading: How clips of the dataset are read.

    Raises:
        ClipError: The clip cannot be decoded.
    """
    selection = FrameSelection(num_segments=_NUM_SHOWN)
    frames: list[RgbImage] = []
    if section is None:
        outcome = drain(decode_clip(path, selection, reading=reading), frames.append)
    else:
        decoding = decode_sections(path, [section], selection, reading=reading)
        (outcome,) = drain(decoding, frames.append)
    if outcome.status not in USABLE:
        raise ClipError(f"{path}: {outcome.error}")
    return frames if outcome.crops is None else [frames[crop] for crop in outcome.crops]


def draw_clip(clip: ShownClip, frames: Sequence[RgbImage], out: Path) -> None:
    """Draw the self-similarity beside sampled frames [H, W, 3], or alone without any, as PNG."""
    import io

    load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    step = -(-len(clip.rows) // _MOST_ROWS)
    first, last = clip.numbers[0], clip.numbers[-1]
    figure = Figure(figsize=(8, 5) if frames else (5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    # The square on the left, the frames from the first on top to the last beside it.
    layout = [["similarity"] * 4 + [f"frame {n}"] for n in range(len(frames))] or [["similarity"]]
    axes = figure.subplot_mosaic(layout)  # type: ignore[arg-type]  # its list is invariant
    plot = axes["similarity"]
    image = plot.imshow(
        self_similarity(clip.rows[::step]),
        extent=(first - 0.5, last + 0.5, last + 0.5, first - 0.5),
        interpolation="nearest",
    )
    figure.colorbar(image, ax=plot, label="cosine similarity", shrink=0.8)
    plot.set(xlabel="frame", ylabel="frame")
    plot.set_title(printable(clip.record.path), fontsize=8, parse_math=False)
    numbers = segment_indices(max(clip.record.num_frames, 1), _NUM_SHOWN)
    for n, pixels in enumerate(frames):
        axes[f"frame {n}"].imshow(pixels)
        axes[f"frame {n}"].set_title(f"frame {numbers[n]}", fontsize=7)
        axes[f"frame {n}"].set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, buffer.getvalue())
