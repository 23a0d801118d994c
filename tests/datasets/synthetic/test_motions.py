"""If these break, a model can name a class without the order of frames, or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from ta3n.common.video import RgbImage
from ta3n.datasets.synthetic.generate import Scene, View, draw_scene, render
from ta3n.datasets.synthetic.looks import LOOKS, VARIATION, Domain
from ta3n.datasets.synthetic.motions import MOTIONS, Motion, Pose, Staging

PAIRS = list(zip(MOTIONS[::2], MOTIONS[1::2], strict=True))
DOMAINS: tuple[Domain, ...] = ("a", "b", "c")


def _scene(
    domain: Domain, motion: Motion, *, seed: int = 0, group: int = 1, clip: int = 1
) -> Scene:
    return draw_scene(seed, domain, motion, group, clip)


def _frames(domain: Domain, motion: Motion, scene: Scene) -> list[RgbImage]:
    return list(render(scene, motion, LOOKS[domain]))


def test_there_are_twelve_classes_in_pairs() -> None:
    assert len({motion.name for motion in MOTIONS}) == 12
    for forward, backward in PAIRS:
        assert (forward.pair, forward.backward, backward.backward) == (backward.pair, False, True)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)
def test_only_the_order_of_frames_tells_the_members_of_a_pair_apart(
    domain: Domain, pair: tuple[Motion, Motion]
) -> None:
    forward, backward = pair
    scene = _scene(domain, forward)
    played = _frames(domain, forward, scene)
    reversed_ = _frames(domain, backward, scene)
    assert len(played) == len(reversed_) == scene.num_frames
    assert all(
        np.array_equal(one, other) for one, other in zip(played, reversed_[::-1], strict=True)
    )
    assert not np.array_equal(played[0], played[-1])


@pytest.mark.parametrize("domain", DOMAINS)
def test_members_of_a_pair_draw_their_scenes_from_one_distribution(domain: Domain) -> None:
    """Equal backgrounds by group, and no drift of any other property between the members."""
    for forward, backward in PAIRS:
        one = [_scene(domain, forward, group=g, clip=c) for g in range(1, 40) for c in (1, 2)]
        other = [_scene(domain, backward, group=g, clip=c) for g in range(1, 40) for c in (1, 2)]
        assert [s.background for s in one] == [s.background for s in other]
        assert one[0].staging != other[0].staging
        for lengths in ([s.num_frames for s in one], [s.num_frames for s in other]):
            low, high = LOOKS[domain].num_frames
            assert abs(np.mean(lengths) - (low + high) / 2) < 0.12 * (high - low)


def test_a_turn_stays_well_under_half_a_turn() -> None:
    turn = next(motion for motion in MOTIONS if motion.name == "TurnClockwise")
    at = Staging(x=0, y=0, size=0.2, angle_deg=0, reach=VARIATION.reach[1])
    first, last = (turn.course(p, at).poses[0].angle_deg for p in (0.0, 1.0))
    assert 90 < last - first < 150


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.name)
def test_shapes_never_leave_the_middle_square_entirely(motion: Motion) -> None:
    """A centre crop would lose them."""
    reach = VARIATION.centre + VARIATION.drift / 2
    at = Staging(x=reach, y=reach, size=VARIATION.size[0], angle_deg=0, reach=VARIATION.reach[1])
    for progress in np.linspace(0, 1, 11):
        for pose in motion.course(progress, at).poses:
            assert max(abs(pose.x), abs(pose.y)) - 0.5 * pose.size < 0.5


def test_a_clip_follows_from_its_place_alone() -> None:
    """Other draws before it, or none, must not change it."""
    alone = _frames("b", MOTIONS[3], _scene("b", MOTIONS[3], seed=7, group=4, clip=2))
    for motion in MOTIONS:
        _scene("b", motion, seed=7)
    again = _frames("b", MOTIONS[3], _scene("b", MOTIONS[3], seed=7, group=4, clip=2))
    assert all(np.array_equal(one, other) for one, other in zip(alone, again, strict=True))


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"group": 3}, {"clip": 2}], ids=lambda other: next(iter(other))
)
def test_another_seed_group_or_clip_is_another_scene(other: dict[str, int]) -> None:
    assert _scene("a", MOTIONS[0], **other).staging != _scene("a", MOTIONS[0]).staging


@pytest.mark.parametrize("domain", DOMAINS)
def test_frames_are_rgb_images_of_the_scene_size(domain: Domain) -> None:
    sizes = set()
    for clip in range(1, 10):
        scene = _scene(domain, MOTIONS[0], clip=clip)
        frame = next(render(scene, MOTIONS[0], LOOKS[domain]))
        assert frame.dtype == np.uint8
        assert frame.shape == (scene.size.height_px, scene.size.width_px, 3)
        sizes.add(frame.shape)
    assert any(height % 2 and width % 2 for height, width, _ in sizes)
    assert len(sizes) > 1


def test_the_domains_differ_in_look() -> None:
    """Plain and light, textured and darker, more so: on frames where the shape is not yet there."""
    appear = next(motion for motion in MOTIONS if motion.name == "Appear")
    spread, light = {}, {}
    for domain in DOMAINS:
        corners = [
            next(render(_scene(domain, appear, group=g), appear, LOOKS[domain]))[-24:, :24]
            for g in range(1, 9)
        ]
        spread[domain] = np.median([corner.std(axis=(0, 1)).mean() for corner in corners])
        light[domain] = np.mean([corner.mean() for corner in corners])
    assert spread["b"] > 2 * spread["a"]
    assert spread["c"] > 1.2 * spread["b"]
    assert light["c"] < light["b"] - 40 < light["a"] - 40


@pytest.mark.parametrize("domain", DOMAINS)
def test_shapes_are_darker_than_their_background_except_in_c(domain: Domain) -> None:
    look = LOOKS[domain]
    shapes, backgrounds = (np.mean(colours) for colours in (look.shapes, look.backgrounds))
    assert (shapes > backgrounds + 60) == (domain == "c")
    assert (shapes < backgrounds - 60) == (domain != "c")


def test_only_c_has_a_camera_in_somebodys_hands() -> None:
    """Everything in the picture moves with it, and it tells nothing of the class."""
    appear = next(motion for motion in MOTIONS if motion.name == "Appear")
    for domain in DOMAINS:
        scene = replace(_scene(domain, appear, group=2), noise=0.0)
        first, *_, last = (frame[:40, :40] for frame in _frames(domain, appear, scene))
        assert np.array_equal(first, last) == (domain != "c")
    for forward, backward in PAIRS:
        for motion in (forward, backward):
            views = [
                scene.camera
                for group in range(1, 30)
                for clip in (1, 2)
                if (scene := _scene("c", motion, group=group, clip=clip)).camera
            ]
            assert len(views) == 58
            moved = np.array([(v[-1].x - v[0].x, v[-1].y - v[0].y) for v in views])
            assert np.abs(moved.mean(axis=0)).max() < 0.4 * moved.std()


def test_whatever_a_camera_sees_moves_with_it() -> None:
    """Background, still shape and moving shape, or a shift would tell one from the other."""
    appear = next(motion for motion in MOTIONS if motion.name == "Appear")
    scene = next(s for g in range(1, 20) if (s := _scene("c", appear, group=g)).still)
    at_rest = replace(scene, noise=0.0, drift=(0.0, 0.0), progress=(1.0, 1.0))
    shift = 8 / min(scene.size.width_px, scene.size.height_px)
    views = [View(0.0, 0.0, 1.0)] * scene.num_frames
    views[1] = View(shift, 0.0, 1.0)
    before, after, again = _frames("c", appear, replace(at_rest, camera=tuple(views)))[:3]
    assert np.array_equal(before, again)
    difference = np.abs(before[:, 8:].astype(int) - after[:, :-8])
    assert difference.max() <= 1
    assert np.abs(before.astype(int) - after).max() > 50


def test_a_camera_that_zooms_in_shows_everything_larger() -> None:
    view = View(x=0.1, y=-0.2, zoom=2.0)
    seen = view.seen(Pose(0.3, 0.1, 0.2, 15.0))
    assert (seen.x, seen.y, seen.size, seen.angle_deg) == pytest.approx((0.4, 0.6, 0.4, 15.0))
