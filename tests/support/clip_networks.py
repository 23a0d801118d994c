"""Small networks of clips that are a user's own: files for `--backbone python:FILE.py:build`."""

from pathlib import Path

_TEXT = '''
import numpy as np
import torch
from torch import nn

from ta3n.extract import CustomBackbone, Window


class Means(nn.Module):
    """Features are mixed means of parts of a clip."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm3d(3)
        self.mix = nn.Linear(24, WIDTH, bias=False)

    def forward(self, clips):
        return self.mix(nn.functional.adaptive_avg_pool3d(self.norm(clips), 2).flatten(1))


def crop(frame):
    return np.ascontiguousarray(frame[:32, :32])


def build():
    return CustomBackbone(
        network=Means(), feature_dim=WIDTH, image_size=32, window=Window(4), MORE
    )
'''


def write_network(path: Path, *, width: int = 8, more: str = "") -> str:
    """Write the file of a network of so many values; return the backbone's name.

    Args:
        more: Further arguments of its `CustomBackbone`.
    """
    path.write_text(_TEXT.replace("WIDTH", str(width)).replace("MORE", more))
    return f"python:{path}:build"
