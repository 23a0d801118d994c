"""EPIC-KITCHENS-55: three kitchens, eight verbs, six directions (Munro and Damen, CVPR 2020).

The counts are those of the annotation files that were published with MM-SADA.
"""

import re

from ta3n.datasets.benchmarks.benchmark import About, Benchmark, Side
from ta3n.datasets.published.dataset import ListedDataset

_CLASSES = ("take", "put", "open", "close", "wash", "cut", "mix", "pour")

# Domain -> kitchen, training and test sections of each class.
_DOMAINS = {
    "d1": ("P08", (421, 383, 231, 128, 223, 71, 42, 44), (124, 104, 52, 34, 66, 13, 20, 22)),
    "d2": ("P01", (715, 692, 245, 214, 298, 89, 113, 129), (208, 217, 68, 56, 136, 14, 26, 25)),
    "d3": ("P22", (919, 1121, 450, 367, 808, 110, 53, 69), (241, 280, 102, 71, 245, 29, 1, 5)),
}

_RECORDING = re.compile(r"(P\d\d_\d+)(_\d+)?")


def _recording_of(name: str) -> str | None:
    """Return the recording that a section was cut from: `P08_01` of `P08_01_123`, or of itself."""
    found = _RECORDING.fullmatch(name)
    return found and found[1]


DATASETS = tuple(
    ListedDataset(
        name=f"epic55-{domain}",
        short_name=f"epic-{domain}",
        group_from_name=_recording_of,
        groups_span_classes=True,
        class_names=_CLASSES,
        train_names=(f"{domain.upper()}_train.csv", f"list_{kitchen}_train.txt"),
        val_names=(f"{domain.upper()}_test.csv", f"list_{kitchen}_test.txt"),
        hint="the folder Annotations of jonmun/MM-SADA-code, whose pickles become tables once",
    )
    for domain, (kitchen, _, _) in _DOMAINS.items()
)

EPIC55 = Benchmark(
    name="epic55",
    class_names=_CLASSES,
    sides={
        f"epic55-{domain}": Side(
            labels={name: label for label, name in enumerate(_CLASSES)},
            expected=tuple(zip(train, test, strict=True)),
        )
        for domain, (_, train, test) in _DOMAINS.items()
    },
    about=About(
        source="Munro and Damen, Multi-Modal Domain Adaptation for Fine-Grained Action "
        "Recognition, CVPR 2020",
        lists="jonmun/MM-SADA-code, folder Annotations",
        videos="EPIC-KITCHENS-55, participants P08, P01 and P22, by "
        "epic-kitchens/epic-kitchens-download-scripts",
        licence="annotations CC BY-NC 4.0",
        selection="MM-SADA: mean of the last nine epochs, on the test sections; of others unknown",
        unknown=("the licence of the videos",),
    ),
)
