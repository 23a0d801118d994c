"""Run folders: all that is kept of a run, complete or not there.

`config.json` says what was run, `metrics.jsonl` what each epoch gave, `predictions.csv` what was
predicted for each target video, `result.json` the figures of the finished run, `environment.json`
where it ran. `checkpoint.pt` holds the state to resume from; a finished run has `weights.pt`
instead, the weights at the epochs that rules chose. A run that diverged has `diverged.json`, and no
figures: it is not tried again until its folder is removed.
"""

import csv
import io
import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from ta3n.common.errors import FeatureStoreError
from ta3n.common.files import (
    canonical_json,
    remove_stale_temporaries,
    replace_file,
    sha256_of,
)
from ta3n.common.log import LOGGER
from ta3n.train.runs.selection import ChosenEpoch, mean_class_percent

_RECORDED_PACKAGES = ("ta3n", "torch", "numpy", "h5py")
_HASH_DIGITS = 8

T = TypeVar("T")

OLD_HASH = "version 0.1"
"""In the identity of a run of that version, beside the hash that it had."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run is, apart from its seed; datasets by their full names.

    Attributes:
        source: Name of the source; of several those of all, joined by +.
        label: What tables call the method.
        identity: What it is hashed by, beside benchmark, direction and data: all that the method
            reads, where it is not as usual.
        settings: Every hyper-parameter in force, for who reads the record.
        data: Hashes of manifests and lists, feature configuration, numbers of videos.
    """

    benchmark: str
    source: str
    target: str
    method: str
    temporal: str
    label: str
    identity: Mapping[str, Any]
    settings: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, of which there is mostly one."""
        return tuple(self.settings.get("sources", (self.source,)))

    @property
    def are_domains(self) -> bool:
        """Whether each of several sources is a domain of its own."""
        return self.settings.get("domains") == "each"

    @property
    def hash(self) -> str:
        """SHA-256 of what makes two runs one."""
        if OLD_HASH in self.identity:
            return str(self.identity[OLD_HASH])
        made_of = ("benchmark", "source", "target", "identity", "data")
        return sha256_of(canonical_json({name: getattr(self, name) for name in made_of}))

    def folder(self, out: Path, seed: int) -> Path:
        """Return where the run with a seed is kept; another configuration has another folder."""
        digits = self.hash[:_HASH_DIGITS]
        recipe = self.settings["recipe"]["name"]
        each = "-each" if self.are_domains else ""
        row = f"{self.method}-{self.temporal}-{recipe}{each}-{digits}"
        pair = out / self.benchmark / f"{self.source}-{self.target}"
        # The same run may have been asked for in other words, and have another name.
        others = [] if (pair / row).exists() else sorted(pair.glob(f"*-{digits}"))
        return (others[0] if others else pair / row) / f"seed-{seed}"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The figures of a finished run.

    Attributes:
        rules: The epochs chosen, by name of the selection rule.
        target_label_reads: How many single target labels were read.
        coverage: Videos that an epoch used, out of how many, by domain.
        withheld: In how many epochs the score of a rule was withheld, by rule and reason.
        troubles: What is wrong with the last epoch, by kind, see `runs/troubles.py`.
    """

    seed: int
    rules: Mapping[str, ChosenEpoch]
    target_label_reads: int
    coverage: Mapping[str, tuple[int, int]]
    withheld: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)

    def log(self) -> None:
        """Log the figures, and how many videos an epoch used."""
        rules = ", ".join(f"{name} {_told(rule)}" for name, rule in self.rules.items())
        used = ", ".join(f"{n} of {of} {domain}" for domain, (n, of) in self.coverage.items())
        withheld = "".join(
            f"; {rule} withheld in {sum(reasons.values())} epochs"
            for rule, reasons in self.withheld.items()
        )
        LOGGER.info("seed %d: %s; an epoch used %s videos%s", self.seed, rules, used, withheld)


