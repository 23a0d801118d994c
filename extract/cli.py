"""`ta3n-extract`: frame features of a dataset, for `ta3n-train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ta3n.common.cli import SettingsCommand, complete_dataset, handles_errors, say, settings_options
from ta3n.common.errors import UsageError, shorten
from ta3n.common.log import LOGGER
from ta3n.common.shares import JobShare
from ta3n.datasets.benchmarks.registry import BUILT_IN_DATASETS
from ta3n.datasets.catalogue import Catalogue, catalogue_of, folders_of
from ta3n.datasets.custom.loose import VIDEOS, scan_videos
from ta3n.datasets.reading.base import Dataset, Listing
from ta3n.datasets.reading.folders import in_words, left_out_lines

if TYPE_CHECKING:
    from ta3n.extract.job.settings import ExtractSections, ExtractSettings

COMMAND = "ta3n-extract"
_ALL = "all"
_MOST_BENCH_CLIPS = 10_000

_EPILOG = """
\b
Examples:
  ta3n-extract --dataset ucf101 --root /data/UCF-101 --splits /data/ucfTrainTestlist
  ta3n-extract --dataset hmdb51 --benchmark ucf-hmdb-full --frames segments:5
  ta3n-extract --dataset hmdb51 --shard $SLURM_ARRAY_TASK_ID/16     (an array job, 0-15)
  ta3n-extract --dataset olympic --dry-run
  ta3n-extract --bench --backbone resnet50 --json -
  ta3n-extract --videos clips --videos more/one.mp4 --frames segments:5     (without a dataset)

