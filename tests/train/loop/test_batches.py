"""An epoch sees the videos it says it sees, once, without padding."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ta3n.common.errors import TrainingError
from ta3n.common.store import Features
from ta3n.train.data.features import FolderRows, MappedFolder
from ta3n.train.loop.batches import EpochPlan, TrainingData, plan_epoch, side_by_side
from ta3n.train.loop.randomness import RunGenerators
from ta3n.train.model.videos import StoredVideos, Stream
from ta3n.train.recipe.recipes import Batches
from ta3n.train.recipe.schedule import target_batch_size

MakeData = Callable[..., TrainingData]
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("num_source", "num_target", "expected"),
    # The two published sizes of ucf-hmdb-full, and a target too small for one video a batch.
    [(1438, 840, 74), (840, 1438, 219), (1000, 3, 1)],
)
def test_target_batch_follows_the_sizes(num_source: int, num_target: int, expected: int) -> None:
    assert target_batch_size(128, num_source, num_target) == expected


def make_plan(
    data: TrainingData, source_batch: int = 8, *, uses_target: bool = True, policy: Batches = "zip"
) -> EpochPlan:
    return plan_epoch(
        data,
        source_batch=source_batch,
        uses_target=uses_target,
        policy=policy,
        generators=RunGenerators(0, CPU),
    )


def test_an_epoch_uses_each_video_at_most_once_and_keeps_the_short_batch(
    make_data: MakeData,
) -> None:
    data = make_data(21, 13)
    plan = make_plan(data)
    assert [len(batch) for batch in plan.source_batches] == [8, 8, 5]
    assert [len(batch) for batch in plan.target_batches or ()] == [4, 4, 4]
    assert (plan.steps, plan.source_videos, plan.target_videos) == (3, 21, 12)
    seen = torch.cat([batch.source_features for batch in plan.batches(data)])
    assert torch.equal(seen.sum((1, 2)).sort().values, data.source_features.sum((1, 2)).sort()[0])


def test_labels_stay_with_their_videos(make_data: MakeData) -> None:
    data = make_data(21, 13)
    for batch in make_plan(data).batches(data):
        # The class is the largest of the first three features of these data.
        assert torch.equal(batch.source_features.mean(1)[:, :3].argmax(1), batch.source_labels)


class FolderOfZeros(MappedFolder):
    """Rows of files that there are not."""

    def take(self, numbers: NDArray[np.int64]) -> Features:
        return np.zeros((len(numbers), self.width), np.float32)


def test_rows_of_files_are_asked_for_without_a_wait_for_the_device() -> None:
    """So the next ones are read while it computes. From `meta` nothing can be brought back."""
    places = torch.arange(20).reshape(10, 2)
    rows = FolderRows(FolderOfZeros(Path(), 3), torch.device("meta"), torch.float32)
    stream = Stream(rows=rows, starts=torch.arange(10), centres=places, views=places[:, None])
    videos = StoredVideos(streams=(stream,), lengths=torch.full((10,), 20))
    data = TrainingData(
        source_features=videos,
        source_labels=torch.zeros(10, dtype=torch.int64, device="meta"),
        target_features=videos,
    )
    plan = make_plan(data, 4)
    for each in (plan, side_by_side([plan, plan])):
        for batch in each.batches(data):
            assert batch.target_features is not None
            assert batch.target_indices is not None
            assert batch.source_features.shape == (*batch.source_labels.shape, 2, 3)
            assert batch.target_features.shape == (*batch.target_indices.shape, 2, 3)


def test_cycling_drops_no_video_and_shuffles_the_shorter_domain_afresh(
    make_data: MakeData,
) -> None:
    data = make_data(21, 13)
    plan = make_plan(data, policy="cycle")
    assert [len(batch) for batch in plan.source_batches] == [8, 8, 5, 8]
    assert [len(batch) for batch in plan.target_batches or ()] == [4, 4, 4, 1]
    assert (plan.steps, plan.source_videos, plan.target_videos) == (4, 21, 13)
    first = torch.cat(plan.source_batches[:3])
    assert torch.equal(first.sort().values, torch.arange(21))
    assert not torch.equal(plan.source_batches[3], plan.source_batches[0])
    assert len(set(plan.source_batches[3].tolist())) == 8


def test_cycling_a_tiny_target_shows_the_whole_source(make_data: MakeData) -> None:
    plan = make_plan(make_data(21, 1), 4, policy="cycle")
    assert (plan.steps, plan.source_videos, plan.target_videos) == (6, 21, 1)


def test_both_domains_smaller_than_a_batch(make_data: MakeData) -> None:
    plan = make_plan(make_data(3, 2), 128)
    assert (plan.steps, plan.source_videos, plan.target_videos) == (1, 3, 2)


def test_a_tiny_target_cuts_the_epoch_short_and_the_plan_says_so(make_data: MakeData) -> None:
    data = make_data(21, 1)
    plan = make_plan(data, 4)
    assert (plan.steps, plan.source_videos, plan.target_videos) == (1, 4, 1)
    unaligned = make_plan(data, 4, uses_target=False)
    assert (unaligned.steps, unaligned.source_videos, unaligned.target_videos) == (6, 21, 0)


def test_the_source_order_does_not_depend_on_the_target(make_data: MakeData) -> None:
    orders = [
        torch.cat(make_plan(make_data(21, num_target), uses_target=uses).source_batches)
        for num_target, uses in [(13, True), (2, True), (13, False)]
    ]
    assert torch.equal(orders[0][: len(orders[1])], orders[1])
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], torch.arange(21))


def test_data_that_do_not_fit_together_are_refused(make_data: MakeData) -> None:
    data = make_data()
    with pytest.raises(TrainingError, match="source_labels"):
        TrainingData(source_features=data.source_features, source_labels=data.source_labels[:-1])
    with pytest.raises(TrainingError, match="source_labels"):
        TrainingData(source_features=data.source_features, source_labels=data.source_labels.float())
    with pytest.raises(TrainingError, match="at least one video"):
        TrainingData(source_features=data.source_features[:0], source_labels=data.source_labels[:0])
    with pytest.raises(TrainingError, match="target_features"):
        TrainingData(
            source_features=data.source_features,
            source_labels=data.source_labels,
            target_features=torch.zeros(4, 5, 9),
        )


def test_neighbouring_seeds_and_streams_draw_different_numbers() -> None:
    runs = [RunGenerators(seed, CPU) for seed in (0, 1)]
    streams = [g for run in runs for g in (run.weights, run.source_order, run.target_order)]
    first = {torch.rand(1, generator=generator).item() for generator in streams}
    assert len(first) == len(streams)