def _told(rule: ChosenEpoch) -> str:
    if rule.by_head or not rule.total:
        return f"epoch {rule.epoch} ({rule.told()})"
    return f"{rule.percent:.2f} % ({rule.correct}/{rule.total}, epoch {rule.epoch})"


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """What ended a run whose figures stopped being finite.

    Attributes:
        epoch: In which, from 1; the epochs before it are kept.
        loss: What was not finite.
        message: All about it, in one line.
        source_videos: Of the batch.
        target_videos: Likewise.
    """

    seed: int
    epoch: int
    loss: str
    message: str
    source_videos: Sequence[str]
    target_videos: Sequence[str]

    @property
    def reason(self) -> str:
        """Where and why, in a few words."""
        return f"diverged in epoch {self.epoch} ({self.loss} was not finite)"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder, made when first written."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Where the state to resume from lies."""
        return self.path / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """Where the weights that are kept of a finished run lie."""
        return self.path / "weights.pt"

    def is_finished(self) -> bool:
        """Say whether the figures are there; what a kill left beside them goes, if it can.

        Raises:
            FeatureStoreError: If the figures are damaged.
        """
        if self.read_result() is None:
            return False
        # They count also where nothing can be written: in an archive, or somebody else's folder.
        with suppress(OSError):
            self._remove_checkpoint()
        remove_stale_temporaries(self.path)
        return True

    def _remove_checkpoint(self) -> None:
        # A run of version 0.1 has its last weights there alone.
        if self.weights.exists():
            self.checkpoint.unlink(missing_ok=True)

    def write_divergence(self, divergence: Divergence) -> None:
        """Write what ended the run."""
        write_json(self.path / "diverged.json", asdict(divergence))

    def read_divergence(self) -> Divergence | None:
        """Return what ended a run that diverged, or None.

        Raises:
            FeatureStoreError: If the file is damaged.
        """
        return self._read("diverged.json", lambda raw: Divergence(**raw))

    def _read(self, name: str, make: Callable[[Any], T]) -> T | None:
        """Return what is made of a record; None if it is not there."""
        path = self.path / name
        try:
            return make(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FeatureStoreError(
                f"{path} is damaged: {error}; remove the folder and train this seed again"
            ) from error

    def write_start(self, config: RunConfig, seed: int) -> None:
        """Write what is run; what a killed run was writing goes."""
        remove_stale_temporaries(self.path)
        record = asdict(config)
        checks = {"hash": config.hash, "checksum": sha256_of(canonical_json(record))}
        write_json(self.path / "config.json", {**record, "seed": seed, **checks})

    def read_config_hash(self) -> str:
        """Return the hash of what is run, from `config.json`.

        Raises:
            FeatureStoreError: If the file is damaged.
            OSError: If it cannot be read.
        """
        path = self.path / "config.json"
        try:
            return str(json.loads(path.read_bytes())["hash"])
        except (ValueError, TypeError, KeyError) as error:
            raise FeatureStoreError(f"{path} is damaged: {error}") from error

    def write_environment(
        self, device: str, num_threads: int, seconds_per_epoch: float | None
    ) -> None:
        """Write where it ran and how fast, where that is known."""
        environment = {
            **{name: version(name) for name in _RECORDED_PACKAGES},
            "python": platform.python_version(),
            "device": device,
            "threads": num_threads,
            **(
                {}
                if seconds_per_epoch is None
                else {"seconds_per_epoch": round(seconds_per_epoch, 4)}
            ),
        }
        write_json(self.path / "environment.json", environment)

    def write_metrics(self, epochs: Sequence[Mapping[str, Any]]) -> None:
        """Write a line for each epoch."""
        lines = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
        replace_file(self.path / "metrics.jsonl", lines.encode())

    def write_predictions(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a row for each target validation video, all with the same columns."""
        values = [tuple(row.values()) for row in rows]
        write_csv(self.path / "predictions.csv", tuple(rows[0]), values)

    def write_result(self, result: RunResult) -> None:
        """Write the figures; the run counts as finished from then on and has no checkpoint."""
        record = asdict(result)
        if not result.troubles:
            del record["troubles"]
        for rule in record["rules"].values():
            for name in ("by_head", "mean_class", "open_set"):
                if rule[name] in (None, {}):
                    del rule[name]
        write_json(self.path / "result.json", record)
        (self.path / "diverged.json").unlink(missing_ok=True)
        self._remove_checkpoint()

    def read_figures(self) -> RunResult | None:
        """Return the figures of a finished run with the mean of the classes, or None.

        Older records do not tell that mean: it is computed from the predictions, and stays unknown
        where these cannot be read.

        Raises:
            As `read_result`.
        """
        result = self.read_result()
        if result is None or all(r.mean_class is not None for r in result.rules.values()):
            return result
        try:
            text = (self.path / "predictions.csv").read_bytes().decode(errors="surrogateescape")
            rows = list(csv.DictReader(io.StringIO(text)))
            rules = {
                name: replace(rule, mean_class=_mean_class(rows, name))
                if rule.mean_class is None and rule.total and not rule.by_head
                else rule
                for name, rule in result.rules.items()
            }
        except (OSError, ValueError, KeyError, TypeError):
            return result
        return replace(result, rules=rules)

    def read_result(self) -> RunResult | None:
        """Return the figures of a finished run, or None.

        Raises:
            FeatureStoreError: If the file is damaged.
        """
        return self._read("result.json", _result)


def _result(raw: dict[str, Any]) -> RunResult:
    rules = {name: ChosenEpoch(**rule) for name, rule in raw.pop("rules").items()}
    coverage = {name: (used, of) for name, (used, of) in raw.pop("coverage").items()}
    return RunResult(rules=rules, coverage=coverage, **raw)


def _mean_class(rows: Sequence[Mapping[str, str]], rule: str) -> float:
    """Return the mean of the classes by what a rule's epoch predicts."""
    return mean_class_percent(*([int(row[column]) for row in rows] for column in ("label", rule)))


def read_divergences(folders: Iterable[Path]) -> dict[Path, Divergence]:
    """Return what ended the runs that diverged, among run folders, by folder.

    Raises:
        FeatureStoreError: If a record is damaged.
    """
    found = ((folder, RunFolder(folder).read_divergence()) for folder in folders)
    return {folder: divergence for folder, divergence in found if divergence is not None}


def write_json(path: Path, value: Any) -> None:
    """Write a record that people read too.

    Raises:
        OSError: If it cannot be written.
    """
    replace_file(path, (json.dumps(value, indent=1) + "\n").encode())


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table. A file name need not be valid Unicode; its bytes are kept.

    Raises:
        OSError: If it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode(errors="surrogateescape"))
