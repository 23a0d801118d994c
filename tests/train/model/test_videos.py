"""If this breaks, a step sees other frames than those that were drawn."""

import pytest
import torch
from torch import Tensor

from ta3n.train.model.videos import (
    HeldRows,
    StoredVideos,
    Stream,
    over_views,
    take_videos,
    views_of,
)

LENGTHS = (9, 2, 31)
SEGMENTS = 4


def rows_of(width: int) -> Tensor:
    """Return rows that say of which video and frame they are."""
    told = [(video, frame) for video, length in enumerate(LENGTHS) for frame in range(length)]
    return torch.tensor(told, dtype=torch.float32).repeat(1, width // 2)


def stored(*widths: int) -> StoredVideos:
    starts = torch.tensor([0, 9, 11])
    centres = torch.tensor([[1, 3, 5, 7], [0, 1, 1, 1], [3, 11, 19, 27]])
    views = torch.stack([centres, (centres - 1).clamp_min(0)], dim=1)
    streams = [
        Stream(rows=HeldRows(rows_of(width)), starts=starts, centres=centres, views=views)
        for width in widths
    ]
    return StoredVideos(streams=tuple(streams), lengths=torch.tensor(LENGTHS))


def test_drawn_frames_lie_in_their_parts_and_reach_all_of_them() -> None:
    videos, generator = stored(2), torch.Generator().manual_seed(0)
    drawn = torch.stack([videos.draw(generator) for _ in range(400)])  # [400, N, K]
    for video, length in ((0, 9), (2, 31)):
        for part in range(SEGMENTS):
            low, high = part * length / SEGMENTS, (part + 1) * length / SEGMENTS
            seen = set(drawn[:, video, part].tolist())
            assert seen == {f for f in range(length) if f + 1 > low and f < high}
    # Fewer frames than segments: all of them, the last repeated.
    assert (drawn[:, 1] == torch.tensor([0, 1, 1, 1])).all()


def test_a_draw_depends_on_its_generator_alone() -> None:
    videos = stored(2)
    first, again = (videos.draw(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, videos.draw(torch.Generator().manual_seed(4)))


def test_each_video_gives_its_own_frames() -> None:
    videos = stored(2)
    taken = take_videos(videos, torch.tensor([2, 0]))
    assert taken[:, :, 0].tolist() == [[2] * 4, [0] * 4]
    assert taken[:, :, 1].tolist() == [[3, 11, 19, 27], [1, 3, 5, 7]]
    frames = videos.draw(torch.Generator().manual_seed(0))
    drawn = take_videos(videos, torch.tensor([2, 0]), frames)
    assert torch.equal(drawn[:, :, 1], frames[[2, 0]].float())
    # Two stacked runs with a draw each.
    both = torch.stack([frames, frames.flip(1)])
    stacked = take_videos(videos, torch.tensor([[2, 0], [0, 1]]), both)
    assert torch.equal(stacked[0], drawn)
    assert torch.equal(stacked[1, :, :, 1], frames.flip(1)[[0, 1]].float())


def test_streams_are_joined_moment_by_moment() -> None:
    videos = stored(2, 4)
    assert videos.shape == (3, 4, 6)
    frames = videos.draw(torch.Generator().manual_seed(0))
    taken = take_videos(videos, torch.tensor([2, 0]), frames)
    assert torch.equal(taken, taken[:, :, :2].repeat(1, 1, 3))


def test_some_of_the_videos_keep_their_frames() -> None:
    videos = stored(2)
    for some, numbers in ((videos[::2], [0, 2]), (videos[[False, True, True]], [1, 2])):
        assert len(some) == 2
        expected = take_videos(videos, torch.tensor(numbers))
        assert torch.equal(take_videos(some, torch.tensor([0, 1])), expected)
    assert videos[:0].shape == (0, 4, 2)


def test_views_of_a_video_come_together_and_are_averaged() -> None:
    (part, num_views), (last, _) = views_of(stored(2), 2)
    assert (num_views, part.shape, last.shape) == (2, (4, 4, 2), (2, 4, 2))
    means = over_views(part.mean(dim=1), num_views)
    assert means[:, 0].tolist() == [0, 1]
    assert means[0, 1] == pytest.approx(3.5)
    # A tensor of several views is the same.
    (whole, again), *_ = views_of(part.reshape(2, 2, 4, 2), 2)
    assert (again, torch.equal(whole, part)) == (2, True)
