"""Rows that batches make of images or windows which are added one by one."""

from collections.abc import Iterable

from ta3n.common.store import Features
from ta3n.common.video import RgbImage
from ta3n.extract.inference.batches import BatchRunner, RowSpool


def computed(runner: BatchRunner, inputs: Iterable[RgbImage]) -> Features:
    """Return a row for each, in their order."""
    spool = RowSpool(runner.feature_dim, None)
    for pixels in inputs:
        runner.add(pixels[None], spool.append)
    runner.flush()
    return spool[:]
