"""Runs that were trained: where they lie, what they are, and the weights that a rule chose.

Legend: D cached feature width.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ta3n.common.errors import DataConflictError, DataMissingError, FeatureStoreError, Ta3nError
from ta3n.common.records import FeatureConfig
from ta3n.datasets.custom.loose import VIDEOS
from ta3n.train.methods.method import Method
from ta3n.train.model.model import TA3N, model_spec
from ta3n.train.recipe.recipes import Recipe
from ta3n.train.runs.folder import RunConfig, RunFolder
from ta3n.train.runs.records import read_config
from ta3n.train.runs.selection import LAST

_SEED_FOLDER = re.compile(r"seed-(\d+)")


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model as it was after an epoch.

    Attributes:
        model: In evaluation mode, on the CPU.
        epoch: From 1.
    """

    model: TA3N
    epoch: int


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


def read_trained_config(path: Path) -> tuple[RunConfig, int]:
    """Return what was run, and its seed.

    Raises:
        FeatureStoreError: If the record is damaged, or another version wrote it.
        OSError: If it cannot be read.
    """
    try:
        config, seed = read_config(path)
        features_of(config)
    except FeatureStoreError as error:
        raise FeatureStoreError(f"{path}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FeatureStoreError(
            f"{path / 'config.json'} is damaged or of another version: {_first_line(error)}; "
            "train again with this one"
        ) from error
    return config, seed


def features_of(config: RunConfig) -> FeatureConfig:
    """Return how the features of a run were made, and how those of other videos have to be."""
    return FeatureConfig.model_validate({"dataset": VIDEOS, **config.data["features"]})


def load_trained(
    path: Path, config: RunConfig, *, seed: int | None = None, rule: str = LAST
) -> TrainedModel:
    """Rebuild the model that a selection rule chose.

    Args:
        path: The run folder.
        config: What was run.
        seed: Its seed, to be held against the file; None leaves that out.
        rule: `last`, or another one whose weights are kept.

    Raises:
        DataMissingError: If its weights are not there.
        FeatureStoreError: If they are damaged or of another model.
        DataConflictError: If they are of another run.
    """
    folder = RunFolder(path)
    file = folder.checkpoint if rule == LAST else folder.best(rule)
    if not file.exists():
        raise DataMissingError(f"no {file.name} in {path}{_why_missing(path, rule)}")
    try:
        # Mapped: the optimiser's half of the file is never read.
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        if rule == LAST:
            weights, epoch = state["trainer"]["model"], len(state["scores"])
            found = state["trainer"]["identity"]["seed"], config.hash, LAST
        else:
            weights, epoch = state["model"], state["epoch"]
            found = state["seed"], state["config_hash"], state["rule"]
        if found != (found[0] if seed is None else seed, config.hash, rule):
            raise DataConflictError(f"{file} is of another run than config.json beside it")
        model = _build(config)
        model.load_state_dict(weights)
    except Ta3nError:
        raise
    except (
        RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError, UnpicklingError,
    ) as error:  # fmt: skip
        raise FeatureStoreError(f"{file} cannot be used: {_first_line(error)}") from error
    return TrainedModel(model=model.eval().requires_grad_(False), epoch=epoch)


def _build(config: RunConfig) -> TA3N:
    def tupled(values: Mapping[str, Any]) -> dict[str, Any]:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    spec = model_spec(
        Method(**tupled(config.settings["method"])),
        Recipe(**tupled(config.settings["recipe"])),
        num_classes=len(config.settings["classes"]),
        feature_dim=config.data["features"]["feature_dim"],
    )
    return TA3N(spec, torch.Generator().manual_seed(0))


def _why_missing(path: Path, rule: str) -> str:
    if not RunFolder(path).checkpoint.exists():
        return ": no epoch of this run was saved"
    return f": the run has no score for the rule {rule}; use --rule last"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
