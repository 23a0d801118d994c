"""Run folders read back: found, and consistent with themselves or refused with the reason.

Needs no torch.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from ta3n.common.errors import DataConflictError, DataMissingError, FeatureStoreError, reason_of
from ta3n.common.files import canonical_json, sha256_of
from ta3n.common.records import FeatureConfig
from ta3n.common.sampling import FrameSelection
from ta3n.datasets.benchmarks.benchmark import (
    BUILT_IN,
    UNLABELLED,
    Benchmark,
    Head,
    Label,
    LabelSets,
    Side,
)
from ta3n.datasets.benchmarks.registry import BUILT_IN_DATASETS
from ta3n.datasets.custom.loose import VIDEOS
from ta3n.datasets.published.registry import PUBLISHED_DATASETS
from ta3n.train.methods.heads import ClassHead, columns_of, heads_of
from ta3n.train.methods.rejection import rejection_of
from ta3n.train.paper.labels import method_label
from ta3n.train.runs.folder import OLD_HASH, RunConfig, RunFolder, RunResult

_RECIPE_KEYS = ("name", "epochs", "source_batch", "learning_rate", "num_segments")
_FEATURE_KEYS = ("backbone", "weights", "profile", "image_size", "frames", "feature_dim")
_RANK = "last_rank_"
_DATA_KEYS = ("manifests", "lists", "videos")
_SEED_FOLDER = re.compile(r"seed-(\d+)")

_OTHERWISE = (ValueError, TypeError, KeyError, AttributeError)
"""What comes of reading a file that is no JSON, or that another version wrote."""


@dataclass(frozen=True, slots=True)
class PredictedVideo:
    """What a run said about one target validation video, a path within the dataset.

    With several heads label and prediction are one of each that is trained.

    Attributes:
        label: -1 where the video has none.
        chosen: Class predicted after the epoch that a selection rule chose, by rule.
        all_labels: With several heads the label of each, trained or not.
        ranks: With those of a challenge how many classes the last epoch puts before the true one,
            by trained head, and pairs as `action`; -1 without a label. Older runs have none.
    """

    video: str
    label: Label
    chosen: Mapping[str, Label]
    all_labels: tuple[int, ...] = ()
    ranks: Mapping[str, int] = field(default_factory=dict)

    @property
    def last(self) -> Label:
        """Class predicted after the last epoch."""
        return self.chosen["last"]

    @property
    def is_labelled(self) -> bool:
        """Whether its classes are known."""
        return UNLABELLED not in (self.all_labels or (self.label,))


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run.

    Attributes:
        epochs: A record for each epoch, as `metrics.jsonl` has it.
        predictions: One for each target validation video, in order of path.
        environment: Versions and device, empty where they were not kept.
    """

    path: Path
    config: RunConfig
    result: RunResult
    epochs: tuple[Mapping[str, Any], ...]
    predictions: tuple[PredictedVideo, ...]
    environment: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.result.seed

    @property
    def is_labelled(self) -> bool:
        """Whether the tested videos have labels, so that there is an accuracy."""
        return self.result.rules["last"].total > 0

    @property
    def accuracies(self) -> list[float]:
        """Target accuracy after each epoch, in percent; none without labels."""
        if not self.is_labelled:
            return []
        return [100 * e["target_correct"] / e["target_total"] for e in self.epochs]

    def scores(self, rule: str) -> list[float | None]:
        """Return what the validator behind a rule scored after each epoch, None where it could not.

        Higher is better. `last` and `oracle` have no validator.
        """
        found = [e.get("validators", {}).get(rule) for e in self.epochs]
        return [s if isinstance(s, (int, float)) and isfinite(s) else None for s in found]

    def measures(self, rule: str) -> list[Mapping[str, float]]:
        """Return what the scores of a rule rest on, for each epoch that has it."""
        found = [e.get("measures", {}).get(rule) for e in self.epochs]
        return [measures for measures in found if isinstance(measures, Mapping)]


