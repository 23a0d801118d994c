"""The benchmark of a run, kept in its record: one's own is known without its settings file.

No torch here.
"""

from typing import Any

from ta3n.common.errors import DataConflictError
from ta3n.datasets.benchmarks.benchmark import BUILT_IN, Benchmark, Side
from ta3n.datasets.benchmarks.registry import BUILT_IN_DATASETS
from ta3n.train.runs.folder import RunConfig


def benchmark_record(benchmark: Benchmark) -> dict[str, Any]:
    """Return what a run keeps of its benchmark: class folders and splits of each dataset."""
    return {
        dataset: {"labels": dict(side.labels), "split": side.split or benchmark.split}
        for dataset, side in benchmark.sides.items()
    }


def benchmark_of(config: RunConfig) -> Benchmark:
    """Return the benchmark that a run was trained on: the built-in one of the name, or its record.

    Raises:
        DataConflictError: It is no built-in one, and the run has no record of it.
    """
    if found := next((b for b in BUILT_IN if b.name == config.benchmark), None):
        return found
    sides = config.data.get("benchmark")
    if sides is None:
        raise DataConflictError(
            f"the run on {config.benchmark}, which is not built-in, has no record of it; "
            "train again"
        )
    return Benchmark(
        name=config.benchmark,
        class_names=tuple(config.settings["classes"]),
        sides={name: Side(labels=s["labels"], split=s["split"]) for name, s in sides.items()},
    )


def side_named(benchmark: Benchmark, name: str) -> str:
    """Return the full name of a dataset of a benchmark; built-in ones have their short names too.

    Raises:
        UsageError: The benchmark does not hold it.
    """
    full = {d.short_name: d.name for d in BUILT_IN_DATASETS}.get(name.lower(), name.lower())
    benchmark.side(full)
    return full
