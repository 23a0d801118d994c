"""Kinds of features: what tells those apart that runs were trained on, in a few words.

Figures on features of different kinds stand side by side; nothing is averaged over them, and no
test holds them against each other.
"""

from collections.abc import Callable, Mapping, Sequence

from ta3n.common.records import FeatureConfig
from ta3n.train.runs.folder import RunConfig
from ta3n.train.runs.records import features_of, stream_records

Kind = tuple[FeatureConfig, ...]
"""How the features of each stream were made, whichever dataset they are of."""

_NAMED: Mapping[str, Callable[[object], str]] = {
    "backbone": str,
    "weights": lambda value: f"weights {value}",
    "frames": lambda value: f"frames {value}",
    "window": lambda value: f"windows of {value} frames" if value else "no windows",
    "window_step": lambda value: f"every {value} frames of a window",
    "window_pad": lambda value: f"windows padded by {value}",
    "profile": lambda value: f"profile {value}",
    "image_size": lambda value: f"{value} pixels",
    "timing": lambda value: f"time by {value}",
    "transform": lambda value: f"transform {value or 'of the profile'}",
    "feature_dim": lambda value: f"{value} features a frame",
    "source": lambda value: f"code {str(value)[:8] or 'built in'}",
}
"""Settings in the order in which they are named, with what is said of a value."""


def kind_of(config: RunConfig) -> Kind:
    """Return how the features of a run were made; those of equal kinds can be compared."""
    return tuple(features_of(config, number) for number in range(len(stream_records(config))))


def name_kinds(kinds: Sequence[Kind]) -> list[str]:
    """Return a name for each of different kinds: the first settings that tell all of them apart.

    Where all agree in a setting it is not named; several streams are joined by `+`.
    """
    names = [""] * len(kinds)
    for key, tell in _NAMED.items():
        told = [" + ".join(tell(getattr(stream, key)) for stream in kind) for kind in kinds]
        named = [f"{name}, {new}" if name else new for name, new in zip(names, told, strict=True)]
        if len(set(named)) > len(set(names)):
            names = named
    return names