\b
Exit codes: 0 done (clips that failed are in the manifest), 1 data, weights or device missing,
2 wrong usage, 3 all clips failed, or more than --max-failures allows, 75 interrupted.
"""


@click.command(
    COMMAND,
    cls=SettingsCommand,
    section="ta3n.extract.job.settings:ExtractSettings",
    after="videos",
    epilog=_EPILOG,
    context_settings={"max_content_width": 100},
)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=complete_dataset,
    help=f"{', '.join(d.name for d in BUILT_IN_DATASETS)}, or your own.",
)
@click.option("--root", metavar="DIR", help="Folder of the dataset's class folders.")
@click.option("--splits", metavar="DIR", help="Its official split files; else looked for nearby.")
@click.option(
    "--videos",
    multiple=True,
    metavar="FILE|DIR",
    help="Instead of a dataset: a video, or all in a folder and below; repeat for more.",
)
@click.option("--shard", metavar="i/N", help="Do the i-th of N parts, i from 0.")
@click.option("--retry-failed", is_flag=True, help="Do clips again that failed before.")
@click.option("--new-splits", is_flag=True, help="Other splits of the same clips: no new features.")
@click.option("--repair", is_flag=True, help="Check all shards; make damaged ones again.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would be done and stand in the way; try a few clips for time, memory and disk.",
)
@click.option("--bench", is_flag=True, help="Measure every stage on this machine, and stop.")
@click.option(
    "--simulate", metavar="R", type=float, help="With --bench: a device of R frames/s, no network."
)
@click.option("--json", "json_file", metavar="FILE|-", help="With --bench: write it as JSON.")
@settings_options
@handles_errors(COMMAND)
def main(
    dataset: str | None,
    root: str | None,
    splits: str | None,
    videos: tuple[str, ...],
    classes: str | None,
    shard: str | None,
    retry_failed: bool,
    new_splits: bool,
    repair: bool,
    dry_run: bool,
    bench: bool,
    simulate: float | None,
    json_file: str | None,
    config_file: Path | None,
    show_config: bool,
    **options: Any,
) -> None:
    """Decode a dataset's videos, or loose ones, and write features of their frames.

    The same command line goes on with an interrupted folder, and adds clips that are new or that a
    wider selection takes in; what is done stays as it is.
    """
    # Settings and torch are imported late: --help must answer at once.
    from ta3n.common.settings import load_settings
    from ta3n.extract.job.settings import ExtractSections

    of_datasets = {"--dataset": dataset, "--root": root, "--splits": splits}
    of_datasets |= {"--classes": classes, "--benchmark": options["benchmark"]}
    given = [name for name, value in of_datasets.items() if value is not None]
    if videos and given:
        raise UsageError(f"--videos are of no dataset; leave out {', '.join(given)}")
    overrides = {f"extract.{key}": value for key, value in options.items()}
    overrides["extract.classes"] = (
        [c.strip() for c in classes.split(",") if c.strip()] if classes else None
    )
    # Both choose classes: the one given here wins over the other one in the file.
    if classes and options["benchmark"] is None:
        overrides["extract.benchmark"] = _ALL
    elif options["benchmark"] is not None and not classes:
        overrides["extract.classes"] = []
    resolved = load_settings(ExtractSections, config_file, overrides)
    # The settings file may describe the dataset.
    catalogue = catalogue_of(resolved.settings)
    source = None if dataset is None else catalogue.dataset(dataset)
    if source is not None and (root or splits):
        overrides |= {f"data.{source.name}.root": root, f"data.{source.name}.splits": splits}
        resolved = load_settings(ExtractSections, config_file, overrides)
    if show_config:
        click.echo(resolved.describe())
        return
    if bench:
        _bench(resolved.settings.extract, json_file, simulate)
        return
    if simulate is not None:
        raise UsageError("--simulate says what --bench measures; give --bench with it")
    if json_file is not None:
        raise UsageError("--json says where --bench writes; give --bench with it")
    if source is None and not videos:
        names = ", ".join(known.name for known in catalogue.datasets)
        raise UsageError(f"no dataset; give --dataset, one of {names}, or --videos")
    _extract(
        source or [Path(video) for video in videos],
        resolved.settings,
        catalogue,
        None if shard is None else JobShare.parse(shard),
        dry_run=dry_run,
        retry_failed=retry_failed,
        new_splits=new_splits,
        repair=repair,
    )


def _bench(options: ExtractSettings, json_file: str | None, simulated: float | None) -> None:
    if simulated is not None:
        from ta3n.extract.bench.simulated import publish_simulation

        publish_simulation(
            simulated, json_file, decoders=options.decode_threads, megabytes=options.decode_memory
        )
        return
    from ta3n.extract.bench.run import BenchOptions, measure, publish

    if (options.limit or 0) > _MOST_BENCH_CLIPS:
        raise UsageError(
            f"--limit {options.limit}: --bench renders so many clips, at most {_MOST_BENCH_CLIPS}"
        )
    bench = BenchOptions(
        backbone=options.backbone,
        device=options.device,
        profile=options.profile,
        window=options.window,
        window_step=options.window_step,
        window_pad=options.window_pad,
        batch_size=options.batch_size,
        decode_threads=options.decode_threads,
        num_clips=options.limit or BenchOptions.num_clips,
        compiled=options.compile == "on",
    )
    publish(measure(bench), json_file)


def _extract(
    clips: Dataset | Sequence[Path],
    settings: ExtractSections,
    catalogue: Catalogue,
    share: JobShare | None,
    *,
    dry_run: bool,
    **again: bool,
) -> None:
    """Do what is asked for; `again` is what an `ExtractionJob` does with parts that are there."""
    from ta3n.extract.job.plan import Scope, feature_config, make_plan, num_plan_parts
    from ta3n.extract.job.run import ExtractionJob, check_failures, report, run_job
    from ta3n.extract.worker.work import DECODER_COMMAND, Work

    options = settings.extract
    name = clips.name if isinstance(clips, Dataset) else VIDEOS
    backbone, weights, config = feature_config(options, name)
    folder = options.out / name
    # Before the clips are looked for: another job may add some that this one does not see yet.
    num_parts = num_plan_parts(folder)
    if isinstance(clips, Dataset):
        listing, selection, classes = _listing(clips, settings, catalogue)
    else:
        listing, selection, classes = scan_videos(clips), "loose videos", None
    for line in left_out_lines(listing.left_out):
        LOGGER.warning("%s: %s", listing.dataset, line)
    config = config.model_copy(update={"reading": listing.reading})
    plan = make_plan(listing, config, selection=selection, limit=options.limit)
    scope = Scope.of(listing, classes, num_parts)
    work = Work(
        root=listing.root,
        folder=folder,
        config=config,
        backbone=backbone,
        weights=weights,
        device=options.device,
        batch_size=options.batch_size,
        compile=options.compile,
        decode_threads=options.decode_threads,
        decode_bytes=None if options.decode_memory is None else options.decode_memory * 10**6,
        clip_timeout_s=options.clip_timeout,
        decoder_command=DECODER_COMMAND if options.supervise else (),
    )
    job = ExtractionJob(work=work, plan=plan, scope=scope, share=share, **again)
    if dry_run:
        from ta3n.extract.job.dry_run import look_ahead

        for line in look_ahead(job, options.max_failures):
            say(line)
        return
    manifest = run_job(job)
    report(manifest, folder)
    check_failures(manifest.clips, options.max_failures)


def _listing(
    dataset: Dataset, settings: ExtractSections, catalogue: Catalogue
) -> tuple[Listing, str, tuple[str, ...] | None]:
    """Return the clips to extract, the selection in words, and its classes, None for all."""
    root, splits = folders_of(dataset, settings)
    options = settings.extract
    wanted, selection = _wanted_classes(dataset, options, catalogue)
    # With --allow-missing a class that is not on disk is none of the scan's business.
    asked = None if options.allow_missing else wanted
    listing = dataset.scan(root, splits, asked)
    LOGGER.info("splits of %s: %s", dataset.name, listing.splits_origin)
    if wanted is not None:
        listing = _only(listing, wanted)
    return listing, selection, wanted


def _wanted_classes(
    dataset: Dataset, options: ExtractSettings, catalogue: Catalogue
) -> tuple[tuple[str, ...] | None, str]:
    name = None if options.benchmark == _ALL else options.benchmark
    if name is not None and options.classes:
        raise UsageError("--benchmark and --classes both choose classes; give one of them")
    if name is not None:
        benchmark = catalogue.benchmark(name)
        try:
            return benchmark.classes_of(dataset.name), f"benchmark {benchmark.name}"
        except UsageError as error:
            raise UsageError(f"{error}; --benchmark all takes every class") from error
    if options.classes:
        return options.classes, f"classes {', '.join(sorted(options.classes))}"
    return None, "all classes"


def _only(listing: Listing, classes: tuple[str, ...]) -> Listing:
    """Return the listing without other classes; those that are not there are logged."""
    gone = sorted(set(classes) - set(listing.classes))
    if gone:
        LOGGER.warning("%d classes are not on disk: %s", len(gone), shorten(gone))
    return replace(
        listing,
        clips=tuple(clip for clip in listing.clips if clip.class_name in classes),
        absent=tuple(clip for clip in listing.absent if clip.class_name in classes),
        left_out=tuple(
            e for e in listing.left_out if in_words(e.path.partition("/")[0]) in classes
        ),
    )


if __name__ == "__main__":
    main()
