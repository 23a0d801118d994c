"""Presets are the published ones, and impossible combinations are refused in one line."""

import pickle
from dataclasses import replace

import pytest

from ta3n.common.errors import UsageError
from ta3n.train.methods.adversarial import ADVERSARIAL
from ta3n.train.methods.base import Method
from ta3n.train.methods.registry import METHODS, find_choice, method_for, parse_levels


def test_revgrad_places_other_discriminators_for_each_temporal_module() -> None:
    assert method_for("revgrad", "pooling").discriminators == ("video", "frame")
    assert method_for("revgrad", "relation").discriminators == ("frame",)


def test_only_adapting_methods_use_the_target() -> None:
    uses = {name: method.uses_target for name, method in METHODS.all().items()}
    assert [name for name, used in uses.items() if not used] == [
        "target-only",
        "source-only",
        "label-smoothing",
        "label-smoothing-others",
    ]
    assert method_for("target-only", "pooling").trains_on == "target"


@pytest.mark.parametrize(
    ("name", "temporal"), [("ta2n", "pooling"), ("ta3n", "pooling"), ("jam", "relation")]
)
def test_impossible_methods_are_refused(name: str, temporal: str) -> None:
    with pytest.raises(UsageError, match=name) as refusal:
        method_for(name, temporal)
    assert "\n" not in str(refusal.value)


def test_contradicting_terms_are_refused() -> None:
    domain, conventional = (find_choice("attention", name) for name in ("domain", "conventional"))
    with pytest.raises(UsageError, match="domain attention"):
        Method(name="mine", terms=(domain,)).on("pooling")
    with pytest.raises(UsageError, match="conventional attention"):
        Method(name="mine", terms=(conventional,)).on("pooling")
    with pytest.raises(UsageError, match="two attentions"):
        Method(name="mine", terms=(domain, conventional))
    target_only = method_for("target-only", "relation")
    with pytest.raises(UsageError, match="nothing to align"):
        replace(target_only, terms=(ADVERSARIAL["video"],))
    with pytest.raises(UsageError, match="nothing to align"):
        target_only.plus([method_for("adabn", "relation")])


def test_attentive_entropy_needs_the_video_discriminator_even_unplaced() -> None:
    terms = (ADVERSARIAL["frame"], find_choice("entropy", "attentive"))
    method = Method(name="mine", terms=terms).on("pooling")
    assert method.levels == ("video", "frame")
    assert set(method.weights) == {"beta_video", "beta_frame", "gamma"}


def test_the_target_takes_part_as_soon_as_one_term_needs_it() -> None:
    plain = method_for("source-only", "relation")
    assert not replace(plain, terms=(find_choice("attention", "conventional"),)).uses_target
    for group, choice in (("entropy", "target"), ("alignment", "dan"), ("norm", "adabn")):
        assert replace(plain, terms=(find_choice(group, choice),)).uses_target  # type: ignore[arg-type]


def test_terms_of_several_methods_combine_in_any_order() -> None:
    both = method_for("dan", "relation", ["mcd"])
    assert (both.name, both.label) == ("dan+mcd", "DAN + MCD")
    assert both.terms == method_for("mcd", "relation", ["dan"]).terms
    assert set(both.weights) == {"alpha", "mu"}


def test_a_method_is_the_same_after_a_visit_to_another_process() -> None:
    for name, known in METHODS.all().items():
        takes_more = known.trains_on == "source" and name != "dan" and not known.closed_form
        temporal = "pooling" if known.closed_form else "relation"
        method = method_for(name, temporal, ["dan"] if takes_more else [])
        assert pickle.loads(pickle.dumps(method)) == method


def test_levels_are_read_in_any_order_and_unknown_ones_named() -> None:
    assert parse_levels("none") == ()
    assert parse_levels("all") == ("relation", "video", "frame")
    assert parse_levels("frame, relation") == ("relation", "frame")
    with pytest.raises(UsageError, match="no level 'clip'"):
        parse_levels("frame,clip")
