"""Kinetics-Gameplay: 30 classes of Kinetics-600 and of video games (Chen et al., ICCV 2019)."""

from ta3n.datasets.benchmarks.benchmark import About, Benchmark, Side
from ta3n.datasets.published.dataset import ListedDataset

_CLASSES = (
    *("break", "carry", "clean_floor", "climb", "crawl", "crouch", "cry", "dance", "drink"),
    *("drive", "fall_down", "fight", "hug", "jump", "kick", "light_up", "news_anchor"),
    *("open_door", "paint_brush", "paraglide", "pour", "push", "read", "run", "shoot_gun"),
    *("stare", "talk", "throw", "walk", "wash_dishes"),
)
_LABELS = {name: label for label, name in enumerate(_CLASSES)}
_TOTALS = {"kinetics": (43378, 3246), "gameplay": (2625, 749)}

DATASETS = tuple(
    ListedDataset(
        name=f"kg-{domain}",
        short_name=f"kg-{domain}",
        class_names=_CLASSES,
        train_names=(f"{domain}_train.txt",),
        val_names=(f"{domain}_eval.txt",),
        hint="the folder K_G of justchenpp/MA2L-TD, or with the features from its authors",
    )
    for domain in _TOTALS
)

KINETICS_GAMEPLAY = Benchmark(
    name="kinetics-gameplay",
    class_names=_CLASSES,
    sides={f"kg-{domain}": Side(labels=_LABELS, totals=t) for domain, t in _TOTALS.items()},
    about=About(
        source="Chen et al., Temporal Attentive Alignment for Large-Scale Video Domain "
        "Adaptation, ICCV 2019",
        lists="justchenpp/MA2L-TD, folder mmodel/ZZZ_model/datas/K_G",
        videos="Gameplay: features and lists on request, by the form in Luoyadan/MM2020_ABG; "
        "Kinetics-600: from its publisher",
        licence="CC BY-NC-SA 4.0",
        selection="MA2L-TD: best epoch on the test videos, of frames drawn at random; of others "
        "unknown",
        unknown=("counts by class", "the licence of the Kinetics videos"),
    ),
)
