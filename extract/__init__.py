"""Stage one: decode videos, run a backbone, write per-frame features.

Features of videos in memory, without a dataset and without files, are to be had from here:

    from ta3n.extract import extract_features

    for path, clip in extract_features("clips", frames="segments:5").items():
        print(path, clip.status, clip.features.shape)

A network of one's own is a `CustomBackbone`, with a `Window` if it takes clips.
"""

from typing import TYPE_CHECKING

__all__ = ["ClipFeatures", "CustomBackbone", "Window", "extract_features", "release_networks"]

if TYPE_CHECKING:
    from ta3n.common.sampling import Window
    from ta3n.extract.api import ClipFeatures, extract_features, release_networks
    from ta3n.extract.backbones.custom import CustomBackbone
else:

    def __getattr__(name):
        """Import torch only for those who use it: command lines must answer at once."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "Window":
            from ta3n.common import sampling as module
        elif name == "CustomBackbone":
            from ta3n.extract.backbones import custom as module
        else:
            from ta3n.extract import api as module
        return getattr(module, name)
