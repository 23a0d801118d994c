"""The weights that a direction of a benchmark has of its own, as plain data without torch.

Sources: equation 1 of the paper, and the settings that its authors published with their program.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DirectionWeights:
    """Weights of one direction of one benchmark, which take the place of those of the terms.

    Args:
        values: by name: `beta_relation`, `beta_video` and `beta_frame` are the reversal
            coefficients of the discriminators, the trade-offs lambda of equation 1; `gamma` weighs
            the attentive entropy.
        published: whether the authors published them for this very direction.
    """

    values: Mapping[str, float]
    published: bool


def _weights(relation: float, video: float, frame: float, gamma: float) -> Mapping[str, float]:
    return {"beta_relation": relation, "beta_video": video, "beta_frame": frame, "gamma": gamma}


_UCF_TO_HMDB = _weights(0.75, 0.75, 0.5, 0.003)
_HMDB_TO_UCF = _weights(1.0, 0.75, 0.5, 0.3)
_PUBLISHED = {
    ("ucf-hmdb-full", "ucf101", "hmdb51"): _UCF_TO_HMDB,
    ("ucf-hmdb-full", "hmdb51", "ucf101"): _HMDB_TO_UCF,
    # By the authors of the baseline of that challenge, who took those of UCF->HMDB.
    ("epic100-tune", "epic100-source", "epic100-target"): _UCF_TO_HMDB,
    ("epic100-final", "epic100-source", "epic100-target"): _UCF_TO_HMDB,
}

# Adversarial training on the small synthetic benchmark swings from epoch to epoch with the
# published values; a tenth is calm. Chosen on clips of another seed than the demonstration's.
_SYNTHETIC = _weights(0.1, 0.1, 0.1, 0.003)


def direction_weights(benchmark: str, source: str, target: str) -> DirectionWeights:
    """Return the weights to use for one direction.

    The authors published values for the two directions of ucf-hmdb-full only, and those of the
    baseline for EPIC-KITCHENS-100 theirs. Elsewhere the choice is ours: the values of UCF->HMDB
    where UCF101 is the source, else those of HMDB->UCF. The source decides because it fixes what
    the classifier learns before the alignment sets in. The synthetic benchmark has values of its
    own.

    Args:
        benchmark: name of the benchmark, such as `ucf-hmdb-full`.
        source: full name of the source dataset, such as `ucf101`; several joined are another one.
        target: full name of the target dataset.
    """
    published = _PUBLISHED.get((benchmark, source, target))
    ours = _UCF_TO_HMDB if source == "ucf101" else _HMDB_TO_UCF
    values = published or (_SYNTHETIC if benchmark == "synthetic" else ours)
    return DirectionWeights(values=values, published=published is not None)
