"""`ta3n-features`: what a feature folder holds, whether it is sound, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ta3n.common.cli import handles_errors
from ta3n.common.errors import DataMissingError, FeatureStoreError
from ta3n.common.names import printable, shorten
from ta3n.extract.exchange.cli import (
    duplicates_command,
    export_command,
    import_command,
    show_command,
)

if TYPE_CHECKING:
    from ta3n.common.records import Manifest, Plan

COMMAND = "ta3n-features"
_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))

_EPILOG = """
\b
Examples:
  ta3n-features info features/ucf101
  ta3n-features verify features          (every dataset in it)
  ta3n-features missing features/hmdb51
  ta3n-features merge features           (after the jobs of an array)
  ta3n-features import RGB-feature --dataset hmdb51 --splits testTrainMulti_7030_splits
  ta3n-features export features/hmdb51 --format npy --out arrays
  ta3n-features show features/hmdb51 Rock_climbing_f_cm_np1_ba_med_3 --out similar.png
  ta3n-features duplicates features/hmdb51     (between training and test)

\b
What verify finds, ta3n-extract --repair mends; clips that failed, ta3n-extract --retry-failed tries
again; both with the line that made the features.
Exit codes: 0 done, 1 damaged or no features there, 2 wrong usage.
"""


@click.group(COMMAND, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.version_option(package_name="ta3n")
def main() -> None:
    """Look at the features that `ta3n-extract` wrote; import and export features."""


main.add_command(import_command)
main.add_command(export_command)
main.add_command(show_command)
main.add_command(duplicates_command)


@main.command()
@_FOLDER
@handles_errors(COMMAND)
def info(folder: Path) -> None:
    """Say what is there, by status, with the reason for each clip that is not ok."""
    from ta3n.extract.job.feature_folder import feature_folders

    for part in feature_folders(folder):
        plan, manifest = _load(part)
        config = plan.config
        rows = sum(clip.length for clip in manifest.clips)
        done = manifest.num_shards - len({clip.shard for clip in manifest.pending})
        _say(
            f"{part}: {config.dataset}, {config.backbone}, weights {config.weights}, frames "
            f"{config.frames}, {config.feature_dim} values a row, profile {config.profile}"
            f"{config.transform and f' ({config.transform})'}; {plan.selection}"
        )
        _say(f"{done} of {manifest.num_shards} shards, {rows} rows")
        lacking = [("pending", len(manifest.pending)), ("absent", len(manifest.absent))]
        for status, count in [*manifest.status_counts().items(), *lacking]:
            if count:
                _say(f"{count:7d} {status}")
        for line in _remarks(manifest):
            _say(line)


@main.command()
@_FOLDER
@handles_errors(COMMAND)
def verify(folder: Path) -> None:
    """Check every checksum, count, value and origin; name what is damaged."""
    from ta3n.extract.job.feature_folder import feature_folders

    num_damaged = 0
    for part in feature_folders(folder):
        damaged = list(_damage(part))
        num_damaged += len(damaged)
        for line in damaged or [f"{part}: sound"]:
            _say(line)
    if num_damaged:
        raise FeatureStoreError(
            f"{num_damaged} damaged; ta3n-extract --repair, with the line that made the features, "
            "mends this"
        )


@main.command()
@_FOLDER
@handles_errors(COMMAND)
def missing(folder: Path) -> None:
    """List the clips without features, a line each: what became of it, path, reason."""
    from ta3n.common.names import printable
    from ta3n.common.records import USABLE
    from ta3n.extract.job.feature_folder import feature_folders

    for part in feature_folders(folder):
        _, manifest = _load(part)
        lines = [("pending", clip.path, "its shard is not made yet") for clip in manifest.pending]
        lines += [(c.status, c.path, c.error) for c in manifest.clips if c.status not in USABLE]
        lines += [("absent", clip.path, "not on disk") for clip in manifest.absent]
        for status, path, reason in lines:
            click.echo(f"{status}\t{printable(path)}\t{printable(reason)}")


@main.command()
@_FOLDER
@handles_errors(COMMAND)
def merge(folder: Path) -> None:
    """Bring the manifest up to date; end with 1 and say what to run if shards are missing.

    Every job does so at its end, so that this changes nothing after a sound array. It may be run
    at any time and any number of times. Clips that failed are no reason to fail here.
    """
    from ta3n.extract.job.feature_folder import feature_folders

    incomplete = []
    for part in feature_folders(folder):
        lines = list(_lacking_shards(part))
        if lines:
            incomplete.append(str(part))
        for line in lines or [f"{part}: complete"]:
            _say(line)
    if incomplete:
        raise DataMissingError(
            f"{', '.join(incomplete)}: shards are missing; give the jobs that make them again"
        )


def _lacking_shards(part: Path) -> Iterator[str]:
    """Rebuild the manifest of a dataset; yield what is missing, by the job that is to make it."""
    from ta3n.common.records import PLAN_NAME, Plan, build_manifest, read_record
    from ta3n.common.shares import SHARES_NAME, read_count
    from ta3n.extract.job.feature_folder import mend_sidecar

    shards = read_record(Plan, part / PLAN_NAME).shards
    for shard in shards:
        # A job killed between a shard and its sidecar leaves the one without the other.
        mend_sidecar(part, shard)
    done = {clip.shard for clip in build_manifest(part).clips}
    shares = part / SHARES_NAME
    num_jobs = read_count(shares) if shares.is_file() else 1
    lacking = [shard for shard in shards if shard not in done]
    if lacking:
        yield f"{part}: {len(lacking)} of {len(shards)} shards are missing: {shorten(lacking)}"
    if lacking and num_jobs > 1:
        jobs = sorted({shards.index(shard) % num_jobs for shard in lacking})
        numbers = ",".join(map(str, jobs))
        yield f"{part}: jobs {numbers} of {num_jobs} make them (in Slurm --array={numbers})"


def _load(folder: Path) -> tuple[Plan, Manifest]:
    """Return the plan, and the manifest as the sidecars have it; nothing is written."""
    from ta3n.common.records import PLAN_NAME, Plan, collect_manifest, read_record

    return read_record(Plan, folder / PLAN_NAME), collect_manifest(folder)


def _damage(folder: Path) -> Iterator[str]:
    from ta3n.common.records import (
        MANIFEST_NAME,
        PLAN_NAME,
        Manifest,
        Plan,
        collect_manifest,
        read_record,
    )
    from ta3n.extract.job.feature_folder import damage_of

    plan = read_record(Plan, folder / PLAN_NAME)
    sound = True
    for shard in plan.shards:
        damage = damage_of(folder, plan, shard)
        if damage is not None:
            sound = False
            yield f"{folder / shard}.h5: {damage.text}"
    # A manifest cannot be right where a sidecar is not.
    try:
        if sound and read_record(Manifest, folder / MANIFEST_NAME) != collect_manifest(folder):
            yield f"{folder / MANIFEST_NAME}: it is not what the sidecars say"
    except (DataMissingError, FeatureStoreError) as error:
        yield f"{folder / MANIFEST_NAME}: {error}"


def _remarks(manifest: Manifest) -> Iterator[str]:
    for clip in manifest.clips:
        if clip.status != "ok":
            yield f"{clip.status} {clip.path}: {clip.error}"
        if clip.warning:
            yield f"warning {clip.path}: {clip.warning}"


def _say(line: str) -> None:
    # Names and records may come from anyone: nothing of them may steer the terminal.
    click.echo(printable(line))


if __name__ == "__main__":
    main()
