"""Kinetics-NEC-Drone: seven classes of Kinetics and of drones' videos, by two versions of lists.

Choi et al., WACV 2020, made NEC-Drone; the lists are those of SAVA's author (Choi et al., ECCV
2020) and those that UDAVT and TransferAttn use. They are not the same clips, so that figures on
one are none on the other.
"""

from collections.abc import Mapping

from ta3n.datasets.benchmarks.benchmark import About, Benchmark, Side
from ta3n.datasets.published.dataset import ListedDataset

_CLASSES = ("walk", "run", "jump", "drink", "throw", "shake hands", "hug")
_LABELS = {name: label for label, name in enumerate(_CLASSES)}
_SAVA, _UDAVT = "jinwchoi/TA3N", "Andre-Sacilotti/transferattn-project-code"
_SOURCE = (
    "Choi et al., Unsupervised and Semi-Supervised Domain Adaptation for Action Recognition from "
    "Drones, WACV 2020"
)
_VIDEOS = "NEC-Drone: from its authors; Kinetics: from its publisher"
_UNKNOWN = (
    "counts by class",
    "which Kinetics classes make each of the seven",
    "licences of lists and videos",
)


def _dataset(name: str, train: str, val: str, hint: str) -> ListedDataset:
    return ListedDataset(
        name=name,
        short_name=name,
        class_names=_CLASSES,
        train_names=(train,),
        val_names=(val,),
        hint=hint,
    )


def _benchmark(name: str, totals: Mapping[str, tuple[int, int]], about: About) -> Benchmark:
    sides = {dataset: Side(labels=_LABELS, totals=t) for dataset, t in totals.items()}
    return Benchmark(name=name, class_names=_CLASSES, sides=sides, about=about)


DATASETS = (
    _dataset(
        "nec-kinetics",
        "list_kinetics_train_kinetics_necdrone-feature.txt",
        "list_kinetics_val_kinetics_necdrone-feature.txt",
        f"{_SAVA}, folder dataset_i3d",
    ),
    _dataset(
        "nec-drone",
        "list_necdrone_train_kinetics_necdrone-feature.txt",
        "list_necdrone_test_kinetics_necdrone-feature.txt",
        f"{_SAVA}, folder dataset_i3d",
    ),
    _dataset(
        "nec-udavt-kinetics", "kinetics_train.txt", "kinetics_eval.txt", f"{_UDAVT}, folder K_NEC"
    ),
    _dataset("nec-udavt-drone", "nec_train.txt", "nec_eval.txt", f"{_UDAVT}, folder K_NEC"),
)

KINETICS_NECDRONE = _benchmark(
    "kinetics-necdrone",
    {"nec-kinetics": (9955, 742), "nec-drone": (560, 228)},
    About(
        source=_SOURCE,
        lists=f"{_SAVA}, folder dataset_i3d",
        videos=_VIDEOS,
        selection="SAVA's author: best epoch on a validation list of 206 more clips of NEC-Drone, "
        "which is target labels too",
        unknown=_UNKNOWN,
    ),
)

KINETICS_NECDRONE_UDAVT = _benchmark(
    "kinetics-necdrone-udavt",
    {"nec-udavt-kinetics": (8188, 1263), "nec-udavt-drone": (435, 228)},
    About(
        source=_SOURCE,
        lists=f"{_UDAVT}, folder src/mmodel/ZZZ_model/datas/K_NEC",
        videos=_VIDEOS,
        selection="TransferAttn: best epoch on the test videos, of frames drawn at random",
        unknown=_UNKNOWN,
    ),
)
