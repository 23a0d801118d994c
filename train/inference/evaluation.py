"""A run that was trained, evaluated on cached features without training.

Shapes: N videos, C classes, H trained heads.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ta3n.common.errors import DataConflictError, DataMissingError
from ta3n.common.log import LOGGER
from ta3n.datasets.benchmarks.benchmark import UNLABELLED, BenchmarkRole
from ta3n.train.data.features import labels_of, load_part
from ta3n.train.data.streams import load_streams
from ta3n.train.data.videos import DomainVideos, Video
from ta3n.train.inference.trained import TrainedRun
from ta3n.train.methods.heads import columns_of
from ta3n.train.model.prediction import classes_of, probabilities_of
from ta3n.train.runs.folder import write_csv, write_json
from ta3n.train.runs.records import (
    benchmark_of,
    check_features,
    side_named,
    stream_records,
)
from ta3n.train.runs.rule_notes import looks_at_target, rules_on
from ta3n.train.runs.selection import mean_class_percent, open_set_percents


@dataclass(frozen=True, kw_only=True)
class RunEvaluation:
    """What a run makes of one split of a dataset, with N videos.

    With several heads a video is right where all that were trained are.

    Attributes:
        labels: int64 [N], or [N, heads]; -1 where a video has none.
        logits: [N, C].
    """

    run: TrainedRun
    target: DomainVideos
    split: BenchmarkRole
    videos: tuple[Video, ...]
    labels: Tensor
    logits: Tensor

    @property
    def predicted(self) -> Tensor:
        """The class with the largest logit, int64 [N]; of each trained head [N, H].

        In an open set unknown videos have the label behind those of the classes.
        """
        return classes_of(self.logits, self.run.heads, self.run.rejection)

    @property
    def num_labelled(self) -> int:
        """Videos with labels."""
        return sum(video.is_labelled for video in self.videos)

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the trained heads; none for a single one."""
        return tuple(head.name for head in self.run.heads if head.weight)

    def correct(self, top_k: int = 1, head: str | None = None) -> int:
        """Return how many videos have their class among the `top_k` likeliest.

        What is told unknown has none among them, and is right where it is.

        Args:
            head: One of several; without it all that were trained count together.
        """
        names = self.heads if head is None else (head,)
        if not names:
            among = _among(self.logits, self.labels, top_k)
            if (rejection := self.run.rejection) is not None:
                unknown = self.predicted == rejection.label
                among = torch.where(unknown, self.labels == rejection.label, among)
            return int(among.sum())
        columns, places = columns_of(self.run.heads), [h.name for h in self.run.heads]
        right = [
            _among(self.logits[:, columns[name]], self.labels[:, places.index(name)], top_k)
            for name in names
        ]
        return int(torch.stack(right).all(dim=0).sum())

    def by_class(self) -> list[tuple[str, int, int]]:
        """Return name, correct and total of each class of the benchmark; of each trained head."""
        if not self.heads:
            names = benchmark_of(self.run.config).label_names
            return self._by_class(names, self.labels, self.predicted)
        columns, predicted = columns_of(self.run.heads), self.predicted
        return [
            line
            for place, head in enumerate(self.run.heads)
            if head.weight
            for line in self._by_class(
                self.run.classes[columns[head.name]],
                self.labels[:, place],
                predicted[:, self.heads.index(head.name)],
            )
        ]

    @property
    def mean_class(self) -> float | None:
        """Mean accuracy of the classes in percent; None with several heads, or without labels."""
        if self.run.heads or not self.num_labelled:
            return None
        return mean_class_percent(self.labels.tolist(), self.predicted.tolist())

    @property
    def open_set(self) -> Mapping[str, float]:
        """Measures of an open set in percent; none of a closed one, or without unknown videos."""
        if self.run.rejection is None:
            return {}
        told = self.labels.tolist(), self.predicted.tolist()
        return open_set_percents(*told, self.run.rejection.label)

    @staticmethod
    def _by_class(
        names: Sequence[str], labels: Tensor, predicted: Tensor
    ) -> list[tuple[str, int, int]]:
        hits = Counter(labels[predicted == labels].tolist())
        totals = Counter(labels.tolist())
        return [(name, hits[n], totals[n]) for n, name in enumerate(names)]


def _among(logits: Tensor, labels: Tensor, top_k: int) -> Tensor:
    """Return whether the label is among the `top_k` likeliest, bool [N]; -1 never is."""
    if top_k == 1:
        return logits.argmax(dim=1) == labels
    likeliest = logits.topk(min(top_k, logits.shape[1])).indices  # [N, k]
    return (likeliest == labels[:, None]).any(dim=1)


