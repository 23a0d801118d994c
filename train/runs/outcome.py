"""What a finished run comes to: metrics, predictions and figures, in the form of its files.

Legend: N target validation videos.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ta3n.common.log import LOGGER
from ta3n.train.data.run_data import RunData
from ta3n.train.runs.checkpoint import RunState
from ta3n.train.runs.folder import RuleResult, RunResult


def metric_lines(state: RunState) -> list[dict[str, Any]]:
    """Return a record for each epoch, for `metrics.jsonl`."""
    return [
        {
            **{key: value for key, value in record.items() if value is not None},
            "target_correct": scores.target.correct,
            "target_total": scores.target.total,
            "validators": dict(scores.validators),
        }
        for record, scores in zip(state.trainer["history"], state.scores, strict=True)
    ]


def prediction_rows(
    state: RunState, videos: Sequence[str], labels: Tensor
) -> list[Mapping[str, Any]]:
    """Return for each video what every rule's epoch predicts, and the last one's probability.

    Args:
        state: of a finished run.
        videos: paths of the N videos.
        labels: int64 [N].
    """
    rules = list(state.selections)
    probability = state.last_logits.softmax(dim=1).amax(dim=1)
    columns = zip(
        videos,
        labels.tolist(),
        *(state.predictions[rule].tolist() for rule in rules),
        probability.tolist(),
        strict=True,
    )
    names = ("video", "label", *rules, "last_probability")
    return [dict(zip(names, row, strict=True)) for row in columns]


def result_of(state: RunState, data: RunData, *, seed: int, label_reads: int) -> RunResult:
    """Return the figures of a finished run.

    Args:
        state: of the run.
        data: what it was run on.
        seed: of the run.
        label_reads: how many single target labels were read in all.
    """
    record, training = state.trainer["history"][-1], data.training
    coverage = {"source": (record["source_videos"], training.num_source)}
    if training.target_features is not None:
        coverage["target"] = (record["target_videos"], training.num_target)
    return RunResult(
        seed=seed,
        rules={
            rule: RuleResult(
                epoch=choice.epoch,
                correct=choice.target.correct,
                total=choice.target.total,
                uses_target_labels=choice.uses_target_labels,
            )
            for rule, choice in state.selections.items()
        },
        target_label_reads=label_reads,
        coverage=coverage,
    )


def log_result(result: RunResult) -> None:
    """Log the figures of a finished run, and how many videos an epoch used."""
    rules = ", ".join(
        f"{name} {rule.percent:.2f} % ({rule.correct}/{rule.total}, epoch {rule.epoch})"
        for name, rule in result.rules.items()
    )
    used = ", ".join(f"{n} of {of} {domain}" for domain, (n, of) in result.coverage.items())
    LOGGER.info("seed %d: %s; an epoch used %s videos", result.seed, rules, used)
