"""A run that was trained, loaded to be used: on cached features here, on clips in `classify.py`.

Shapes: N videos, K segments, D cached feature width, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ta3n.common.device import resolve_device
from ta3n.common.errors import UsageError, WeightsError
from ta3n.common.files import sha256_of_file
from ta3n.common.records import FeatureConfig
from ta3n.common.registry import load_plugins
from ta3n.datasets.benchmarks.benchmark import UNKNOWN
from ta3n.train.methods.heads import ClassHead, heads_of
from ta3n.train.methods.rejection import Rejection, rejection_of
from ta3n.train.model.aligned import AlignedModel
from ta3n.train.model.model import TA3N
from ta3n.train.model.prediction import observe, probabilities_of
from ta3n.train.model.videos import Videos, has_not_finite
from ta3n.train.runs.checkpoint import load_trained
from ta3n.train.runs.folder import RunConfig
from ta3n.train.runs.records import features_of, find_runs, read_config, stream_records
from ta3n.train.runs.rule_notes import looks_at_target, rules_on_note
from ta3n.train.runs.selection import LAST

_OF_A_FILE = "sha256:"


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run that can classify: `load_run` makes it.

    Attributes:
        path: Its folder.
        config: What was run.
        seed: Its seed.
        rule: The selection rule that chose the weights.
        epoch: The epoch that they are of, from 1.
        model: In evaluation mode, on the device.
        device: Where it runs.
        weights: File of the backbone's weights, where they are of a file.
    """

    path: Path
    config: RunConfig = field(repr=False)
    seed: int
    rule: str
    epoch: int
    model: TA3N | AlignedModel = field(repr=False)
    device: torch.device
    weights: Path | None

    @property
    def title(self) -> str:
        """Method, temporal module, benchmark and direction, in words."""
        config = self.config
        return (
            f"{config.method} with {config.temporal} ({config.benchmark}, {config.source} → "
            f"{config.target})"
        )

    @property
    def chosen_on(self) -> str:
        """On which videos a label-free rule chose the epoch, to be put behind it."""
        if not looks_at_target(self.rule):
            return ""
        return f"; the rule looked at {rules_on_note(self.config.settings)}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs; the index is the label. Of several heads one after another."""
        names = tuple(self.config.settings["classes"])
        has_unknown = self.rejection is not None and self.rejection.num_outputs > len(names)
        return (*names, UNKNOWN) if has_unknown else names

    @property
    def heads(self) -> tuple[ClassHead, ...]:
        """What a video has a class of, in the order of logits and classes; none for one head."""
        return heads_of(self.config.settings)

    @property
    def rejection(self) -> Rejection | None:
        """How unknown videos are told; None where all classes are known."""
        return rejection_of(self.config.settings)

    @property
    def num_segments(self) -> int:
        """K, frames of a video."""
        return int(self.config.settings["recipe"]["num_segments"])

    @property
    def num_views(self) -> int:
        """V, sets of frames of a video over which logits are averaged."""
        return int(self.config.settings["recipe"].get("views", 1))

    @property
    def features(self) -> FeatureConfig:
        """How the features were made, and how those of new clips are: backbone, weights ..."""
        return self.streams[0]

    @property
    def streams(self) -> tuple[FeatureConfig, ...]:
        """The same of each stream of features that are joined; mostly of one."""
        return tuple(features_of(self.config, n) for n in range(len(stream_records(self.config))))

    @property
    def feature_dim(self) -> int:
        """D, the width of a frame's feature, that of all streams together."""
        return sum(stream.feature_dim for stream in self.streams)

    def predict_features(
        self, features: Tensor | NDArray[np.floating[Any]], *, are_source: bool = False
    ) -> NDArray[np.float32]:
        """Return the class probabilities of videos, float32 [N, C]; of each head they sum to 1.

        Args:
            features: Cached frame features of the K sampled frames in time order, [N, K, D], or of
                any number of views of each video, [N, V, K, D], whose logits are averaged.
            are_source: Whether normalisation per domain takes them for source videos.

        Raises:
            UsageError: For another shape, or values that are not finite.
        """
        logits = self.logits(torch.as_tensor(features), are_source=are_source)
        return probabilities_of(logits, self.heads).numpy()

    def logits(self, features: Videos, *, are_source: bool = False) -> Tensor:
        """Return the class logits [N, C] on the CPU; as `predict_features` otherwise."""
        wanted = (self.num_segments, self.feature_dim)
        if features.ndim not in (3, 4) or tuple(features.shape[-2:]) != wanted:
            raise UsageError(
                f"features have the shape {list(features.shape)}; this run takes [N, {wanted[0]}, "
                f"{wanted[1]}], the sampled frames of N videos"
            )
        if has_not_finite(features):
            raise UsageError("features hold values that are not finite")
        if len(features) == 0:
            return torch.empty(0, len(self.classes))
        return observe(self.model, features, are_source=are_source).logits.cpu()