def load_target(
    run: TrainedRun, features: Path | Sequence[Path], target: str, *, allow_missing: bool
) -> DomainVideos:
    """Return the videos of a dataset that a run can be evaluated on, see `load_streams`.

    `target` is the short or full name of a dataset of the run's benchmark.

    Raises:
        UsageError: If the benchmark does not hold the dataset.
        DataMissingError: If features are missing and may not be.
        DataConflictError: If they were made otherwise than the run's, or classes are others.
        FeatureStoreError: If the manifest is damaged.
    """
    benchmark = benchmark_of(run.config)
    dataset = side_named(benchmark, target)
    if benchmark.class_names != tuple(run.config.settings["classes"]):
        raise DataConflictError(
            f"{run.path} was trained on other classes than {benchmark.name} has now: "
            f"{len(run.classes)} there, {len(benchmark.class_names)} now; train again"
        )
    videos = load_streams(
        features,
        benchmark,
        dataset,
        num_segments=run.num_segments,
        allow_missing=allow_missing,
        num_views=run.num_views,
    )
    streams = [stream.manifest for stream in videos.streams]
    check_features(run.config, run.path, [made.config for made in streams], videos.folder)
    recorded = [each["manifests"].get(dataset) for each in stream_records(run.config)]
    if any(r not in (None, m.content_hash) for r, m in zip(recorded, streams, strict=True)):
        LOGGER.warning("%s: these features are not those that the run used", dataset)
    return videos


def evaluate(run: TrainedRun, target: DomainVideos, split: BenchmarkRole) -> RunEvaluation:
    """Evaluate a run on a split. The run's own sources count as source, all else as target.

    Raises:
        DataMissingError: If the split has no videos with features.
        FeatureStoreError: If a shard is missing or damaged.
        DataConflictError: If a shard does not hold what the manifest says.
    """
    videos = target.videos(split)
    if not videos:
        raise DataMissingError(f"no {split} videos of {target.dataset} in {target.folder}")
    features = load_part(target, split)
    # AdaBN keeps statistics per domain, so the model is told which one it sees.
    logits = run.logits(features, are_source=target.dataset in run.config.sources)
    return RunEvaluation(
        run=run, target=target, split=split, videos=videos, labels=labels_of(videos), logits=logits
    )


def evaluation_record(
    evaluation: RunEvaluation, *, top_k: int, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the figures as plain values.

    Args:
        evaluation: Of one run.
        top_k: Up to which place a class counts beside the first.
        more: To be told beside.
    """
    run, total = evaluation.run, evaluation.num_labelled
    return {
        "benchmark": run.config.benchmark,
        "config_hash": run.config.hash,
        "seed": run.seed,
        "rule": run.rule,
        "rule_on": rules_on(run.config.settings) if looks_at_target(run.rule) else None,
        "epoch": run.epoch,
        "dataset": evaluation.target.dataset,
        "split": evaluation.split,
        "manifest": evaluation.target.manifest.content_hash,
        "total": total,
        "correct": evaluation.correct(),
        **({} if evaluation.mean_class is None else {"mean_class_percent": evaluation.mean_class}),
        **({"open_set_percent": measures} if (measures := evaluation.open_set) else {}),
        **({} if run.rejection is None else {"rejection": run.rejection.record()}),
        "top_k": top_k,
        **(
            {"heads": _by_head(evaluation, top_k)}
            if evaluation.heads
            else {"correct_top_k": evaluation.correct(top_k)}
        ),
        **more,
        "classes": [
            {"name": name, "correct": correct, "total": of}
            for name, correct, of in evaluation.by_class()
        ],
    }


def write_evaluation(evaluation: RunEvaluation, folder: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON, and each video's prediction and probabilities as CSV.

    Args:
        evaluation: Of one run.
        folder: For both files.
        figures: What `evaluation_record` returned.

    Raises:
        OSError: If the folder cannot be written.
    """
    run = evaluation.run
    name = f"evaluation-{evaluation.target.dataset}-{evaluation.split}-{run.rule}"
    write_json(folder / f"{name}.json", figures)
    classes = [f"probability_{name}" for name in run.classes]
    labels = [f"label_{head.name}" for head in run.heads] or ["label"]
    said = [f"predicted_{head}" for head in evaluation.heads] or ["predicted"]
    predicted = evaluation.predicted.reshape(len(evaluation.videos), -1).tolist()
    probabilities = probabilities_of(evaluation.logits, run.heads).tolist()
    rows = [
        [video.clip.path, *(_shown(label) for label in video.labels), *each, *of_classes]
        for video, each, of_classes in zip(evaluation.videos, predicted, probabilities, strict=True)
    ]
    write_csv(folder / f"{name}.csv", ["video", *labels, *said, *classes], rows)


def _shown(label: int) -> int | str:
    return "" if label == UNLABELLED else label


def _by_head(evaluation: RunEvaluation, top_k: int) -> dict[str, dict[str, int]]:
    return {
        head: {
            "correct": evaluation.correct(head=head),
            "correct_top_k": evaluation.correct(top_k, head),
        }
        for head in evaluation.heads
    }
