"""What the label-free selection rules are called, need and come from.

Read by tables and pages: no torch here.
"""

from dataclasses import dataclass
from typing import Literal

ValidatorName = Literal["source_val", "entropy", "im", "snd", "bnm", "dev", "corr_c"]


@dataclass(frozen=True, kw_only=True)
class ValidatorRule:
    """One label-free rule, for people.

    Attributes:
        name: As in metrics and results.
        description: What a high score means, in one line.
        citation: Where it comes from.
        needs: What it looks at; a rule whose needs are not met has no score.
    """

    name: ValidatorName
    description: str
    citation: str
    needs: str


_TARGET_PREDICTIONS = "target predictions"

RULES: tuple[ValidatorRule, ...] = (
    ValidatorRule(
        name="source_val",
        description="accuracy on held-out labelled source videos; blind to the domain gap",
        citation="common practice; Musgrave et al. 2022, Three New Validators, arXiv:2208.07360",
        needs="held-out source predictions and labels",
    ),
    ValidatorRule(
        name="entropy",
        description="certain target predictions; fooled if all videos go to one class",
        citation="Morerio et al., Minimal-Entropy Correlation Alignment, ICLR 2018",
        needs=_TARGET_PREDICTIONS,
    ),
    ValidatorRule(
        name="im",
        description="certain target predictions that are spread over the classes",
        citation="Shi and Sha, Information-Theoretical Learning, ICML 2012",
        needs=_TARGET_PREDICTIONS,
    ),
    ValidatorRule(
        name="snd",
        description="target predictions with many close neighbours; fooled by a single class",
        citation="Saito et al., Tune it the Right Way, ICCV 2021",
        needs=_TARGET_PREDICTIONS,
    ),
    ValidatorRule(
        name="bnm",
        description="large nuclear norm of the target predictions: certain and diverse",
        citation="Cui et al., Batch Nuclear-norm Maximization, CVPR 2020",
        needs=_TARGET_PREDICTIONS,
    ),
    ValidatorRule(
        name="dev",
        description="low error on held-out source videos, weighted to look like the target",
        citation="You et al., Deep Embedded Validation, ICML 2019",
        needs="features of both domains, held-out source predictions and labels",
    ),
    ValidatorRule(
        name="corr_c",
        description="target predictions whose classes are not confused and equally frequent",
        citation="Tu et al. 2022, Softmax Probability Baselines and a Correlation Method",
        needs=_TARGET_PREDICTIONS,
    ),
)
"""All rules, in the order in which they are always computed and shown."""
