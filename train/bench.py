"""How fast training is: its loop, stacked seeds, and features that stay in their files.

What is compared is measured in turns, so that a busy machine slows both sides, and the median of
the turns is reported. Run as `python -P -m ta3n.train.bench`. Where other programs use the same
cores, set OMP_NUM_THREADS=1: threads that wait for each other measure the other programs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch

from ta3n.common.cli import handles_errors
from ta3n.common.device import describe_device, resolve_device
from ta3n.common.sampling import segment_indices
from ta3n.train.bench_scale import plan_clip, write_clips
from ta3n.train.data.features import FolderRows, MappedFolder
from ta3n.train.data.videos import Video
from ta3n.train.loop.batches import TrainingData
from ta3n.train.loop.engine import Trainer
from ta3n.train.loop.objective import run_update
from ta3n.train.loop.stacked import StackedTrainer
from ta3n.train.methods.registry import METHODS, method_for
from ta3n.train.methods.run_settings import RunSettings
from ta3n.train.model.videos import HeldRows, Rows, StoredVideos, Stream, Videos
from ta3n.train.recipe.directions import direction_weights
from ta3n.train.recipe.recipes import RECIPES, Sampling

COMMAND = "ta3n.train.bench"

_NUM_CLASSES = 12
_FRAMES = 16
"""Of a video, where they lie in files."""
# Those that have epochs.
_METHODS = [name for name, method in METHODS.all().items() if method.closed_form is None]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many training videos there are, of which width, and how many source videos in a step."""

    num_source: int
    num_target: int
    feature_dim: int
    source_batch: int


SIZES = {
    "full": Size(num_source=1438, num_target=840, feature_dim=2048, source_batch=128),
    "demo": Size(num_source=480, num_target=480, feature_dim=1280, source_batch=32),
}
"""UCF->HMDB of ucf-hmdb-full with ResNet-101, and the demonstration."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row at one size."""

    size: Size
    method: str
    temporal: str
    recipe: str
    device: torch.device

    def trainers(self, count: int) -> list[Trainer]:
        """Return runs of that many seeds on made-up features, which they share."""
        size, generator = self.size, torch.Generator().manual_seed(0)
        source, target = (
            torch.rand(videos, 5, size.feature_dim, generator=generator)
            for videos in (size.num_source, size.num_target)
        )
        return self.trainers_on(source, target, count)

    def trainers_on(
        self, source: Videos, target: Videos, count: int, sampling: Sampling = "centre"
    ) -> list[Trainer]:
        """Return runs of that many seeds on the features of two domains."""
        size = self.size
        labels = torch.arange(size.num_source) % _NUM_CLASSES
        data = TrainingData(source_features=source, source_labels=labels, target_features=target)
        method = method_for(self.method, self.temporal)
        usual = direction_weights("ucf-hmdb-full", "ucf101", "hmdb51").values
        settings = RunSettings(
            method=method,
            recipe=replace(
                RECIPES[self.recipe],
                source_batch=size.source_batch,
                epochs=10_000,
                sampling=sampling,
            ),
            weights={name: usual.get(name, w.default) for name, w in method.weights.items()},
            num_classes=_NUM_CLASSES,
            seed=0,
        )
        data = data.to(self.device, torch.float32)
        return [
            Trainer(replace(settings, seed=seed), data, device=self.device) for seed in range(count)
        ]


def bare_epoch(trainer: Trainer) -> Callable[[], None]:
    """Return what makes an epoch's forward and backward passes and updates, and nothing else.

    One batch with its masks is used for all steps: nothing is drawn, gathered, clipped, scheduled
    or recorded.
    """
    plan = trainer.begin_epoch()
    batch = next(plan.batches(trainer.data))
    masks = trainer.draw_masks(batch.num_videos)
    weights = trainer.weights(0, plan.steps)

    def run() -> None:
        for _ in range(plan.steps):
            for update, update_masks in zip(trainer.objective.updates, masks, strict=True):
                trainer.optimizer.zero_grad()
                result = run_update(
                    trainer.model,
                    batch,
                    update_masks,
                    objective=trainer.objective,
                    weights=weights,
                    update=update,
                )
                moved = [p for n, p in trainer.model.named_parameters() if update.moves(n)]
                result.losses["total"].backward(inputs=moved)  # type: ignore[no-untyped-call]
                trainer.optimizer.step()

    return run


def in_turns(
    candidates: Sequence[Callable[[], object]], repeats: int, device: torch.device
) -> list[float]:
    """Run candidates in turns, after one turn that is not counted; return median seconds."""
    times: list[list[float]] = [[] for _ in candidates]
    for turn in range(repeats + 1):
        for candidate, own in zip(candidates, times, strict=True):
            started = time.perf_counter()
            candidate()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn > 0:
                own.append(time.perf_counter() - started)
    return [median(own) for own in times]


