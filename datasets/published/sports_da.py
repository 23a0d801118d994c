"""Sports-DA: 23 sports in three datasets, six directions (Xu et al., 2021).

UCF101's part is its official split 1, so that features of `ucf101` serve; the classes have the
names of its folders.
"""

from ta3n.datasets.benchmarks.benchmark import About, Benchmark, Side
from ta3n.datasets.published.dataset import ListedDataset

# Class -> (train, val) videos of UCF101.
_UCF = {
    "Archery": (104, 41),
    "BaseballPitch": (107, 43),
    "Basketball": (99, 35),
    "Biking": (96, 38),
    "Bowling": (112, 43),
    "BreastStroke": (73, 28),
    "Diving": (105, 45),
    "Fencing": (77, 34),
    "FieldHockeyPenalty": (86, 40),
    "FloorGymnastics": (89, 36),
    "GolfSwing": (100, 39),
    "HorseRace": (89, 35),
    "Kayaking": (105, 36),
    "RockClimbingIndoor": (103, 41),
    "RopeClimbing": (85, 34),
    "SkateBoarding": (88, 32),
    "Skiing": (95, 40),
    "SumoWrestling": (82, 34),
    "Surfing": (93, 33),
    "TaiChi": (72, 28),
    "TennisSwing": (117, 49),
    "TrampolineJumping": (87, 32),
    "VolleyballSpiking": (81, 35),
}
_LABELS = {name: label for label, name in enumerate(_UCF)}
# Dataset -> stem of its lists, (train, val) videos.
_LISTED = {
    "sports-1m": ("sports1m_msda", (14754, 1900)),
    "sports-kinetics": ("kinetics_sports_msda", (19104, 1962)),
}

DATASETS = tuple(
    ListedDataset(
        name=name,
        short_name=name,
        class_names=tuple(_UCF),
        train_names=(f"{stem}_train.txt",),
        val_names=(f"{stem}_test.txt",),
        hint="the folder dataset of xuyu0010/ATCoN",
    )
    for name, (stem, _) in _LISTED.items()
)

SPORTS_DA = Benchmark(
    name="sports-da",
    class_names=tuple(_UCF),
    sides={
        "ucf101": Side(labels=_LABELS, expected=tuple(_UCF.values())),
        **{name: Side(labels=_LABELS, totals=totals) for name, (_, totals) in _LISTED.items()},
    },
    about=About(
        source="Xu et al., Multi-Source Video Domain Adaptation with Temporal Attentive Moment "
        "Alignment, 2021",
        lists="xuyu0010/ATCoN, folder dataset",
        videos="xuyu0010.github.io/msvda.html, and the publishers of UCF101, Sports-1M and "
        "Kinetics",
        licence="lists MIT",
        unknown=(
            "counts by class but for UCF101",
            "licences of the videos",
            "how published accuracies were selected",
        ),
    ),
)
