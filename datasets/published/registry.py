"""All benchmarks that are known by lists, and their datasets, as `benchmarks.toml` tells them."""

import re
import tomllib
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from ta3n.datasets.benchmarks.benchmark import About, Benchmark, Side
from ta3n.datasets.custom.dataset import group_in
from ta3n.datasets.published.dataset import ListedDataset

_TABLES = tomllib.loads(Path(__file__).with_name("benchmarks.toml").read_text("utf-8"))


def _benchmark(name: str, table: dict[str, Any]) -> Benchmark:
    labels = {class_name: label for label, class_name in enumerate(table["classes"])}
    about = {field.name: table[field.name] for field in fields(About) if field.name in table}
    return Benchmark(
        name=name,
        class_names=tuple(labels),
        sides={
            dataset: Side(
                labels=labels,
                expected=tuple(map(tuple, of["counts"])) if "counts" in of else None,
                totals=tuple(of["totals"]) if "totals" in of else None,
            )
            for dataset, of in table["datasets"].items()
        },
        about=About(**about | {"unknown": tuple(table["unknown"])}),
    )


def _datasets(table: dict[str, Any]) -> list[ListedDataset]:
    groups = partial(group_in, re.compile(table["groups"])) if "groups" in table else None
    return [
        ListedDataset(
            name=name,
            short_name=of.get("short_name", name),
            group_from_name=groups,
            groups_span_classes=groups is not None,
            class_names=tuple(table["classes"]),
            train_names=tuple(of["train"]),
            val_names=tuple(of["val"]),
            hint=table["hint"],
        )
        for name, of in table["datasets"].items()
        if "train" in of
    ]


PUBLISHED = tuple(_benchmark(name, table) for name, table in _TABLES.items())
PUBLISHED_DATASETS = tuple(dataset for table in _TABLES.values() for dataset in _datasets(table))
