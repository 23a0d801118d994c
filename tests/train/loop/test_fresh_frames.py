"""If this breaks, an epoch does not see frames of its own, or a resumed run sees others."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ta3n.common.errors import TrainingError
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.stacked import StackedTrainer
from ta3n.train.model.videos import HeldRows, StoredVideos, Stream

MakeData = Callable[..., TrainingData]
MakeTrainer = Callable[..., Trainer]

_FRAMES = 12


def in_rows(features: torch.Tensor, generator: torch.Generator) -> StoredVideos:
    """Return videos of 12 frames each, whose centres are those of a tensor [N, 5, D]."""
    num_videos, num_segments, width = features.shape
    noise = torch.randn(num_videos, _FRAMES, width, generator=generator)
    rows = features.mean(dim=1, keepdim=True) + 0.3 * noise
    centres = torch.tensor([1, 3, 6, 8, 10]).expand(num_videos, num_segments)
    rows.scatter_(1, centres[..., None].expand_as(features), features)
    stream = Stream(
        rows=HeldRows(rows.flatten(0, 1)),
        starts=_FRAMES * torch.arange(num_videos),
        centres=centres,
        views=centres[:, None],
    )
    return StoredVideos(streams=(stream,), lengths=torch.full((num_videos,), _FRAMES))


@pytest.fixture
def data(make_data: MakeData) -> TrainingData:
    plain, generator = make_data(), torch.Generator().manual_seed(5)
    source, target = plain.source_features, plain.target_features
    return TrainingData(
        source_features=in_rows(source, generator),
        source_labels=plain.source_labels,
        target_features=in_rows(target, generator),
    )


def train(trainer: Trainer) -> dict[str, torch.Tensor]:
    for _ in trainer.epochs():
        pass
    return trainer.model.state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_centres_of_rows_train_as_a_tensor_does(
    make_trainer: MakeTrainer, make_data: MakeData, data: TrainingData
) -> None:
    assert equal(train(make_trainer(data=data)), train(make_trainer(data=make_data())))


def test_each_epoch_has_frames_of_its_own(make_trainer: MakeTrainer, data: TrainingData) -> None:
    trainer = make_trainer(data=data, sampling="random")
    plans = []
    for _ in range(2):
        plans.append(trainer.begin_epoch())
        first, again = (
            [b.source_features for b in plans[-1].batches(trainer.data)] for _ in range(2)
        )
        assert all(map(torch.equal, first, again)), "one epoch looks at the same frames throughout"
    for name in ("source_frames", "target_frames"):
        one, other = (getattr(plan, name) for plan in plans)
        assert one.shape == other.shape
        assert not torch.equal(one, other)


def test_random_frames_change_the_run_and_not_the_order_of_videos(
    make_trainer: MakeTrainer, data: TrainingData
) -> None:
    plans = [make_trainer(data=data, sampling=s).begin_epoch() for s in ("centre", "random")]
    assert plans[0].source_frames is None
    assert all(map(torch.equal, plans[0].source_batches, plans[1].source_batches))
    weights = [train(make_trainer(data=data, sampling=s)) for s in ("centre", "random")]
    assert not equal(*weights)


@pytest.mark.parametrize("stop_after", [1, 3])
def test_resumed_run_draws_what_it_would_have_drawn(
    make_trainer: MakeTrainer, data: TrainingData, stop_after: int
) -> None:
    undisturbed = make_trainer(data=data, sampling="random")
    weights = train(undisturbed)
    stopped = make_trainer(data=data, sampling="random")
    for _ in range(stop_after):
        stopped.run_epoch()
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed = make_trainer(data=data, sampling="random")
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert equal(weights, train(resumed))
    assert resumed.history == undisturbed.history


def test_state_from_before_frames_were_drawn_is_taken_up(make_trainer: MakeTrainer) -> None:
    undisturbed, stopped = make_trainer(), make_trainer()
    stopped.run_epoch()
    state: dict[str, Any] = stopped.state_dict()
    for name in ("source_frames", "target_frames"):
        del state["generators"][name]
    resumed = make_trainer()
    resumed.load_state_dict(state)
    assert equal(train(undisturbed), train(resumed))


def test_stacked_seeds_draw_as_they_do_alone(make_trainer: MakeTrainer, data: TrainingData) -> None:
    def make(seed: int) -> Trainer:
        return make_trainer(data=data, seed=seed, sampling="random")

    members = [make(1), make(2)]
    for _ in StackedTrainer(members).epochs():
        pass
    for seed, member in zip((1, 2), members, strict=True):
        alone = train(make(seed))
        for name, value in member.model.state_dict().items():
            torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-6)


def test_there_is_nothing_to_draw_of_centres(
    make_trainer: MakeTrainer, make_data: MakeData, data: TrainingData
) -> None:
    with pytest.raises(TrainingError, match="these are centres already"):
        make_trainer(data=make_data(), sampling="random").begin_epoch()
    bad = data.source_features.streams[0].rows.rows.clone()
    bad[7, 0] = torch.inf
    stream = replace(data.source_features.streams[0], rows=HeldRows(bad))
    poisoned = replace(data, source_features=replace(data.source_features, streams=(stream,)))
    with pytest.raises(TrainingError, match="1 source rows have features that are not finite"):
        make_trainer(data=poisoned, sampling="random")
