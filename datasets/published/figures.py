"""Accuracies that others have published on built-in benchmarks: facts, with where they were read.

Nothing of ours is computed from them. They are on features, and mostly chosen in ways, that no run
of ours shares. What is not known of one is empty; what only notes of others quote says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The accuracies of a method on a benchmark, in percent.

    Attributes:
        method: As the publication calls it, with venue and year where they are known.
        backbone: That made the features, or was trained; empty where it is not known.
        mean: Of all directions that the benchmark is published with.
        by_direction: By full names of source and target, where they are told.
        selection: How the epoch was chosen; empty where it is not known.
        on_test_labels: Whether that looked at the labels that the accuracy is of; None where it is
            not known.
        read_in: Where it was read.
    """

    benchmark: str
    method: str
    backbone: str = ""
    mean: float
    by_direction: Mapping[Pair, float] = field(default_factory=dict)
    selection: str = ""
    on_test_labels: bool | None = None
    read_in: str


_README = "the table in the repository of TranSVAE"
_TABLE = "a table in a public repository"
_NOTES = "notes of others that quote it"
_BEST = "best epoch on the test videos"
_UCF_HMDB = (("ucf101", "hmdb51"), ("hmdb51", "ucf101"))
_RESNET, _I3D = "ResNet-101, frames", "I3D, Kinetics"

# Method, U -> H, H -> U, mean as printed, how the epoch was chosen as far as that is known.
_ON_RESNET = (
    ("DANN", 75.28, 76.36, 75.82, ""),
    ("JAN", 74.72, 76.69, 75.71, ""),
    ("AdaBN", 72.22, 77.41, 74.82, ""),
    ("MCD", 73.89, 79.34, 76.62, ""),
    ("TA3N (ICCV 2019)", 78.33, 81.79, 80.06, _BEST),
    ("ABG (MM 2020)", 79.17, 85.11, 82.14, ""),
    ("MA2L-TD (WACV 2022)", 85.00, 86.59, 85.80, f"{_BEST}, of frames drawn at random"),
)
_ON_I3D = (
    ("Source only", 80.27, 88.79, 84.53, ""),
    ("DANN", 80.83, 88.09, 84.46, ""),
    ("ADDA", 79.17, 88.44, 83.81, ""),
    ("TA3N (ICCV 2019)", 81.38, 90.54, 85.96, ""),
    ("SAVA (ECCV 2020)", 82.22, 91.24, 86.73, ""),
    ("CoMix (NeurIPS 2021)", 86.66, 93.87, 90.22, ""),
    ("CO2A (WACV 2022)", 87.78, 95.79, 91.79, ""),
    ("TranSVAE (NeurIPS 2023)", 87.78, 98.95, 93.37, f"{_BEST}, of 1000"),
    ("Target only, with labels", 95.00, 96.85, 95.93, ""),
)

_EPIC_TRANSVAE = (50.5, 50.3, 50.3, 58.6, 48.0, 58.0)
_EPIC_PAIRS = tuple(
    (f"epic55-d{source}", f"epic55-d{target}")
    for source in (1, 2, 3)
    for target in (1, 2, 3)
    if source != target
)


def _two(
    rows: tuple[tuple[str, float, float, float, str], ...], backbone: str, read_in: str
) -> list[Figure]:
    return [
        Figure(
            benchmark="ucf-hmdb-full",
            method=method,
            backbone=backbone,
            mean=mean,
            by_direction=dict(zip(_UCF_HMDB, figures, strict=True)),
            selection=chosen,
            on_test_labels=True if chosen else None,
            read_in=read_in,
        )
        for method, *figures, mean, chosen in rows
    ]


def _means(benchmark: str, read_in: str, backbone: str, **means: float) -> list[Figure]:
    """Return figures of which the mean alone is known, and nothing on their selection."""
    return [
        Figure(
            benchmark=benchmark,
            method=_CALLED.get(name, name),
            backbone=backbone or _BACKBONES.get(name, ""),
            mean=mean,
            read_in=read_in,
        )
        for name, mean in means.items()
    ]


_CALLED = {
    "CoMix": "CoMix (NeurIPS 2021)",
    "DALLV": "DALL-V (ICCV 2023), source-free",
    "EXTERN": "EXTERN, source-free",
    "LMFT": "LMFT (CVPR 2026)",
    "MetaTrans": "MetaTrans (ICML 2026)",
    "SAViTDA": "SAViTDA (ICASSP 2026)",
    "Source": "Source only",
    "Target": "Target only, with labels",
    "UDAVT": "UDAVT (ICPR 2022)",
    "UNITE": "UNITE (CVPR 2024)",
    "UNITE1": "UNITE (CVPR 2024), without self-training",
    "ATCoN": "ATCoN (ECCV 2022), source-free",
}
_BACKBONES = {
    "ATCoN": "TRN, ResNet-50",
    "DALLV": "CLIP, ResNet-50",
    "LMFT": "ViT-B/16",
    "MetaTrans": _I3D,
    "UDAVT": "STAM",
    "UNITE": "UMT, ViT-B/16",
    "UNITE1": "UMT, ViT-B/16",
}

FIGURES: tuple[Figure, ...] = (
    *_two(_ON_RESNET, _RESNET, _README),
    *_two(_ON_I3D, _I3D, _TABLE),
    *_means(
        "ucf-hmdb-full", _NOTES, "", ATCoN=82.5, EXTERN=90.4, DALLV=91.0, UDAVT=94.6,
        MetaTrans=95.4, LMFT=96.4,
    ),
    *_means(
        "epic55", _TABLE, "RGB", Source=35.3, ADDA=37.4, DANN=39.2, TA3N=39.9, CoMix=43.2,
    ),
    *_means("epic55", _NOTES, "RGB", MetaTrans=51.0),
    Figure(
        benchmark="epic55",
        method="TranSVAE (NeurIPS 2023)",
        backbone="I3D, RGB",
        mean=52.6,
        by_direction=dict(zip(_EPIC_PAIRS, _EPIC_TRANSVAE, strict=True)),
        read_in=_TABLE,
    ),
    *_means("epic55", _TABLE, "RGB", Target=61.5),
    *_means("jester", _TABLE, "", Source=51.5, ADDA=52.3, DANN=55.4, TA3N=55.5),
    Figure(
        benchmark="jester",
        method="CoMix (NeurIPS 2021)",
        mean=64.7,
        selection="evaluated on the source's validation list, by its script",
        on_test_labels=False,
        read_in=_TABLE,
    ),
    *_means("jester", _TABLE, "", TranSVAE=66.1, Target=95.6),
    *_means(
        "daily-da", _NOTES, "", TA3N=28.5, DANN=29.5, UNITE1=50.8, DALLV=51.4, SAViTDA=55.9,
        UNITE=59.2, LMFT=64.5,
    ),
    *_means(
        "sports-da", _NOTES, "", TA3N=73.7, DANN=73.8, ATCoN=73.8, DALLV=82.3, EXTERN=83.2,
        SAViTDA=89.6, UNITE=94.0,
    ),
)  # fmt: skip
"""In the order in which a table shows them."""


def figures_of(benchmark: str) -> tuple[Figure, ...]:
    """Return what others have published on a benchmark; nothing where none is known."""
    return tuple(figure for figure in FIGURES if figure.benchmark == benchmark)
