"""Jester: seven groups of hand gestures, whose kinds differ by domain (Sahoo et al., NeurIPS 2021).

Clips are numbers, as those of 20BN-Jester are; so are the classes in the lists.
"""

from ta3n.datasets.benchmarks.benchmark import About, Benchmark, Side
from ta3n.datasets.published.dataset import ListedDataset

_CLASSES = tuple(f"gesture {label}" for label in range(7))
_LABELS = {name: label for label, name in enumerate(_CLASSES)}
_TOTALS = {"source": (45899, 5599), "target": (45827, 5588)}

DATASETS = tuple(
    ListedDataset(
        name=f"jester-{domain}",
        short_name=f"jester-{domain}",
        class_names=_CLASSES,
        train_names=(f"jester_{domain}_train.csv",),
        val_names=(f"jester_{domain}_val.csv",),
        hint="the folder video_splits of CVIR/CoMix",
    )
    for domain in _TOTALS
)

JESTER = Benchmark(
    name="jester",
    class_names=_CLASSES,
    sides={f"jester-{domain}": Side(labels=_LABELS, totals=t) for domain, t in _TOTALS.items()},
    about=About(
        source="Sahoo et al., Contrast and Mix: Temporal Contrastive Video Domain Adaptation "
        "with Background Mixing, NeurIPS 2021",
        lists="CVIR/CoMix, folder video_splits",
        videos="20BN-Jester, at developer.qualcomm.com/software/ai-datasets/jester",
        selection="CoMix: its script evaluates on the source's validation list; of others unknown",
        unknown=("names of the classes", "counts by class", "licences of lists and videos"),
    ),
)
