"""Presets are the published ones, and impossible combinations are refused in one line."""

import subprocess
import sys
from dataclasses import replace

import pytest

from ta3n.common.errors import UsageError
from ta3n.train.recipes import (
    METHOD_NAMES,
    OFFICIAL,
    Method,
    ReversalCoefficients,
    Temporal,
    coefficients_for,
    method_for,
)


def test_published_coefficients() -> None:
    to_hmdb = coefficients_for("ucf-hmdb-full", "ucf101", "hmdb51")
    assert to_hmdb.coefficients == ReversalCoefficients(relation=0.75, video=0.75, frame=0.5)
    assert (to_hmdb.gamma, to_hmdb.published) == (0.003, True)
    to_ucf = coefficients_for("ucf-hmdb-full", "hmdb51", "ucf101")
    assert to_ucf.coefficients == ReversalCoefficients(relation=1, video=0.75, frame=0.5)
    assert (to_ucf.gamma, to_ucf.published) == (0.3, True)


@pytest.mark.parametrize(
    ("benchmark", "source", "target", "gamma"),
    [
        ("ucf-hmdb-small", "ucf101", "hmdb51", 0.003),
        ("ucf-hmdb-small", "hmdb51", "ucf101", 0.3),
        ("ucf-olympic", "ucf101", "olympic", 0.003),
        ("ucf-olympic", "olympic", "ucf101", 0.3),
        ("mine", "kitchen", "street", 0.3),
    ],
)
def test_unpublished_coefficients_say_so(
    benchmark: str, source: str, target: str, gamma: float
) -> None:
    adaptation = coefficients_for(benchmark, source, target)
    assert (adaptation.gamma, adaptation.published) == (gamma, False)


def test_revgrad_places_other_discriminators_for_each_temporal_module() -> None:
    assert method_for("revgrad", "pooling").discriminators == ("video", "frame")
    assert method_for("revgrad", "relation").discriminators == ("frame",)


def test_only_adapting_methods_use_the_target() -> None:
    uses = {name: method_for(name, "relation").uses_target for name in METHOD_NAMES}
    assert [name for name, used in uses.items() if used] == ["revgrad", "ta2n", "ta3n"]
    assert method_for("target-only", "pooling").trains_on == "target"


@pytest.mark.parametrize(
    ("name", "temporal"), [("ta2n", "pooling"), ("ta3n", "pooling"), ("jam", "relation")]
)
def test_impossible_methods_are_refused(name: str, temporal: Temporal) -> None:
    with pytest.raises(UsageError, match=name) as refusal:
        method_for(name, temporal)
    assert "\n" not in str(refusal.value)


def test_contradicting_switches_are_refused() -> None:
    with pytest.raises(UsageError, match="domain attention"):
        Method(name="mine", temporal="pooling", attention="domain")
    with pytest.raises(UsageError, match="nothing to align"):
        replace(method_for("target-only", "relation"), discriminators=("video",))


def test_attentive_entropy_needs_the_video_discriminator_even_unplaced() -> None:
    method = Method(
        name="mine", temporal="pooling", discriminators=("frame",), attentive_entropy=True
    )
    assert method.levels == ("video", "frame")


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"learning_rate": -1.0}, {"momentum": 0.0}, {"weight_decay": -1.0}]
)
def test_values_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        replace(OFFICIAL, **change)  # type: ignore[arg-type]


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, ta3n.train.recipes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0
