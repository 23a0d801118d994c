"""If this breaks, clips of an own dataset change sides when others come, or a recording leaks."""

import random
import unicodedata

import pytest

from ta3n.datasets.reading.ratio import RatioSplit, Recording, split_by_ratio
from ta3n.datasets.reading.split_files import Role

Keyed = list[tuple[str, Recording]]

CLIPS: Keyed = [("wave", ("wave", f"w{n}")) for n in range(10)] + [
    ("turn", ("turn", f"t{n // 2}")) for n in range(20)
]


def placed(clips: Keyed, ratio: float, seed: int = 0) -> dict[Recording, Role]:
    roles = split_by_ratio(clips, ratio, seed)
    found = {clip[1]: role for clip, role in zip(clips, roles, strict=True)}
    # No recording is on both sides.
    assert [found[recording] for _, recording in clips] == roles
    return found


def made_up(choose: random.Random) -> Keyed:
    """Return clips of some classes, a few or many recordings each, some of which span classes."""
    clips: Keyed = []
    for name in "abcd"[: choose.randint(1, 4)]:
        for number in range(choose.randint(1, 12)):
            recording = (name, f"r{number}") if choose.random() < 0.8 else ("", f"s{number % 3}")
            clips += [(name, recording)] * choose.randint(1, 3)
    return clips


def both_sides(clips: Keyed, found: dict[Recording, Role]) -> dict[str, set[Role]]:
    sides: dict[str, set[Role]] = {}
    for name, recording in clips:
        sides.setdefault(name, set()).add(found[recording])
    return sides


def test_the_ratio_holds_on_average() -> None:
    clips: Keyed = [("wave", ("", f"p{n}")) for n in range(5000)]
    for seed in range(3):
        share = list(placed(clips, 0.3, seed).values()).count("test") / len(clips)
        assert abs(share - 0.3) < 0.02


def test_a_split_depends_on_names_and_seed_alone() -> None:
    shuffled = random.Random(3).sample(CLIPS, len(CLIPS))
    assert placed(CLIPS, 0.3) == placed(shuffled, 0.3)
    assert len({tuple(split_by_ratio(CLIPS, 0.3, seed)) for seed in range(5)}) > 1


def test_a_name_falls_to_one_side_however_its_accents_are_written() -> None:
    """Copies of one folder on macOS and Linux must not be split in two ways."""
    roles = []
    for form in ("NFC", "NFD"):
        names = [
            unicodedata.normalize(form, f"caf\u00e9 {n % 4}/\u00fcbung {n}") for n in range(40)
        ]
        clips: Keyed = [
            (name, (name, group)) for name, _, group in (n.partition("/") for n in names)
        ]
        roles.append(split_by_ratio(clips, 0.4, 0))
    assert roles[0] == roles[1]
    # Known by their hash: the same under every version of Python, on every processor.
    sides = "".join("V" if role == "test" else "t" for role in roles[0])
    assert sides == "tVVttttttVVtVVtVttVtVVVVtVtVttVtVtttVttt"


@pytest.mark.parametrize("seed", range(40))
def test_what_comes_or_goes_moves_no_other(seed: int) -> None:
    """But where a class has one side only by its names, and had to borrow for the other."""
    choose = random.Random(seed)
    few = [clip for clip in CLIPS if choose.random() < 0.7]
    ratio = choose.choice([0.2, 0.3, 0.5])
    before, after = placed(few, ratio, seed), placed(CLIPS, ratio, seed)
    # Names alone: in company of so many others that nothing is borrowed.
    company: Keyed = [(name, (name, f"c{n}")) for name in ("wave", "turn") for n in range(200)]
    by_name = placed(CLIPS + company, ratio, seed)
    for clips, found in ((few, before), (CLIPS, after)):
        alone = both_sides(clips, by_name)
        for name, recording in clips:
            assert len(alone[name]) == 1 or found[recording] == by_name[recording]


@pytest.mark.parametrize("seed", range(40))
def test_a_class_of_several_recordings_has_both_sides(seed: int) -> None:
    choose = random.Random(seed)
    clips: Keyed = []
    for name in "abc":
        for number in range(choose.randint(2, 5)):
            clips += [(name, (name, f"r{number}"))] * choose.randint(1, 3)
    found = placed(clips, choose.choice([0.01, 0.3, 0.99]), seed)
    assert set(map(len, both_sides(clips, found).values())) == {2}


@pytest.mark.parametrize("seed", range(40))
def test_every_class_has_training_clips(seed: int) -> None:
    clips = made_up(random.Random(seed))
    for sides in both_sides(clips, placed(clips, 0.9, seed)).values():
        assert "train" in sides


def test_groups_that_span_classes_stay_whole() -> None:
    clips: Keyed = [(name, ("", f"P{n:02d}")) for name in ("cut", "wash") for n in range(10)]
    found = split_by_ratio(clips, 0.2, 0)
    assert 0 < found.count("test") < len(clips)
    assert found[:10] == found[10:]


def test_a_class_of_two_groups_has_one_on_either_side() -> None:
    clips: Keyed = [("a", ("a", "g1"))] * 5 + [("a", ("a", "g2"))] * 5 + [("b", ("b", "only"))] * 4
    roles = split_by_ratio(clips, 0.1, 0)
    assert set(roles[:10]) == {"train", "test"}
    assert set(roles[10:]) == {"train"}


def rule(clips: Keyed, ratio: float = 0.4) -> RatioSplit:
    by_path = {f"{name}/{n}.avi": (name, group) for n, (name, group) in enumerate(clips)}
    return RatioSplit(clips=by_path, ratio=ratio, seed=0, origin="now", former_origin="before")


@pytest.mark.parametrize("seed", range(20))
def test_clips_that_were_placed_stay_and_draw_their_group_after_them(seed: int) -> None:
    choose = random.Random(seed)
    split = rule(CLIPS)
    # As an earlier rule had it: any side, but groups whole.
    sides: dict[Recording, Role] = {r: choose.choice(["train", "test"]) for _, r in CLIPS}
    there = {p: {"1": sides[r]} for p, (_, r) in split.clips.items() if choose.random() < 0.5}
    found = split.splits(there)
    assert {path: found[path] for path in there} == there
    groups: dict[Recording, set[str]] = {}
    for path, (_, recording) in split.clips.items():
        groups.setdefault(recording, set()).add(found[path]["1"])
    assert set(map(len, groups.values())) == {1}


def test_a_class_that_had_to_borrow_is_named() -> None:
    two: Keyed = [("a", ("a", "g1")), ("a", ("a", "g2"))]
    (line,) = rule(two, 0.0001).lines()
    assert line.startswith("of a no group's name falls to those to validate on by val_ratio 0.0001")
    (line,) = rule(two, 0.9999).lines()
    assert line.startswith("of a no group's name falls to those to train on")
    assert not list(rule(CLIPS, 0.3).lines())
