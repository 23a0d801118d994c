"""A mean teacher is the moving average that the libraries keep, and learns from nobody."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ta3n.train.loop.engine import Trainer
from ta3n.train.methods.mean_teacher import class_balance, consistency, moving_average

from ...support.method_runs import check_precision, check_resumed, check_stacked, check_trains
from ...support.objectives import cases, check, check_value, inputs_of

MakeTrainer = Callable[..., Trainer]


@pytest.mark.parametrize(
    ("name", "momentum", "key"),
    [
        ("mean-teacher/ema/0.9", 0.9, "teacher_weight_after_each_update"),
        ("mean-teacher/ema/0.99", 0.99, "teacher_weight_after_each_update"),
        ("mean-teacher/ema-usb/0.9", 0.9, "teacher_after_each_update"),
    ],
)
def test_the_average_is_the_libraries(shared: Path, name: str, momentum: float, key: str) -> None:
    case = cases(shared)[name]
    given = inputs_of(case)
    teacher = student = given["w0"]
    for number, expected in enumerate(case["outputs"][key], 1):
        student = student + number * given["step"]
        teacher = moving_average(teacher, student, momentum)
        check_value(teacher, expected)


def test_agreement_and_balance_are_the_librarys(shared: Path) -> None:
    check(
        cases(shared)["self-ensemble/consistency/4"],
        lambda logits, teacher_logits, mask: consistency(logits, teacher_logits.detach(), mask),
    )
    check(cases(shared)["self-ensemble/class-balance/4"], class_balance)


@pytest.mark.parametrize("count", [1, 3])
def test_extremes_are_finite(count: int) -> None:
    logits = torch.zeros(count, 4)
    logits[:, 1] = 1e4
    logits.requires_grad_()
    value = consistency(logits, -logits.detach(), torch.ones(count)) + class_balance(logits)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_teacher_follows_the_weights_of_a_run(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("mean-teacher", epochs=1, source_batch=21)  # a single step
    model = trainer.model
    before = {name: value.clone() for name, value in model.named_parameters()}
    trainer.run_epoch()
    teacher = model.state_of("consistency_teacher")
    assert teacher.keys() == before.keys()
    for name, student in model.named_parameters():
        torch.testing.assert_close(teacher[name], 0.99 * before[name] + 0.01 * student.detach())
    assert not torch.equal(teacher["frame_fc.weight"], before["frame_fc.weight"])


def test_only_sure_predictions_are_followed(make_trainer: MakeTrainer) -> None:
    records = check_trains(make_trainer, "mean-teacher", learning_rate=0.1).history
    agreement = [record.losses["consistency_teacher"] for record in records]
    assert agreement[0] == 0  # at the start, the teacher is sure of nothing
    assert max(agreement) > 0


@pytest.mark.parametrize("check_run", [check_stacked, check_resumed, check_precision])
def test_it_runs_like_any_other(
    make_trainer: MakeTrainer, check_run: Callable[[MakeTrainer, str], Any]
) -> None:
    check_run(make_trainer, "mean-teacher")
