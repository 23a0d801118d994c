"""Where what is true stands among the logits of a model with the heads of the challenge.

Shapes: N videos, C classes of all heads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ta3n.common.errors import DataMissingError
from ta3n.common.log import LOGGER
from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.datasets.benchmarks.benchmark import UNLABELLED
from ta3n.datasets.epic.annotations import read_annotations
from ta3n.datasets.epic.challenge import PUBLISHED
from ta3n.train.epic.form import HEADS
from ta3n.train.epic.metrics import Integers, Scores, TailClasses, log_prior_of, pair_ranks, ranks
from ta3n.train.methods.heads import ClassHead, columns_of

if TYPE_CHECKING:
    from torch import Tensor


def are_of_the_challenge(heads: Sequence[ClassHead]) -> bool:
    """Say whether a model's heads are those of the challenge: verb and noun."""
    return [head.name for head in heads] == list(HEADS)


def read_tail(annotations: Path | None) -> TailClasses | None:
    """Return the tail classes that a folder of annotations lists; none without the lists.

    Raises:
        DataMissingError: The folder holds no annotations, or a file cannot be read.
        DataConflictError: A file is not of the published form.
    """
    if annotations is None:
        return None
    told = read_annotations(annotations, ["target_val"])
    if told.tail_verbs is None or told.tail_nouns is None:
        LOGGER.warning("no lists of tail classes in %s", annotations)
        return None
    return TailClasses(told.tail_verbs, told.tail_nouns)


class ActionPrior(NamedTuple):
    """What the training segments tell of pairs.

    Attributes:
        log_prior: To be added to the scores of pairs, see `log_prior_of`.
        note: What it rests on, in words.
    """

    log_prior: Scores
    note: str


def read_prior(features: Path, heads: Sequence[ClassHead]) -> ActionPrior:
    """Count the pairs of the labelled segments of source_train among the imported features.

    Raises:
        DataMissingError: There are none.
        FeatureStoreError: The manifest is damaged.
    """
    published = PUBLISHED["source_train"]
    path = features / published.dataset / MANIFEST_NAME
    clips = read_record(Manifest, path).clips if path.is_file() else ()
    wanted = published.roles.items()
    labels = [
        tuple(map(int, clip.class_name.split(",")))
        for clip in clips
        if clip.class_name and wanted <= clip.splits.items()
    ]
    if not labels:
        raise DataMissingError(
            f"no labelled segments of source_train in {path.parent}, which the prior of actions is "
            "counted on; import them, or leave --action-prior out"
        )
    verbs, nouns = np.array(labels).T
    shape = heads[0].num_classes, heads[1].num_classes
    return ActionPrior(
        log_prior_of(verbs, nouns, shape),
        f"pairs weighed by (n + 1) / ({len(labels)} + {shape[0]} x {shape[1]}), where n of the "
        f"{len(labels)} segments of source_train are of them",
    )


def ranks_of(
    logits: "Tensor",
    labels: "Tensor",
    heads: Sequence[ClassHead],
    prior: ActionPrior | None = None,
) -> dict[str, Integers]:
    """Return the rank of the true class by trained head, and of the true pair as `action`, [N].

    -1 stands where a video has no label.

    Args:
        logits: [N, C] on the CPU.
        labels: [N, heads]; -1 where there is none.
        heads: Verb and noun, trained or not.
        prior: Of pairs.
    """
    scores = {name: logits[:, columns].numpy() for name, columns in columns_of(heads).items()}
    truth = dict(zip(scores, labels.numpy().T, strict=True))
    known = (labels != UNLABELLED).all(dim=1).numpy()
    of_known = {
        head.name: ranks(scores[head.name][known], truth[head.name][known])
        for head in heads
        if head.weight
    }
    if len(of_known) == len(HEADS):
        of_known["action"] = pair_ranks(
            *(scores[head][known] for head in HEADS),
            *(truth[head][known] for head in HEADS),
            log_prior=prior and prior.log_prior,
        )
    found = {name: np.full(len(known), UNLABELLED) for name in of_known}
    for name, each in of_known.items():
        found[name][known] = each
    return found