def read_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        FeatureStoreError: If the run is not finished, or a file is missing, damaged, or
            contradicts another; the message does not name the folder.
    """
    try:
        config, seed = _read_config(path)
        epochs = _read_epochs(path)
        result = RunFolder(path).read_result()
        if result is None:
            if (divergence := RunFolder(path).read_divergence()) is not None:
                raise FeatureStoreError(divergence.reason)
            planned = config.settings["recipe"]["epochs"]
            raise FeatureStoreError(f"unfinished, {len(epochs)} of {planned} epochs are saved")
        run = Run(
            path=path,
            config=config,
            result=result,
            epochs=epochs,
            predictions=_read_predictions(path, tuple(result.rules), heads_of(config.settings)),
            environment=_read_environment(path / "environment.json"),
        )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FeatureStoreError(f"broken, {Path(error.filename or path).name}: {reason}") from error
    except _OTHERWISE as error:
        raise FeatureStoreError(f"broken, {reason_of(error)}") from error
    _check(run, seed)
    return run


def find_runs(path: Path) -> list[Path]:
    """Return a run folder itself, or those of all seeds in a folder, in order of seed.

    Raises:
        DataMissingError: If there is no run.
    """
    if (path / "config.json").is_file():
        return [path]
    seeds = {
        int(match[1]): folder
        for folder in (path.iterdir() if path.is_dir() else ())
        if (match := _SEED_FOLDER.fullmatch(folder.name)) and (folder / "config.json").is_file()
    }
    if not seeds:
        raise DataMissingError(
            f"no run in {path}; name a folder seed-N with its config.json, or the one above it"
        )
    return [folder for _, folder in sorted(seeds.items())]


def features_of(config: RunConfig, stream: int = 0) -> FeatureConfig:
    """Return how the features of a run were made, and how those of other videos have to be."""
    made = stream_records(config)[stream]["features"]
    return FeatureConfig.model_validate({"dataset": VIDEOS, **made})


def stream_records(config: RunConfig) -> tuple[Mapping[str, Any], ...]:
    """Return what a run recorded of each stream of features: `features` and `manifests`."""
    return config.data, *config.data.get("streams", ())


def check_features(
    config: RunConfig, run: Path, features: Sequence[FeatureConfig], folder: Path
) -> None:
    """Refuse streams of features, in a folder, that were made otherwise than those of a run.

    Raises:
        DataConflictError: With the differences.
    """
    wanted = len(stream_records(config))
    differences = [f"{len(features)} streams (--features), in the run {wanted}"]
    if len(features) == wanted:
        differences = [
            f"{f'stream {number + 1}: ' if wanted > 1 else ''}{difference}"
            for number, made in enumerate(features)
            for difference in feature_differences(config, made, number)
        ]
    if differences:
        raise DataConflictError(
            f"the features in {folder} were made otherwise than those that {run} was trained on: "
            f"{'; '.join(differences)}"
        )


def feature_differences(config: RunConfig, features: FeatureConfig, stream: int = 0) -> list[str]:
    """Return in words where features were made otherwise than those that a run was trained on.

    Features of all frames and of the sampled ones alone are the same where both have a frame.
    """
    of_a_dataset = {"dataset", "reading"}
    ours = features_of(config, stream).model_dump(exclude=of_a_dataset)
    theirs = features.model_dump(exclude=of_a_dataset)
    if not any(FrameSelection.parse(each["frames"]).is_regular for each in (ours, theirs)):
        del ours["frames"], theirs["frames"]
    return [
        f"{key} is {theirs.get(key) or 'none'}, in the run {ours.get(key) or 'none'}"
        for key in ours | theirs
        if theirs.get(key) != ours.get(key)
    ]


def benchmark_record(benchmark: Benchmark) -> dict[str, Any]:
    """Return what a run keeps of its benchmark: class folders and splits of each dataset.

    So one's own benchmark is known without its settings file.
    """
    return {
        dataset: {
            "labels": dict(side.labels),
            "split": side.split or benchmark.split,
            **({"tested": side.tested} if side.tested != "val" else {}),
        }
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
    names = tuple(config.settings["classes"])
    heads = heads_of(config.settings)
    columns = columns_of(heads)
    return Benchmark(
        name=config.benchmark,
        class_names=names,
        sides={name: Side(**side) for name, side in sides.items()},
        heads=tuple(Head(h.name, names[columns[h.name]], h.weight) for h in heads),
        label_sets=label_sets_of(config),
    )


def label_sets_of(config: RunConfig) -> LabelSets | None:
    """Return which classes the target of a run has, where they are not those of its source."""
    if (recorded := config.settings.get("label_sets")) is None:
        return None
    return LabelSets(
        base=recorded["base"],
        target_classes=tuple(recorded["target_classes"]),
        unknown=tuple(recorded["unknown"]),
    )


def base_of(config: RunConfig) -> str:
    """Return the benchmark of a run; where the target is partial or open, that of its classes."""
    sets = label_sets_of(config)
    return config.benchmark if sets is None else sets.base


def side_named(benchmark: Benchmark, name: str) -> str:
    """Return the full name of a dataset of a benchmark.

    Built-in ones, and those that are known by published lists, have their short names too.

    Raises:
        UsageError: The benchmark does not hold it.
    """
    wanted = name.lower()
    if wanted not in benchmark.sides:
        known = (*BUILT_IN_DATASETS, *PUBLISHED_DATASETS)
        wanted = {d.short_name: d.name for d in known}.get(wanted, wanted)
    benchmark.side(wanted)
    return wanted


def read_config(path: Path) -> tuple[RunConfig, int]:
    """Return what was run, finished or not, and its seed.

    Raises:
        FeatureStoreError: If the record is damaged, or another version wrote it.
        OSError: If it cannot be read.
    """
    try:
        config, seed = _read_config(path)
        features_of(config)
    except FeatureStoreError as error:
        raise FeatureStoreError(f"{path}: {error}") from error
    except _OTHERWISE as error:
        raise FeatureStoreError(
            f"{path / 'config.json'} is damaged or of another version: {reason_of(error)}; "
            "train again with this one"
        ) from error
    return config, seed


def _read_config(path: Path) -> tuple[RunConfig, int]:
    raw = json.loads((path / "config.json").read_bytes())
    seed, recorded = raw.pop("seed"), raw.pop("hash")
    is_old = "checksum" not in raw
    checksum = raw.pop("checksum", recorded)
    whole = sha256_of(canonical_json(raw))
    # Runs that do not tell are older than the choice.
    raw["settings"] = {"rules_on": "val", **raw["settings"]}
    config = _of_version_0_1(raw, recorded) if is_old else RunConfig(**raw)
    if whole != checksum:
        raise FeatureStoreError("broken, config.json does not match its own hash")
    _check_keys(config)
    return config, seed


def _check_keys(config: RunConfig) -> None:
    """Raise a KeyError where another version left out what the report relies on."""
    settings, data = config.settings, config.data
    _ = [settings["recipe"][key] for key in _RECIPE_KEYS]
    _ = [data["features"][key] for key in _FEATURE_KEYS]
    _ = [data[key][name] for key in _DATA_KEYS for name in (*config.sources, config.target)]
    _ = settings["method"], settings["classes"], settings["weights"], settings["published"]


def _of_version_0_1(raw: Mapping[str, Any], recorded: str) -> RunConfig:
    """Return what a run of version 0.1 is: it recorded switches, and hashed everything."""
    settings = dict(raw["settings"])
    switches, trade_offs = settings.pop("method"), dict(settings.pop("adaptation"))
    coefficients = trade_offs.pop("coefficients")
    terms = [f"adversarial_{level}" for level in switches.get("discriminators", ())]
    for switch, names in _OLD_SWITCHES.items():
        terms += [names[switches[switch]]] if switches.get(switch, "none") != "none" else []
    method = {
        "name": raw["method"],
        "label": method_label(raw["method"]),
        "temporal": raw["temporal"],
        "terms": terms,
        "attention": switches.get("attention", "none"),
        "trains_on": switches.get("trains_on", "source"),
    }
    weights = {f"beta_{level}": value for level, value in coefficients.items()}
    published = trade_offs.pop("published")
    settings |= {"method": method, "weights": {**weights, **trade_offs}, "published": published}
    return RunConfig(
        **{**raw, "settings": settings}, label=method["label"], identity={OLD_HASH: recorded}
    )


_OLD_SWITCHES = {
    "entropy": {"attentive": "attentive_entropy", "target": "target_entropy"},
    "alignment": {name: f"discrepancy_{name}" for name in ("dan", "jan", "mcd")},
    "attention": {"domain": "domain_attention", "conventional": "conventional_attention"},
    "norm": {"adabn": "adabn"},
}


def _read_epochs(path: Path) -> tuple[Mapping[str, Any], ...]:
    file = path / "metrics.jsonl"
    # The first checkpoint of a run in progress writes it: its absence alone is no damage.
    if not file.exists() and not (path / "result.json").exists():
        return ()
    return tuple(json.loads(line) for line in file.read_text("utf-8").splitlines())


def _read_predictions(
    path: Path, rules: Sequence[str], heads: Sequence[ClassHead]
) -> tuple[PredictedVideo, ...]:
    text = (path / "predictions.csv").read_bytes().decode(errors="surrogateescape")
    reader = csv.DictReader(io.StringIO(text))
    trained = [head.name for head in heads if head.weight]
    wanted = [f"{rule}_{head}" for rule in rules for head in trained] if heads else rules
    if lacking := [name for name in wanted if name not in (reader.fieldnames or ())]:
        raise FeatureStoreError(f"broken, predictions.csv lacks the column {lacking[0]}")
    if heads:
        return tuple(_of_heads(row, rules, heads) for row in reader)
    return tuple(
        PredictedVideo(row["video"], int(row["label"]), {rule: int(row[rule]) for rule in rules})
        for row in reader
    )


def _of_heads(
    row: Mapping[str, str], rules: Sequence[str], heads: Sequence[ClassHead]
) -> PredictedVideo:
    labels = {head.name: int(row[f"label_{head.name}"] or UNLABELLED) for head in heads}
    trained = [head.name for head in heads if head.weight]
    return PredictedVideo(
        row["video"],
        tuple(labels[name] for name in trained),
        {rule: tuple(int(row[f"{rule}_{name}"]) for name in trained) for rule in rules},
        tuple(labels.values()),
        {
            column.removeprefix(_RANK): int(value or UNLABELLED)
            for column, value in row.items()
            if column.startswith(_RANK)
        },
    )


def _read_environment(file: Path) -> Mapping[str, Any]:
    return dict(json.loads(file.read_bytes())) if file.exists() else {}


def _check(run: Run, seed: int) -> None:
    """Hold the files against each other, so that no figure of the report rests on half a run."""
    try:
        last, planned = run.result.rules["last"], run.config.settings["recipe"]["epochs"]
        num_classes = len(run.config.settings["classes"])
        num_classes += rejection_of(run.config.settings) is not None
        heads = heads_of(run.config.settings)
        counts = [head.num_classes for head in heads if head.weight]
        checks = {
            f"result.json is of seed {run.seed}, config.json of {seed}": run.seed == seed,
            f"metrics.jsonl has {len(run.epochs)} of {planned} epochs": (
                [e["epoch"] for e in run.epochs] == list(range(1, planned + 1))
                and last.epoch == planned
            ),
            "metrics.jsonl does not end with the accuracy of result.json": (
                (run.epochs[-1]["target_correct"], run.epochs[-1]["target_total"])
                == (last.correct, last.total)
            ),
            **_checked_predictions(run),
            "result.json counts more videos than there are": all(
                0 <= rule.correct <= rule.total == last.total for rule in run.result.rules.values()
            ),
            f"predictions.csv has classes beyond the {num_classes} of config.json": all(
                _within(each, counts or [num_classes], may_lack=bool(heads) and each is p.label)
                for p in run.predictions
                for each in (p.label, *p.chosen.values())
            ),
            "metrics.jsonl lacks the losses": all(
                e["target_total"] == last.total and all(v == v for v in e["losses"].values())
                for e in run.epochs
            ),
        }
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise FeatureStoreError(f"broken, {type(error).__name__}: {error}") from error
    for problem, holds in checks.items():
        if not holds:
            raise FeatureStoreError(f"broken, {problem}")


def _within(classes: Label, counts: Sequence[int], *, may_lack: bool) -> bool:
    each = (classes,) if isinstance(classes, int) else classes
    unlabelled = may_lack and set(each) == {UNLABELLED}
    return unlabelled or all(0 <= n < count for n, count in zip(each, counts, strict=True))


def _checked_predictions(run: Run) -> dict[str, bool]:
    """Hold what each rule chose against the predictions of its epoch."""
    checks = {}
    for name, rule in run.result.rules.items():
        labelled = [p for p in run.predictions if p.is_labelled]
        hits = sum(p.label == p.chosen[name] for p in labelled)
        found, recorded = (hits, len(labelled)), (rule.correct, rule.total)
        message = (
            f"predictions.csv has {hits} of {len(labelled)} videos right by the rule "
            f"{name}, result.json {rule.correct} of {rule.total}"
        )
        checks[message] = found == recorded
    videos = [prediction.video for prediction in run.predictions]
    checks["predictions.csv names a video twice"] = len(set(videos)) == len(videos)
    return checks
