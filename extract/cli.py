"""`ta3n-extract`: frame features of a dataset, for `ta3n-train`."""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ta3n.common.cli import handles_errors, settings_options
from ta3n.common.errors import UsageError
from ta3n.common.log import LOGGER
from ta3n.common.names import shorten
from ta3n.datasets.base import Dataset, Listing
from ta3n.datasets.benchmarks import get_benchmark
from ta3n.datasets.registry import dataset_names, get_dataset

if TYPE_CHECKING:
    from ta3n.common.records import Plan
    from ta3n.common.settings import ExtractSettings, Settings
    from ta3n.extract.plan import JobShare

COMMAND = "ta3n-extract"
_PROFILE, _IMAGE_SIZE = "ta3n", 224

_EPILOG = """
\b
Examples:
  ta3n-extract --dataset ucf101 --root /data/UCF-101 --splits /data/ucfTrainTestlist
  ta3n-extract --dataset hmdb51 --benchmark ucf-hmdb-full --frames segments:5
  ta3n-extract --dataset hmdb51 --shard $SLURM_ARRAY_TASK_ID/16     (an array job, 0-15)
  ta3n-extract --dataset olympic --dry-run

\b
Exit codes: 0 done (clips that failed are in the manifest), 1 data, weights or device missing,
2 wrong usage, 3 more clips failed than --max-failures allows, 75 interrupted.
"""


