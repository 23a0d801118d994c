"""Stage one: decode videos, run a backbone, write per-frame features.

Features of videos in memory, without a dataset and without files, are to be had from here:

    from ta3n.extract import extract_features

    for path, clip in extract_features("clips", frames="segments:5").items():
        print(path, clip.status, clip.features.shape)
"""

from typing import TYPE_CHECKING

__all__ = ["ClipFeatures", "extract_features", "release_networks"]

if TYPE_CHECKING:
    from ta3n.extract.api import ClipFeatures, extract_features, release_networks
else:

    def __getattr__(name):
        """Import torch only for those who use it: command lines must answer at once."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ta3n.extract import api

        return getattr(api, name)