def compare(name: str, case: Case, num_seeds: int, repeats: int) -> None:
    """Print what an epoch costs beside its bare arithmetic, and what stacking seeds gains."""
    bare, whole = case.trainers(2)
    bare_s, whole_s = in_turns([bare_epoch(bare), whole.run_epoch], repeats, case.device)
    click.echo(
        f"{name}: bare forward, backward and step {bare_s:.3f} s, whole loop {whole_s:.3f} s:"
        f" {100 * (whole_s / bare_s - 1):+.1f} %"
    )
    singles, stack = case.trainers(num_seeds), StackedTrainer(case.trainers(num_seeds))

    def one_after_another() -> None:
        for trainer in singles:
            trainer.run_epoch()

    apart_s, stacked_s = in_turns([one_after_another, stack.run_epoch], repeats, case.device)
    click.echo(
        f"{name}: {num_seeds} seeds one after another {apart_s:.3f} s, stacked {stacked_s:.3f} s:"
        f" {apart_s / stacked_s:.2f} times as fast"
    )


def compare_reading(name: str, case: Case, repeats: int) -> None:
    """Print what it costs to draw frames anew, and to read them from mapped files."""
    size = case.size
    counts = [size.num_source, size.num_target]
    with TemporaryDirectory() as folder:
        rows, starts = _mapped(Path(folder), sum(counts), size.feature_dim)
        held = HeldRows(rows.take(torch.arange(sum(counts) * _FRAMES)))
        parts = torch.split(starts, counts)

        def trainer(kind: Rows, sampling: Sampling) -> Trainer:
            source, target = (_stored(kind, part) for part in parts)
            return case.trainers_on(source, target, 1, sampling)[0]

        trainers = [trainer(held, "centre"), trainer(held, "random"), trainer(rows, "random")]
        candidates = [each.run_epoch for each in trainers]
        centre_s, drawn_s, mapped_s = in_turns(candidates, repeats, case.device)
    click.echo(
        f"{name}: centres in memory {centre_s:.3f} s, frames drawn among {_FRAMES} in memory"
        f" {drawn_s:.3f} s, from mapped files that are cached {mapped_s:.3f} s:"
        f" {100 * (mapped_s / drawn_s - 1):+.1f} %"
    )


def _stored(rows: Rows, starts: torch.Tensor) -> StoredVideos:
    num_segments = 5
    centres = torch.tensor(segment_indices(_FRAMES, num_segments)).expand(len(starts), -1)
    stream = Stream(rows=rows, starts=starts, centres=centres, views=centres[:, None])
    return StoredVideos(streams=(stream,), lengths=torch.full((len(starts),), _FRAMES))


def _mapped(folder: Path, num_videos: int, width: int) -> tuple[FolderRows, torch.Tensor]:
    """Write a shard of made-up features; return its rows, mapped, and where videos start."""
    features = np.random.default_rng(0).random((num_videos, _FRAMES, width), np.float32)
    planned = [plan_clip(n, "made-up", "shard-00000") for n in range(num_videos)]
    clips = write_clips(folder, planned, features)
    mapped = MappedFolder(folder, width)
    starts = mapped.starts_of([Video(clip, 0, ()) for clip in clips])
    return FolderRows(mapped, torch.device("cpu"), torch.float32), torch.from_numpy(starts)


@click.command(COMMAND)
@click.option("--size", "sizes", multiple=True, type=click.Choice(list(SIZES)), help="All.")
@click.option("--method", default="ta3n", show_default=True, type=click.Choice(_METHODS))
@click.option(
    "--temporal",
    default="relation",
    show_default=True,
    type=click.Choice(["pooling", "relation"]),
)
@click.option("--recipe", default="official", show_default=True, type=click.Choice(list(RECIPES)))
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--device", default="auto", show_default=True)
@handles_errors(COMMAND)
def main(
    sizes: tuple[str, ...],
    method: str,
    temporal: str,
    recipe: str,
    seeds: int,
    repeats: int,
    device: str,
) -> None:
    """Measure the cost of the training loop, and what stacking seeds gains."""
    place = resolve_device(device)
    threads = f"{torch.get_num_threads()} threads, " if place.type == "cpu" else ""
    click.echo(f"{describe_device(place)}, {threads}torch {torch.__version__}")
    click.echo(f"{method} with {temporal}, recipe {recipe}; medians of {repeats} epochs in turns")
    for name in sizes or SIZES:
        case = Case(size=SIZES[name], method=method, temporal=temporal, recipe=recipe, device=place)
        compare(name, case, seeds, repeats)
        compare_reading(name, case, repeats)


if __name__ == "__main__":
    main()
