"""All benchmarks that are known by lists, and their datasets."""

from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.published import (
    daily_da,
    epic55,
    jester,
    kinetics_gameplay,
    kinetics_necdrone,
    sports_da,
)
from ta3n.datasets.published.dataset import ListedDataset

PUBLISHED_DATASETS: tuple[ListedDataset, ...] = (
    *kinetics_gameplay.DATASETS,
    *epic55.DATASETS,
    *jester.DATASETS,
    *kinetics_necdrone.DATASETS,
    *daily_da.DATASETS,
    *sports_da.DATASETS,
)

PUBLISHED: tuple[Benchmark, ...] = (
    kinetics_gameplay.KINETICS_GAMEPLAY,
    epic55.EPIC55,
    jester.JESTER,
    kinetics_necdrone.KINETICS_NECDRONE,
    kinetics_necdrone.KINETICS_NECDRONE_UDAVT,
    daily_da.DAILY_DA,
    sports_da.SPORTS_DA,
)
