"""Daily-DA: eight everyday actions in four datasets, twelve directions (Xu et al., 2021).

HMDB51's part is its official split 1, so that features of `hmdb51` serve.
"""

from ta3n.datasets.benchmarks.benchmark import About, Benchmark, Side
from ta3n.datasets.published.dataset import ListedDataset

_CLASSES = ("drink", "jump", "pick", "pour", "push", "run", "walk", "wave")
_LABELS = {name: label for label, name in enumerate(_CLASSES)}
# Dataset -> stem of its lists, (train, val) videos.
_LISTED = {
    "daily-arid": ("arid_msda", (2776, 1289)),
    "daily-mit": ("mit_msda", (4000, 400)),
    "daily-kinetics": ("kinetics_daily_msda", (8959, 725)),
}

DATASETS = tuple(
    ListedDataset(
        name=name,
        short_name=name,
        class_names=_CLASSES,
        train_names=(f"{stem}_train.txt",),
        val_names=(f"{stem}_test.txt",),
        hint="the folder dataset of xuyu0010/ATCoN",
    )
    for name, (stem, _) in _LISTED.items()
)

DAILY_DA = Benchmark(
    name="daily-da",
    class_names=_CLASSES,
    sides={
        "hmdb51": Side(labels=_LABELS, expected=((70, 30),) * len(_CLASSES)),
        **{name: Side(labels=_LABELS, totals=totals) for name, (_, totals) in _LISTED.items()},
    },
    about=About(
        source="Xu et al., Multi-Source Video Domain Adaptation with Temporal Attentive Moment "
        "Alignment, 2021",
        lists="xuyu0010/ATCoN, folder dataset",
        videos="xuyu0010.github.io/msvda.html, and the publishers of HMDB51, ARID, Moments in Time "
        "and Kinetics",
        licence="lists MIT",
        unknown=(
            "counts by class but for HMDB51",
            "licences of the videos",
            "how published accuracies were selected",
        ),
    ),
)