def load_run(
    path: str | Path,
    *,
    rule: str = LAST,
    device: str = "auto",
    weights: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
) -> TrainedRun:
    """Load a run, finished or with at least one epoch saved.

    Args:
        path: Its folder `seed-N`, or the one above where that holds a single seed.
        rule: Which epoch's weights: `last`, `oracle` or `im`.
        device: `auto`, `cpu` or `cuda:N`.
        weights: File of the backbone's weights, where the features were made with a file.
        plugins: Modules, or files, that registered the run's method. A record names them, but what
            it names is never run by itself.

    Raises:
        UsageError: If there are several seeds, for an unknown device, or without a plug-in.
        DataMissingError: If there is no run, or no weights of this rule.
        FeatureStoreError: If a file is damaged or of another version.
        WeightsError: If the file is not that of the run's features.
        DeviceError: If the device is not there.
    """
    load_plugins(map(str, plugins))
    runs = find_runs(Path(path))
    if len(runs) > 1:
        names = ", ".join(run.name for run in runs)
        raise UsageError(f"{path} holds several runs ({names}); name one of them")
    config, seed = read_config(runs[0])
    trained = load_trained(runs[0], config, seed=seed, rule=rule)
    on = resolve_device(device)
    run = TrainedRun(
        path=runs[0],
        config=config,
        seed=seed,
        rule=rule,
        epoch=trained.epoch,
        model=trained.model.to(on),
        device=on,
        weights=None if weights is None else Path(weights),
    )
    if run.weights is not None:
        weights_options(run, run.weights)
    return run


def weights_options(run: TrainedRun, file: Path | None) -> list[str]:
    """Return for each stream what to give stage one as weights, see `weights_option`.

    The file is that of the streams whose weights are of one.
    """
    of_a_file = [made.weights.startswith(_OF_A_FILE) for made in run.streams]
    return [
        weights_option(run, file if each or not any(of_a_file) else None, number)
        for number, each in enumerate(of_a_file)
    ]


def weights_option(run: TrainedRun, file: Path | None, stream: int = 0) -> str:
    """Return what to give stage one as weights, so that they are the run's, of a file or not.

    Raises:
        WeightsError: If a file is needed, is not there, is another one, or is not called for.
    """
    identity = run.streams[stream].weights
    if not identity.startswith(_OF_A_FILE):
        if file is not None:
            raise WeightsError(
                f"the run's features were made with the weights {identity}, not with a file; "
                f"leave {file} out"
            )
        return identity if identity.startswith("random:") else identity.partition(":")[0]
    if file is None:
        raise WeightsError(
            f"the run's features were made with a file of weights ({identity}); name it with "
            "--weights FILE, or weights=FILE in Python"
        )
    if not file.is_file():
        raise WeightsError(f"no file of weights {file}")
    if _OF_A_FILE + sha256_of_file(file) != identity:
        raise WeightsError(
            f"{file} is not the file of weights that the run's features were made with: its "
            f"SHA-256 is not {identity.removeprefix(_OF_A_FILE)}"
        )
    return str(file.absolute())
