"""Outputs that do not belong together must be refused by name, not scored."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from ta3n.common.errors import DataConflictError
from ta3n.train.validators.rules import ValidatorInputs

GOOD = ValidatorInputs(
    target_logits=torch.zeros(4, 3),
    target_features=torch.zeros(4, 5),
    source_features=torch.zeros(6, 5),
    held_out_logits=torch.zeros(2, 3),
    held_out_features=torch.zeros(2, 5),
    held_out_labels=torch.zeros(2, dtype=torch.int64),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_logits": torch.zeros(4)}, r"target_logits are \[4\]; expected \[N, C\]"),
        ({"target_logits": torch.zeros(0, 3)}, r"target_logits are \[0, 3\]"),
        (
            {"target_features": torch.zeros(3, 5)},
            r"target_features are \[3, 5\]; expected \[4, 5\]",
        ),
        ({"target_features": torch.zeros(4, 2, 5)}, r"expected \[4, 5\]"),
        ({"source_features": torch.zeros(6, 7)}, r"source_features .* expected \['any', 5\]"),
        ({"held_out_logits": torch.zeros(2, 4)}, r"held_out_logits .* expected \[2, 3\]"),
        ({"held_out_features": torch.zeros(1, 5)}, r"held_out_features .* expected \[2, 5\]"),
        ({"held_out_labels": torch.zeros(3, dtype=torch.int64)}, r"held_out_labels .* \[2\]"),
        ({"held_out_labels": torch.zeros(2)}, r"torch.float32; expected torch.int64"),
        ({"held_out_logits": None}, r"held_out_features are \[2, 5\]; expected \[0, 5\]"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataConflictError, match=message):
        replace(GOOD, **changes)


def test_everything_but_target_predictions_may_be_missing() -> None:
    assert ValidatorInputs(target_logits=torch.zeros(1, 3)).held_out_labels is None
