"""Presets are the published ones, and impossible combinations are refused in one line."""

from dataclasses import replace

import pytest

from ta3n.common.errors import UsageError
from ta3n.train.methods.method import METHOD_NAMES, Method, Temporal, method_for, parse_levels


def test_revgrad_places_other_discriminators_for_each_temporal_module() -> None:
    assert method_for("revgrad", "pooling").discriminators == ("video", "frame")
    assert method_for("revgrad", "relation").discriminators == ("frame",)


def test_only_adapting_methods_use_the_target() -> None:
    uses = {name: method_for(name, "relation").uses_target for name in METHOD_NAMES}
    assert [name for name, used in uses.items() if used] == [
        "revgrad",
        "dan",
        "jan",
        "adabn",
        "mcd",
        "ta2n",
        "ta3n",
    ]
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
    with pytest.raises(UsageError, match="conventional attention"):
        Method(name="mine", temporal="pooling", attention="conventional")
    with pytest.raises(UsageError, match="nothing to align"):
        replace(method_for("target-only", "relation"), discriminators=("video",))
    with pytest.raises(UsageError, match="nothing to align"):
        replace(method_for("target-only", "relation"), norm="adabn")


def test_attentive_entropy_needs_the_video_discriminator_even_unplaced() -> None:
    method = Method(name="mine", temporal="pooling", discriminators=("frame",), entropy="attentive")
    assert method.levels == ("video", "frame")


def test_the_target_takes_part_as_soon_as_one_switch_needs_it() -> None:
    plain = method_for("source-only", "relation")
    assert not replace(plain, attention="conventional").uses_target
    for change in ({"entropy": "target"}, {"alignment": "dan"}, {"norm": "adabn"}):
        assert replace(plain, **change).uses_target  # type: ignore[arg-type]


def test_levels_are_read_in_any_order_and_unknown_ones_named() -> None:
    assert parse_levels("none") == ()
    assert parse_levels("all") == ("relation", "video", "frame")
    assert parse_levels("frame, relation") == ("relation", "frame")
    with pytest.raises(UsageError, match="no level 'clip'"):
        parse_levels("frame,clip")
