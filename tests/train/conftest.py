"""Fixtures for the tests of stage two: the reference figures, and small data and runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.registry import method_for
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.recipe.recipes import OFFICIAL

from ..support.feature_folders import made_clips, make_features

GOLDEN = Path(__file__).parents[1] / "golden"
CLASSES, SEGMENTS, WIDTH = 3, 5, 8


@pytest.fixture(scope="session")
def golden_reference() -> Any:
    """Return the reference figures of the model, by case."""
    return json.loads((GOLDEN / "ta3n_reference.json").read_text())


@pytest.fixture(scope="session")
def golden_functions() -> Any:
    """Return the reference figures of losses and schedules."""
    return json.loads((GOLDEN / "functions_reference.json").read_text())


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return made-up features of both datasets of `ucf-hmdb-small`."""
    folder = tmp_path_factory.mktemp("features")
    for seed, dataset in enumerate(("ucf101", "hmdb51")):
        make_features(folder, dataset, made_clips(dataset), seed=seed)
    return folder


@pytest.fixture(scope="session")
def wave() -> Callable[[tuple[int, ...], float, float], Tensor]:
    """Return the function that made the inputs of the reference figures."""

    def make(shape: tuple[int, ...], k: float, scale: float) -> Tensor:
        j = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
        return (scale * torch.sin(0.61 * (j + 1) + k)).reshape(shape)

    return make


@pytest.fixture(scope="session")
def make_data() -> Callable[..., TrainingData]:
    """Return a maker of separable classes whose target is shifted against the source."""

    def make(num_source: int = 21, num_target: int = 13, seed: int = 0) -> TrainingData:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(num_source) % CLASSES
        centres = 3 * torch.eye(WIDTH)[:CLASSES]

        def draw(classes: Tensor) -> Tensor:
            noise = torch.randn(len(classes), SEGMENTS, WIDTH, generator=generator)
            return centres[classes][:, None] + 0.3 * noise

        return TrainingData(
            source_features=draw(labels),
            source_labels=labels,
            target_features=draw(torch.arange(num_target) % CLASSES) + 0.5,
        )

    return make


@pytest.fixture(scope="session")
def make_trainer(make_data: Callable[..., TrainingData]) -> Callable[..., Trainer]:
    """Return a maker of small runs; keywords beyond its own go to the recipe."""

    def make(
        method: str = "ta3n",
        temporal: Any = "relation",
        *,
        data: TrainingData | None = None,
        seed: int = 1,
        **recipe: Any,
    ) -> Trainer:
        small = {"hidden_dim": 16, "relation_dim": 8, "source_batch": 8, "epochs": 4, **recipe}
        chosen = method_for(method, temporal)
        usual = direction_weights("ucf-hmdb-full", "hmdb51", "ucf101").values
        settings = RunSettings(
            method=chosen,
            recipe=replace(OFFICIAL, **small),
            weights={name: usual.get(name, w.default) for name, w in chosen.weights.items()},
            num_classes=CLASSES,
            seed=seed,
        )
        return Trainer(settings, data or make_data())

    return make
