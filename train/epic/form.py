"""The form of a submission to the challenge, as its page has it. No NumPy here."""

from dataclasses import dataclass

from ta3n.common.errors import UsageError
from ta3n.datasets.epic.challenge import NUM_NOUNS, NUM_VERBS

VERSION, CHALLENGE = "0.2", "domain_adaptation"
MEMBER = "test.json"
HEADS = {"verb": NUM_VERBS, "noun": NUM_NOUNS}
"""Number of classes by head."""
HIGHEST_LEVEL = 5


@dataclass(frozen=True, slots=True)
class SupervisionLevels:
    """How much supervision a model had, 0 to 5 each, on the scale of epic-kitchens/SLS.

    Attributes:
        pt: By pre-training.
        tl: By labels in training.
        td: By training data.

    Raises:
        UsageError: A level is not on the scale.
    """

    pt: int
    tl: int
    td: int

    def __post_init__(self) -> None:
        for name, level in self.record().items():
            if not 0 <= level <= HIGHEST_LEVEL:
                raise UsageError(
                    f"{name} is {level}; levels of supervision are 0 to {HIGHEST_LEVEL}"
                )

    def record(self) -> dict[str, int]:
        """Return the levels as a submission has them."""
        return {"sls_pt": self.pt, "sls_tl": self.tl, "sls_td": self.td}
