"""Where the figures of a report come from: features, lists, versions, label reads."""

from collections.abc import Mapping
from typing import Any

from ta3n.train.paper.labels import NOT_ADAPTING
from ta3n.train.report.data.collect import DirectionRuns, RunGroup, RunSet
from ta3n.train.runs.records import Run

_SHORT_HASH = 16
_NOT_KEPT = "not recorded"


def feature_facts(runs: RunSet) -> list[tuple[str, str]]:
    """Return what the features are; all runs of a report share them."""
    data = runs.directions[0].rows[0].config.data["features"]
    pixels = (f"profile {data['profile']}", data.get("transform"), f"{data['image_size']} pixels")
    timing = ", at a constant rate" if data.get("timing") == "cfr" else ""
    return [
        ("Backbone", f"{data['backbone']}, {data['feature_dim']} features a frame"),
        ("Weights", str(data["weights"])),
        ("Frames", f"{data['frames']}{timing}"),
        ("Pixels", ", ".join(filter(None, pixels))),
    ]


def warnings(direction: DirectionRuns) -> list[str]:
    """Return what makes the figures of a direction less than they seem."""
    weights = str(direction.rows[0].config.data["features"]["weights"])
    found = []
    if weights.startswith("random"):
        found.append(f"The backbone has random weights ({weights}): accuracies mean nothing.")
    counts = {len(row.runs) for row in direction.rows}
    if 1 in counts:
        found.append("Rows of one seed have no standard deviation.")
    if len(counts) > 1:
        found.append(f"The rows have between {min(counts)} and {max(counts)} seeds.")
    adapting = [row for row in direction.rows if row.config.method not in NOT_ADAPTING]
    if any(not row.config.settings["adaptation"]["published"] for row in adapting):
        found.append(
            "The loss weights of this direction were never published; those used are ours."
        )
    return found


def dataset_rows(runs: RunSet) -> list[list[str]]:
    """Return a line for each dataset of each benchmark: videos and hashes."""
    lines: dict[tuple[str, str], list[str]] = {}
    for direction in runs.directions:
        data = direction.rows[0].config.data
        for dataset in (direction.source, direction.target):
            videos = data["videos"][dataset]
            lines[direction.benchmark, dataset] = [
                dataset,
                direction.benchmark,
                data["manifests"][dataset][:_SHORT_HASH],
                data["lists"][dataset][:_SHORT_HASH],
                str(videos["train"]),
                str(videos["val"]),
            ]
    return list(lines.values())


def run_rows(direction: DirectionRuns) -> list[list[str]]:
    """Return a line for each row: seeds, configuration, label reads, versions."""
    return [
        [
            row.label,
            ", ".join(map(str, row.seeds)),
            row.config.hash[:_SHORT_HASH],
            _settings(row),
            ", ".join(sorted({_where(run) for run in row.runs})),
            str(sum(run.result.target_label_reads for run in row.runs)),
        ]
        for row in direction.rows
    ]


def _settings(row: RunGroup) -> str:
    recipe: Mapping[str, Any] = row.config.settings["recipe"]
    text = (
        f"{recipe['name']}: {recipe['epochs']} epochs, batch {recipe['source_batch']}, "
        f"rate {recipe['learning_rate']:g}"
    )
    if row.config.method in NOT_ADAPTING:
        return text
    adaptation = row.config.settings["adaptation"]
    betas = "/".join(f"{value:g}" for value in adaptation["coefficients"].values())
    return f"{text}, beta {betas}, gamma {adaptation['gamma']:g}"


def _where(run: Run) -> str:
    kept = run.environment
    if not kept:
        return _NOT_KEPT
    versions = " ".join(f"{name} {kept[name]}" for name in ("ta3n", "torch") if name in kept)
    return f"{versions} on {kept.get('device', _NOT_KEPT)}"