@click.command(COMMAND, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.option("--dataset", metavar="NAME", help=f"One of {', '.join(dataset_names())}.")
@click.option("--root", metavar="DIR", help="Folder of the dataset's class folders.")
@click.option("--splits", metavar="DIR", help="Its official split files; else looked for nearby.")
@click.option("--out", metavar="DIR", help="Features go to DIR/<dataset>.")
@click.option("--benchmark", metavar="NAME", help="Only the classes of this benchmark.")
@click.option("--classes", metavar="A,B", help="Only these class folders.")
@click.option(
    "--allow-missing", is_flag=True, default=None, help="Go on if a class is not on disk."
)
@click.option("--backbone", metavar="NAME", help="resnet101 (default), efficientnet_lite0 ...")
@click.option("--weights", metavar="W", help="imagenet1k_v1 (default), FILE, or random:SEED.")
@click.option("--frames", metavar="F", help="all (default), or segments:K to keep only those.")
@click.option("--device", metavar="D", help="auto (default), cpu or cuda:N.")
@click.option("--batch-size", type=int, metavar="B", help="Frames in one forward pass.")
@click.option("--decode-threads", type=int, metavar="N", help="Clips decoded side by side.")
@click.option("--shard", metavar="i/N", help="Do the i-th of N parts, i from 0.")
@click.option("--limit", type=int, metavar="N", help="Only N clips, spread over the dataset.")
@click.option(
    "--clip-timeout", type=float, metavar="S", help="Give a clip up after S idle seconds."
)
@click.option(
    "--supervise/--no-supervise",
    default=None,
    help="Survive clips that crash or hang (default); --no-supervise is for debugging.",
)
@click.option("--retry-failed", is_flag=True, help="Do clips again that failed before.")
@click.option("--repair", is_flag=True, help="Check all shards; make damaged ones again.")
@click.option("--max-failures", metavar="N|P%", help="End with 3 if more clips fail.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@settings_options
@handles_errors(COMMAND)
def main(
    dataset: str | None,
    root: str | None,
    splits: str | None,
    classes: str | None,
    shard: str | None,
    retry_failed: bool,
    repair: bool,
    dry_run: bool,
    config_file: Path | None,
    show_config: bool,
    **options: Any,
) -> None:
    """Decode a dataset's videos and write features of their frames.

    A finished folder is left as it is; an interrupted one is gone on with by the same command line.
    """
    # Settings and torch are imported late: --help must answer at once.
    from ta3n.common.settings_file import load_settings

    source = None if dataset is None else get_dataset(dataset)
    overrides = {f"extract.{key}": value for key, value in options.items()}
    overrides["extract.classes"] = [c for c in classes.split(",") if c] if classes else None
    if source is not None:
        overrides |= {f"data.{source.name}.root": root, f"data.{source.name}.splits": splits}
    resolved = load_settings(config_file, overrides)
    if show_config:
        click.echo(resolved.describe(("data", "extract")))
        return
    if source is None:
        raise UsageError(f"no dataset; give --dataset, one of {', '.join(dataset_names())}")
    call = _Call(shard, retry_failed=retry_failed, repair=repair, dry_run=dry_run)
    _extract(source, resolved.settings, call)


@dataclass(frozen=True, slots=True)
class _Call:
    """Options that are not settings: they hold for one call."""

    shard: str | None
    _: KW_ONLY
    retry_failed: bool
    repair: bool
    dry_run: bool


def _extract(dataset: Dataset, settings: Settings, call: _Call) -> None:
    from ta3n.common.records import FeatureConfig
    from ta3n.extract.backbones import get_backbone, weights_identity
    from ta3n.extract.plan import JobShare, make_plan
    from ta3n.extract.run import ExtractionJob, check_failures, report, run_job
    from ta3n.extract.supervisor import WORKER_COMMAND

    options = settings.extract
    share = JobShare() if call.shard is None else JobShare.parse(call.shard)
    backbone = get_backbone(options.backbone)
    listing, selection = _listing(dataset, settings)
    plan = make_plan(
        listing,
        FeatureConfig(
            dataset=dataset.name,
            backbone=backbone.name,
            weights=weights_identity(backbone, options.weights),
            profile=_PROFILE,
            image_size=_IMAGE_SIZE,
            frames=options.frames,
            feature_dim=backbone.feature_dim,
        ),
        selection=selection,
        limit=options.limit,
    )
    folder = options.out / dataset.name
    if call.dry_run:
        click.echo(_describe_plan(plan, listing, share, folder))
        return
    manifest = run_job(
        ExtractionJob(
            root=listing.root,
            folder=folder,
            plan=plan,
            share=share,
            backbone=backbone,
            weights=options.weights,
            device=options.device,
            batch_size=options.batch_size,
            decode_threads=options.decode_threads,
            clip_timeout_s=options.clip_timeout,
            retry_failed=call.retry_failed,
            repair=call.repair,
            worker_command=WORKER_COMMAND if options.supervise else (),
        )
    )
    report(manifest, folder)
    check_failures(manifest, options.max_failures)


def _listing(dataset: Dataset, settings: Settings) -> tuple[Listing, str]:
    """Return the clips to extract and the selection in words."""
    paths = settings.data.get(dataset.name)
    if paths is None or paths.root is None:
        raise UsageError(
            f"no folder for {dataset.name}; give --root DIR, or set root under "
            f"[data.{dataset.name}] in pipeline.toml"
        )
    options = settings.extract
    wanted, selection = _wanted_classes(dataset, options)
    # With --allow-missing a class that is not on disk is none of the scan's business.
    asked = None if options.allow_missing else wanted
    listing = dataset.scan(paths.root, paths.splits, asked)
    LOGGER.info("splits of %s: %s", dataset.name, listing.splits_origin)
    if wanted is not None:
        listing = _only(listing, wanted)
    return listing, selection


def _wanted_classes(
    dataset: Dataset, options: ExtractSettings
) -> tuple[tuple[str, ...] | None, str]:
    if options.benchmark is not None and options.classes:
        raise UsageError("--benchmark and --classes both choose classes; give one of them")
    if options.benchmark is not None:
        benchmark = get_benchmark(options.benchmark)
        return benchmark.classes_of(dataset.name), f"benchmark {benchmark.name}"
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
    )


def _describe_plan(plan: Plan, listing: Listing, share: JobShare, folder: Path) -> str:
    mine = share.of(plan.shards)
    per_class = Counter(clip.class_name for clip in plan.clips)
    megabytes = sum(clip.size_bytes for clip in plan.clips) / 1e6
    lines = [
        f"{plan.config.dataset}: {len(plan.clips)} clips ({megabytes:.1f} MB) of "
        f"{len(per_class)} classes in {listing.root}",
        f"selection: {plan.selection}; splits: {plan.splits_origin}; "
        f"{len(plan.absent)} listed clips are not on disk",
        f"features: {plan.config.backbone}, weights {plan.config.weights}, frames "
        f"{plan.config.frames}, {plan.config.feature_dim} values a frame",
        f"this job: {len(mine)} of {len(plan.shards)} shards, to {folder}",
        *(f"{count:7d} {name}" for name, count in sorted(per_class.items())),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
