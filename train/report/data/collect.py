"""The finished runs under a folder, by kind of features, direction and row; all else is named.

Figures on features of different kinds stand side by side; nothing is averaged over them, and no
test holds them against each other. Needs no torch.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from ta3n.common.errors import (
    DataConflictError,
    DataMissingError,
    FeatureStoreError,
    UsageError,
    printable,
    shorten,
)
from ta3n.common.files import canonical_json, sha256_of
from ta3n.common.records import FeatureConfig
from ta3n.datasets.benchmarks.benchmark import UNKNOWN
from ta3n.train.methods.heads import heads_of
from ta3n.train.methods.registry import method_for, method_of
from ta3n.train.methods.rejection import Rejection, rejection_of
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.paper.labels import (
    NOT_ADAPTING,
    method_label,
    method_place,
    paper_methods,
    rule_place,
)
from ta3n.train.recipe.recipes import Recipe
from ta3n.train.runs.folder import RunConfig
from ta3n.train.runs.records import Run, features_of, read_run, stream_records
from ta3n.train.runs.selection import ChosenEpoch, mean_class_percent, open_set_percents

_RUN_FILES = {"config.json", "result.json"}
_SEED_FOLDER = re.compile(r"seed-\d+")
_SHOWN_DIFFERENCES = 3


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """The runs of one configuration over seeds: a row of our tables.

    Attributes:
        runs: One for each seed, by seed.
        variant: What tells it from groups of the same method and temporal module, or empty.
        newcomer: Number of its method among those that the paper does not have, by name; 0 for one
            that it has.
    """

    config: RunConfig
    runs: tuple[Run, ...]
    variant: str = ""
    newcomer: int = 0

    @property
    def method(self) -> str:
        """What the method is called: as the runs have recorded, else as the paper has it."""
        return _method(self.config)

    @property
    def adapts(self) -> bool:
        """Whether it learns from target videos without their labels."""
        known = self.config.settings["method"]
        # Runs of version 0.1 do not tell.
        return bool(known.get("uses_target", self.config.method not in NOT_ADAPTING))

    @property
    def called(self) -> str:
        """Method and variant, in words."""
        return f"{self.method} ({self.variant})" if self.variant else self.method

    @property
    def label(self) -> str:
        """Method, temporal module and variant, in words."""
        label = f"{self.method}, {self.config.temporal}"
        return f"{label} ({self.variant})" if self.variant else label

    @property
    def seeds(self) -> list[int]:
        """Seeds that are finished."""
        return [run.seed for run in self.runs]

    @property
    def classes(self) -> list[str]:
        """Class names; the index is the label. In an open set the last one is unknown."""
        names = list(self.config.settings["classes"])
        return names if self.rejection is None else [*names, UNKNOWN]

    @property
    def rejection(self) -> Rejection | None:
        """How unknown videos are told; None in a closed set."""
        return rejection_of(self.config.settings)

    @property
    def rules(self) -> list[str]:
        """Selection rules that every seed has, in the order of the first."""
        return [r for r in self.runs[0].result.rules if all(r in x.result.rules for x in self.runs)]

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads that were trained; none where there is but one."""
        return _trained_heads(self.config)

    @cached_property
    def fields_read(self) -> tuple[str, ...]:
        """The fields of the recipe that decide what the row comes to."""
        recorded = self.config.settings["recipe"]
        known = {each.name: recorded[each.name] for each in fields(Recipe) if each.name in recorded}
        try:
            method = method_of({"label": "", **self.config.settings["method"]})
        except UsageError:  # of a plug-in: what matters to every method
            method = method_for("source-only", "pooling")
        settings = RunSettings(
            method=method,
            recipe=Recipe(**known),
            weights=self.config.settings["weights"] if self.adapts else {},
            num_classes=len(self.classes),
            seed=0,
        )
        return settings.fields_read

    @property
    def is_exact(self) -> bool:
        """Whether nothing in it is random, so that other seeds would give the same: a closed form.

        It has one run.
        """
        return self.config.settings["method"].get("closed_form") is not None

    @property
    def total(self) -> int:
        """Labelled target validation videos."""
        return self.runs[0].result.rules["last"].total

    def chosen(self, rule: str) -> list[ChosenEpoch]:
        """Return what a rule chose, by seed; nothing where the row lacks the rule."""
        return [run.result.rules[rule] for run in self.runs] if rule in self.rules else []

    def percents(self, rule: str) -> list[float]:
        """Return the target accuracy of every seed in percent."""
        return [choice.percent for choice in self.chosen(rule)]

    def class_means(self, rule: str) -> list[float]:
        """Return the mean accuracy of the classes of every seed in percent; none with heads."""
        if self.heads or rule not in self.rules or not self.total:
            return []
        return [mean_class_percent(*told) for told in self._told(rule)]

    def open_set(self, rule: str) -> list[dict[str, float]]:
        """Return the measures of an open set of every seed in percent; none of a closed one."""
        if self.rejection is None or rule not in self.rules:
            return []
        label = self.rejection.label
        found = [open_set_percents(*told, label) for told in self._told(rule)]
        return found if all(found) else []

    def _told(self, rule: str) -> Iterator[tuple[list[int], list[int]]]:
        """Yield labels and classes of each seed's videos, without those of several heads."""
        for run in self.runs:
            told = [(p.label, p.chosen[rule]) for p in run.predictions]
            pairs = [(a, b) for a, b in told if isinstance(a, int) and isinstance(b, int)]
            yield [a for a, _ in pairs], [b for _, b in pairs]

    @property
    def tested_by_class(self) -> dict[str, int]:
        """Tested videos of each class, by name; empty with heads."""
        labels = Counter(p.label for p in self.runs[0].predictions if isinstance(p.label, int))
        return {name: labels[n] for n, name in enumerate(self.classes) if labels[n]}


