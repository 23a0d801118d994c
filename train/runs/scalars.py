"""The metrics of a run for TensorBoard, an optional package."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ta3n.common.errors import UsageError
from ta3n.train.encoders.registry import part_names

FOLDER = "tensorboard"


def check_tensorboard() -> None:
    """Refuse to start a run whose metrics could not be written.

    Raises:
        UsageError: If the package is not installed.
    """
    if find_spec("tensorboard") is None:
        raise UsageError(
            "--tensorboard needs the package tensorboard, which is not installed; "
            "pip install 'ta3n[tensorboard]', or leave the option out: metrics.jsonl has it all"
        )


class ScalarWriter:
    """Writes the numbers of `metrics.jsonl` as scalars, in a folder inside the run's.

    Args:
        run_folder: the run's.
        part: what a part of a video is called that attention weighs.
    """

    def __init__(self, run_folder: Path, part: str = "relation") -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._epochs_written = 0
        self._part = part
        # What an earlier start wrote is taken back and written again: it may have got further than
        # the checkpoint that this one goes on from, or have written no scalars at all.
        self._writer: Any = SummaryWriter(str(run_folder / FOLDER), purge_step=1)

    def write(self, epochs: Sequence[Mapping[str, Any]]) -> None:
        """Write what is new among the lines of all epochs so far.

        Raises:
            OSError: If the folder cannot be written.
        """
        for line in epochs[self._epochs_written :]:
            for name, value in _scalars("", line, self._part):
                self._writer.add_scalar(name, value, line["epoch"])
        self._epochs_written = len(epochs)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def _scalars(prefix: str, values: Mapping[str, Any], part: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(f"{prefix}{key}/", value, part)
        elif isinstance(value, str):
            continue  # why a score was withheld
        elif isinstance(value, Sequence):
            # Attention.
            named = dict(zip(part_names(part, len(value)), value, strict=True))
            yield from _scalars(f"{prefix}{key}/", named, part)
        elif key != "epoch":
            yield f"{prefix}{key}", value