@dataclass(frozen=True, kw_only=True)
class DirectionRuns:
    """The rows of one source and target; several sources joined are another source.

    Attributes:
        rows: In the order of the paper's Table 3, then other methods by name.
        heads: Names of the heads that were trained, in all rows the same; none where there is but
            one.
        kind: What the features are called, where a report has several kinds of them.
    """

    benchmark: str
    source: str
    target: str
    rows: tuple[RunGroup, ...]
    heads: tuple[str, ...] = ()
    kind: str = ""

    @property
    def label(self) -> str:
        """Source, target, benchmark and kind in words, and the heads where not all were trained."""
        some = f"{' and '.join(self.heads)} alone" if self.is_of_some_heads else ""
        inside = ", ".join(filter(None, (self.benchmark, some, self.kind)))
        return f"{self.source} → {self.target} ({inside})"

    @property
    def key(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What directions have in common that differ in their features alone."""
        return self.benchmark, self.source, self.target, self.heads

    @property
    def num_runs(self) -> int:
        """How many runs there are."""
        return sum(len(row.runs) for row in self.rows)

    @property
    def sources(self) -> tuple[str, ...]:
        """The datasets that are the source together, mostly one."""
        return self.rows[0].config.sources

    @property
    def is_of_some_heads(self) -> bool:
        """Whether there are heads that were not trained."""
        return len(self.heads) < len(heads_of(self.rows[0].config.settings))

    @property
    def is_labelled(self) -> bool:
        """Whether the tested videos have labels, so that there is an accuracy."""
        return self.rows[0].total > 0

    @property
    def rules(self) -> list[str]:
        """Selection rules of any row, also those that could choose no epoch; the oracle last."""
        withheld = {rule for row in self.rows for r in row.runs for rule in r.result.withheld}
        return sorted({rule for row in self.rows for rule in row.rules} | withheld, key=rule_place)


@dataclass(frozen=True, kw_only=True)
class RunSet:
    """What a report is made of, with a line on each run that was left out, and why.

    All runs are on features of one kind, which has a name where there are others.
    """

    directions: tuple[DirectionRuns, ...]
    notes: tuple[str, ...]
    kind: str = ""


Kind = tuple[FeatureConfig, ...]
"""How the features of each stream were made, whichever dataset they are of."""

_NAMED: Mapping[str, Callable[[object], str]] = {
    "backbone": str,
    "weights": lambda value: f"weights {value}",
    "frames": lambda value: f"frames {value}",
    "window": lambda value: f"windows of {value} frames" if value else "no windows",
    "window_step": lambda value: f"every {value} frames of a window",
    "window_pad": lambda value: f"windows padded by {value}",
    "profile": lambda value: f"profile {value}",
    "image_size": lambda value: f"{value} pixels",
    "timing": lambda value: f"time by {value}",
    "transform": lambda value: f"transform {value or 'of the profile'}",
    "feature_dim": lambda value: f"{value} features a frame",
    "source": lambda value: f"code {str(value)[:8] or 'built in'}",
}
"""Settings in the order in which they are named, with what is said of a value."""


def kind_of(config: RunConfig) -> Kind:
    """Return how the features of a run were made; those of equal kinds can be compared."""
    return tuple(features_of(config, number) for number in range(len(stream_records(config))))


def name_kinds(kinds: Sequence[Kind]) -> list[str]:
    """Return a name for each of different kinds: the first settings that tell all of them apart.

    Where all agree in a setting it is not named; several streams are joined by `+`.
    """
    names = [""] * len(kinds)
    for key, tell in _NAMED.items():
        told = [" + ".join(tell(getattr(stream, key)) for stream in kind) for kind in kinds]
        named = [f"{name}, {new}" if name else new for name, new in zip(names, told, strict=True)]
        if len(set(named)) > len(set(names)):
            names = named
    return names


def collect_kinds(*folders: Path) -> tuple[RunSet, ...]:
    """Find and group the finished runs under some folders, at any depth, by kind of features.

    The sets are in the order of their kinds' names; each has the notes on all folders.

    Raises:
        DataMissingError: If there is no such folder, or no finished run in any.
        DataConflictError: If runs were made from different features of one kind.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataMissingError(
                f"{folder} is no folder; give the one that ta3n-train --out wrote"
            )
    found = _Found(folders)
    if not found.runs:
        told = f"; found: {shorten(found.notes, _SHOWN_DIFFERENCES)}" if found.notes else ""
        where = " or ".join(map(str, folders))
        raise DataMissingError(f"no finished run in {where}{told}; make some with ta3n-train")
    by_kind: dict[Kind, list[Run]] = defaultdict(list)
    for run in found.runs.values():
        by_kind[kind_of(run.config)].append(run)
    named = zip(name_kinds([*by_kind]), by_kind.values(), strict=True)
    return tuple(_run_set(found, runs, kind) for kind, runs in sorted(named, key=lambda n: n[0]))


def _run_set(found: "_Found", runs: Sequence[Run], kind: str) -> RunSet:
    _check_same_features(found, runs)
    grouped: dict[tuple[str, str, str, tuple[str, ...]], list[Run]] = defaultdict(list)
    for run in runs:
        config = run.config
        # Right by one head and right by all are no figures of one table.
        heads = _trained_heads(config)
        grouped[config.benchmark, config.source, config.target, heads].append(run)
    directions = tuple(
        DirectionRuns(
            benchmark=benchmark,
            source=source,
            target=target,
            rows=_rows(group),
            heads=heads,
            kind=kind,
        )
        for (benchmark, source, target, heads), group in sorted(grouped.items())
    )
    return RunSet(directions=directions, notes=tuple(found.notes), kind=kind)


def _trained_heads(config: RunConfig) -> tuple[str, ...]:
    return tuple(head.name for head in heads_of(config.settings) if head.weight)


class _Found:
    """The finished runs under some folders, by hash and seed, and a note on everything else."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._seen: set[Path] = set()
        self.runs: dict[tuple[str, int], Run] = {}
        self.notes: list[str] = []
        for folder in folders:
            before = len(self._seen) + len(self.notes)
            for path in _run_folders(folder, self.notes):
                self._add(path)
            if len(folders) > 1 and len(self._seen) + len(self.notes) == before:
                self.notes.append(
                    f"{printable(folder.as_posix())}: no run that no other folder has"
                )

    def name(self, path: Path) -> str:
        """Return how a run's folder is called: within the folder searched, if there is but one."""
        alone = len(self._folders) == 1
        return printable((path.relative_to(self._folders[0]) if alone else path).as_posix())

    def _add(self, path: Path) -> None:
        # One folder may lie within another one.
        if (resolved := path.resolve()) in self._seen:
            return
        self._seen.add(resolved)
        try:
            run = read_run(path)
        except FeatureStoreError as error:
            self.notes.append(f"{self.name(path)}: {str(error).replace(f'{path}/', '')}")
            return
        first = self.runs.setdefault((run.config.hash, run.seed), run)
        if first is not run:
            self.notes.append(f"{self.name(path)}: the same run as {self.name(first.path)}")


def _run_folders(folder: Path, notes: list[str]) -> Iterator[Path]:
    """Yield what looks like a run, even an empty seed folder, in a fixed order."""

    def unreadable(error: OSError) -> None:
        notes.append(f"{error.filename}: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=unreadable):
        folders.sort()
        if _RUN_FILES & set(files) or _SEED_FOLDER.fullmatch(Path(root).name):
            yield Path(root)


def _check_same_features(found: _Found, runs: Sequence[Run]) -> None:
    """Refuse a mixture: accuracies on other features, or other videos, are not comparable."""
    seen: dict[str, tuple[Any, Run]] = {}
    for run in runs:
        differences = [
            f"{key} is {_short(seen[key][0])} in {found.name(seen[key][1].path)} but "
            f"{_short(value)} in {found.name(run.path)}"
            for key, value in _data_facts(run).items()
            if seen.setdefault(key, (value, run))[0] != value
        ]
        if differences:
            raise DataConflictError(
                f"runs made from different features cannot share a report: "
                f"{'; '.join(differences[:_SHOWN_DIFFERENCES])}; report them apart, or train "
                "again on one set of features"
            )


def _data_facts(run: Run) -> dict[str, Any]:
    config = run.config
    facts = {
        f"the manifest of {name}{f' of stream {number}' if number > 1 else ''}": value
        for number, stream in enumerate(stream_records(config), 1)
        for name, value in stream["manifests"].items()
    }
    # The benchmark decides which of a dataset's videos are used; of a partial or open one they are
    # others as a source than as a target.
    apart = "label_sets" in config.settings
    for name, value in config.data["lists"].items():
        role = (" as the target" if name == config.target else " as a source") if apart else ""
        facts[f"the list of {config.benchmark} {name}{role}"] = value
    videos = canonical_json([[p.video, p.all_labels or p.label] for p in run.predictions])
    return facts | {f"what was tested of {config.benchmark} {config.target}": sha256_of(videos)}


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _rows(runs: Sequence[Run]) -> tuple[RunGroup, ...]:
    by_hash: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_hash[run.config.hash].append(run)
    configs = [group[0].config for group in by_hash.values()]
    newcomers = sorted({config.method for config in configs} - set(paper_methods()))
    rows = [
        RunGroup(
            config=config,
            runs=tuple(sorted(group, key=lambda run: run.seed)),
            variant=variant,
            newcomer=newcomers.index(config.method) if config.method in newcomers else 0,
        )
        for config, group, variant in zip(
            configs, by_hash.values(), variants_of(configs), strict=True
        )
    ]
    return tuple(sorted(rows, key=_place))


def _place(row: RunGroup) -> tuple[Any, ...]:
    config = row.config
    return method_place(config.method), config.temporal, row.variant, config.hash


def _method(config: RunConfig) -> str:
    return config.label or method_label(config.method)


def variants_of(configs: Sequence[RunConfig]) -> list[str]:
    """Return for each row the settings in which those that would be called the same differ."""
    same: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, config in enumerate(configs):
        same[_method(config), config.temporal].append(place)
    variants = [""] * len(configs)
    for places in same.values():
        named = _variants([_flat(configs[place].settings) for place in places])
        for place, name in zip(places, named, strict=True):
            if not name and len(places) > 1:
                name = configs[place].hash[:8]
            variants[place] = name
    return variants


def _variants(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in which of their settings rows differ, all that are called the same."""
    if len(rows) == 1:
        # Without a source there is always a run that it started from.
        told = _START in rows[0] and rows[0].get("method.trains_on") != "nothing"
        return [f"from {rows[0][_START]}" if told else ""]
    keys = dict.fromkeys(chain.from_iterable(rows))
    differing = [
        key
        for key in keys
        if key not in _TOLD_BY_THE_NAME and len({str(row.get(key)) for row in rows}) > 1
    ]
    variants = []
    for row in rows:
        named = [
            f"{_CALLED.get(key, key.rpartition('.')[2])} {_short(row[key])}"
            for key in differing
            if row.get(key) is not None
        ]
        if _START in keys and _START not in row:
            named.append("from scratch")
        variants.append(shorten(named, _SHOWN_DIFFERENCES))
    return variants


_START = "init_from.method"
_CALLED = {_START: "from", "init_from.seed": "from seed", "init_from.hash": "from run"}
_TOLD_BY_THE_NAME = (
    "method.label", "method.terms", "plugins", "init_from.label", "init_from.temporal",
)  # fmt: skip


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings on one level, `a.b` for b within a."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
