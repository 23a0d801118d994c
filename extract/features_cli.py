"""`ta3n-features`: what a feature folder holds, whether it is sound; features for other eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from ta3n.common.cli import (
    complete_dataset,
    config_option,
    handles_errors,
    json_option,
    say,
    say_json,
)
from ta3n.common.errors import DataMissingError, FeatureStoreError, UsageError, printable

COMMAND = "ta3n-features"
_PATH = click.Path(path_type=Path)
_FOLDER = click.argument("folder", metavar="DIR", type=_PATH)

_EPILOG = """
\b
Examples:
  ta3n-features info features/ucf101
  ta3n-features verify features          (every dataset in it)
  ta3n-features missing features/hmdb51
  ta3n-features merge features           (after the jobs of an array)
  ta3n-features import RGB-feature --dataset hmdb51 --splits testTrainMulti_7030_splits
  ta3n-features import --epic pickles --annotations epic-kitchens-100-annotations
  ta3n-features export features/hmdb51 --format npy --out arrays
  ta3n-features show features/hmdb51 Rock_climbing_f_cm_np1_ba_med_3 --out similar.png
  ta3n-features duplicates features/hmdb51     (between training and test)

\b
What verify finds, ta3n-extract --repair mends; clips that failed, ta3n-extract --retry-failed tries
again; both with the line that made the features.
Exit codes: 0 done, 1 damaged or no features there, 2 wrong usage, 3 more videos of an import failed
than --max-failures allows, 75 interrupted.
"""


_IMPORT_EPILOG = """
\b
Examples:
  ta3n-features import RGB-feature --dataset hmdb51 --benchmark ucf-hmdb-full \\
      --lists list_hmdb51_train_hmdb_ucf-feature.txt --lists list_hmdb51_val_hmdb_ucf-feature.txt
  ta3n-features import arrays --dataset ucf101 --splits ucfTrainTestlist
  ta3n-features import i3d.pkl --dataset ucf101 --splits ucfTrainTestlist --backbone i3d
  ta3n-features import clip.h5 --dataset mine --root videos --backbone clip --pooled
  ta3n-features import i3d --dataset hmdb51 --splits testTrainMulti_7030_splits --backbone i3d \\
      --ending _rgb       (of files called as VIDEO_rgb.npy)
  ta3n-features import --epic pickles --annotations epic-kitchens-100-annotations
"""


_EXPORT_EPILOG = """
\b
Examples:
  ta3n-features export features/hmdb51 --format t7 --out RGB-feature --benchmark ucf-hmdb-full
  ta3n-features export features/hmdb51 --format t7 --out exported \\
      --list-root dataset/hmdb51/RGB-feature     (copied there later)

\b
The authors' main.py takes classInd_<benchmark>.txt, RGB, and the lists
list_<dataset>_train_<benchmark>-feature.txt of both datasets and ..._val_... of the target.
"""


@click.group(COMMAND, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.version_option(package_name="ta3n")
def main() -> None:
    """Look at the features that `ta3n-extract` wrote; import and export features."""


@main.command()
@_FOLDER
@json_option
@handles_errors(COMMAND)
def info(folder: Path, as_json: bool) -> None:
    """Say what is there, by status, with the reason for each clip that is not ok."""
    # Here and below: numpy and pydantic are imported late, --help must answer at once.
    from ta3n.extract.inspect.report import contents, summary
    from ta3n.extract.job.feature_folder import feature_folders

    found = [summary(part) for part in feature_folders(folder)]
    if as_json:
        say_json(found)
        return
    for part in found:
        for line in contents(part):
            say(line)


@main.command()
@_FOLDER
@json_option
@handles_errors(COMMAND)
def verify(folder: Path, as_json: bool) -> None:
    """Check every checksum, count, value and origin; name what is damaged."""
    from ta3n.extract.inspect.report import damage

    if num_damaged := sum(_tell(folder, damage, "sound", as_json=as_json).values()):
        raise FeatureStoreError(
            f"{num_damaged} damaged; ta3n-extract --repair, with the line that made the features, "
            "mends this"
        )


@main.command()
@_FOLDER
@json_option
@handles_errors(COMMAND)
def missing(folder: Path, as_json: bool) -> None:
    """List the clips without features, a line each: what became of it, path, reason."""
    from ta3n.extract.inspect.report import clips_without_features
    from ta3n.extract.job.feature_folder import feature_folders

    found = [(part, *of) for part in feature_folders(folder) for of in clips_without_features(part)]
    if as_json:
        names = ("folder", "status", "path", "reason")
        say_json([dict(zip(names, each, strict=True)) for each in found])
        return
    for _, *fields in found:
        click.echo("\t".join(map(printable, fields)))


@main.command()
@_FOLDER
@json_option
@handles_errors(COMMAND)
def merge(folder: Path, as_json: bool) -> None:
    """Bring the manifest up to date; end with 1 and say what to run if shards are missing.

    Every job does so at its end, so that this changes nothing after a sound array. It may be run
    at any time and any number of times. Clips that failed are no reason to fail here.
    """
    from ta3n.extract.inspect.report import missing_shards

    num_lines = _tell(folder, missing_shards, "complete", as_json=as_json)
    if incomplete := [str(part) for part, count in num_lines.items() if count]:
        raise DataMissingError(
            f"{', '.join(incomplete)}: shards are missing; give the jobs that make them again"
        )


@main.command("import", epilog=_IMPORT_EPILOG)
@click.argument("folder", metavar="[DIR|FILE]", type=_PATH, required=False)
@click.option(
    "--dataset", metavar="NAME", shell_complete=complete_dataset, help="Whose features these are."
)
@click.option(
    "--lists",
    multiple=True,
    type=_PATH,
    metavar="FILE",
    help="Lists of videos with frames and labels; repeat for training and validation.",
)
@click.option("--benchmark", metavar="NAME", help="Names the classes of numeric labels.")
@click.option("--splits", type=_PATH, metavar="DIR", help="Or the official split files.")
@click.option("--root", type=_PATH, metavar="DIR", help="Or the clips themselves.")
@click.option("--out", metavar="DIR", help="To DIR/<dataset> (default: features).")
@click.option("--backbone", help="What made them (default: as exported, else resnet101 or tbn).")
@click.option("--weights", help="Its weights, in words (default: as exported, else as published).")
@click.option(
    "--ids", type=_PATH, metavar="FILE", help="With one array of all videos: their names, in lines."
)
@click.option("--pooled", is_flag=True, help="An array of one axis is the one row of its video.")
@click.option("--transposed", is_flag=True, help="Arrays are features x frames.")
@click.option("--key", metavar="NAME", help="Entry with the features, where files hold several.")
@click.option(
    "--ending", metavar="TEXT", help="What follows names of videos in those of files, as _rgb does."
)
@click.option("--new-splits", is_flag=True, help="Other splits of the same videos.")
@click.option("--max-failures", metavar="N|P%", help="End with 3 if more videos fail.")
@click.option(
    "--epic",
    type=_PATH,
    metavar="DIR",
    help="In the place of DIR: the pickles of the EPIC-KITCHENS-100 challenge.",
)
@click.option(
    "--annotations", type=_PATH, metavar="DIR", help="With --epic: the challenge's annotations."
)
@click.option("--modalities", metavar="A,B", help="With --epic: columns (default: RGB,Flow,Audio).")
@click.option(
    "--segments",
    type=click.IntRange(1, 25),
    metavar="K",
    help="With --epic: keep the rows that K segments use (default: 5).",
)
@click.option("--all-rows", is_flag=True, help="With --epic: keep all 25 rows of each segment.")
@click.option("--config", "config_file", type=_PATH, help="Settings file with own datasets.")
@click.pass_context
@handles_errors(COMMAND)
def import_command(
    context: click.Context,
    folder: Path | None,
    dataset: str | None,
    lists: tuple[Path, ...],
    benchmark: str | None,
    splits: Path | None,
    root: Path | None,
    out: str | None,
    backbone: str | None,
    weights: str | None,
    ids: Path | None,
    pooled: bool,
    transposed: bool,
    key: str | None,
    ending: str | None,
    new_splits: bool,
    max_failures: str | None,
    epic: Path | None,
    annotations: Path | None,
    modalities: str | None,
    segments: int | None,
    all_rows: bool,
    config_file: Path | None,
) -> None:
    """Make a feature folder of features from elsewhere.

    DIR holds, at any depth, a folder for each video with a tensor for each frame (img_00001.t7), or
    a file .npy, .npz, .pt, .pkl or .h5 for each video with an array of frames x features. FILE
    holds those of all videos: a dict of arrays by name, or one array with --ids. Videos are matched
    by name, those of one name by the folders of their classes. Classes and splits come from
    --lists, official --splits, or the clips in --root.

    With --epic, the features published for the EPIC-KITCHENS-100 domain adaptation challenge
    (source_train.pkl and so on) become the folders epic100-source and epic100-target. Segments are
    matched by name with the tables in --annotations.
    """
    from ta3n.common.settings import load_settings
    from ta3n.extract.job.run import check_failures, report
    from ta3n.extract.job.settings import ExtractSections

    _check_import_options(context, with_epic=epic is not None)
    overrides = {"extract.out": out, "extract.max_failures": max_failures}
    settings = load_settings(ExtractSections, config_file, overrides).settings
    if epic is not None:
        from ta3n.extract.exchange import epic as challenge

        if annotations is None:
            raise UsageError("give --annotations DIR as well, which tell what --epic holds")
        chosen = challenge.EpicImport(
            source=epic,
            annotations=annotations,
            out=settings.extract.out,
            modalities=challenge.parse_modalities(modalities or "RGB,Flow,Audio"),
            frames="all" if all_rows else f"segments:{segments or 5}",
            backbone=backbone or challenge.BACKBONE,
            weights=weights or challenge.WEIGHTS,
            new_splits=new_splits,
        )
        for target, manifest in challenge.import_epic(chosen):
            report(manifest, target)
        return
    if folder is None or dataset is None:
        raise UsageError(
            "give the folder or file with the features and --dataset NAME, or --epic DIR"
        )
    from ta3n.datasets.catalogue import catalogue_of
    from ta3n.extract.exchange.importing import ImportJob, from_dataset, from_lists, run_import

    catalogue = catalogue_of(settings)
    named = catalogue.dataset(dataset)
    if lists:
        numbers = None if benchmark is None else catalogue.benchmark(benchmark)
        known, origin = from_lists(lists, named, numbers), f"lists {', '.join(map(str, lists))}"
    else:
        known, origin = from_dataset(named, root, splits), f"clips {root}" if root else str(splits)
    target = settings.extract.out / named.name
    job = ImportJob(
        source=folder,
        dataset=named.name,
        known=known,
        origin=origin,
        folder=target,
        backbone=backbone,
        weights=weights,
        new_splits=new_splits,
        names=ids,
        pooled=pooled,
        transposed=transposed,
        key=key or "",
        ending=ending or "",
    )
    manifest = run_import(job)
    report(manifest, target)
    check_failures(manifest.clips, settings.extract.max_failures)


_FOR_EPIC = ("annotations", "modalities", "segments", "all_rows")
_NOT_FOR_EPIC = (
    *("folder", "dataset", "lists", "benchmark", "splits", "root", "max_failures", "ids", "pooled"),
    *("transposed", "key", "ending"),
)


def _check_import_options(context: click.Context, *, with_epic: bool) -> None:
    """Refuse what is only for the other kind of import, and what contradicts itself."""
    given = {name for name, value in context.params.items() if value not in (None, (), False)}
    others = [name for name in (_NOT_FOR_EPIC if with_epic else _FOR_EPIC) if name in given]
    if others:
        name = "DIR" if others[0] == "folder" else f"--{others[0].replace('_', '-')}"
        raise UsageError(f"{name} is not for imports {'with' if with_epic else 'without'} --epic")
    if {"segments", "all_rows"} <= given:
        raise UsageError("--segments or --all-rows, not both")


@main.command("export", epilog=_EXPORT_EPILOG)
@_FOLDER
@click.option("--format", "form", required=True, type=click.Choice(["t7", "npy"]))
@click.option("--out", required=True, type=_PATH, metavar="DIR", help="A new folder.")
@click.option("--split", metavar="N", help="Of the lists (default: the benchmark's, or 1).")
@click.option(
    "--benchmark",
    metavar="NAME",
    help="With t7: lists of this one alone (default: all of which every class is there).",
)
@click.option(
    "--list-root",
    metavar="PATH",
    help="With t7: where DIR will lie for the authors' program (default: where it lies now).",
)
@config_option
@handles_errors(COMMAND)
def export_command(
    folder: Path,
    form: str,
    out: Path,
    split: str | None,
    benchmark: str | None,
    list_root: str | None,
    config_file: Path | None,
) -> None:
    """Write the features of a dataset as files for other programs.

    A folder for each video with a tensor for each frame (t7), or an array of frames x features for
    each video (npy); beside them train.txt and val.txt with lines of video, frames, class. With t7
    there are also lists as the authors' program reads them (path, frames, label), of the
    benchmark's videos by the benchmark's numbers, with its class file.
    """
    from ta3n.common.settings import load_settings
    from ta3n.datasets.catalogue import catalogue_of
    from ta3n.datasets.custom.settings import DataSections
    from ta3n.extract.exchange.exporting import export_features
    from ta3n.extract.job.feature_folder import only_feature_folder

    if form != "t7" and (benchmark is not None or list_root is not None):
        raise UsageError("--benchmark and --list-root are for the lists of --format t7")
    catalogue = catalogue_of(load_settings(DataSections, config_file, {}).settings)
    num_videos, lists = export_features(
        only_feature_folder(folder),
        form,
        out,
        catalogue=catalogue,
        split=split,
        benchmark=None if benchmark is None else catalogue.benchmark(benchmark),
        list_root=list_root,
    )
    click.echo(f"{num_videos} videos are in {out}, with {', '.join(lists)}")


@main.command("show")
@_FOLDER
@click.argument("clip")
@click.option("--root", type=_PATH, metavar="DIR", help="Folder of the clips: shows frames too.")
@click.option("--out", type=_PATH, metavar="FILE", help="Draw the self-similarity to FILE (PNG).")
@handles_errors(COMMAND)
def show_command(folder: Path, clip: str, root: Path | None, out: Path | None) -> None:
    """Tell what is known of one CLIP of a dataset: its path, or a part that no other has.

    It names the clip on the other side of the split that is most like it, and warns where they are
    nearly the same. The picture holds how alike all pairs of its frames are (cosine similarity of
    their features), beside sampled frames.
    """
    from ta3n.common.records import collect_manifest
    from ta3n.extract.inspect.near_duplicates import AlikeClips, describe_nearest
    from ta3n.extract.inspect.show import draw_clip, load_clip, read_sampled
    from ta3n.extract.job.feature_folder import only_feature_folder

    if root is not None and out is None:
        raise UsageError("--root is for the frames in a picture; give --out FILE as well")
    folder = only_feature_folder(folder)
    manifest = collect_manifest(folder)
    clips = manifest.clips
    shown = load_clip(folder, clips, clip)
    for line in shown.lines():
        click.echo(line)
    if len(shown.rows):
        try:
            alike = AlikeClips(folder, clips)
        except FeatureStoreError as error:
            # Another clip's shard: nothing is wrong with this one.
            click.echo(f"  most alike on the other side of a split: not known, {error}")
        else:
            click.echo(f"  {describe_nearest(alike.nearest(shown.record))}")
    if out is None:
        return
    if not len(shown.rows):
        raise DataMissingError(f"{clip} has no features to draw: it is {shown.record.status}")
    frames = []
    if root is not None:
        record = shown.record
        frames = read_sampled(root / record.file, record.section, manifest.config.reading)
    draw_clip(shown, frames, out)
    click.echo(f"picture: {out}")


@main.command("duplicates")
@_FOLDER
@json_option
@handles_errors(COMMAND)
def duplicates_command(folder: Path, as_json: bool) -> None:
    """List pairs of training and test clips whose features are nearly the same, a line each.

    The clips are those of one dataset. Each line has the similarity (0.85 to 1), the two clips, and
    the splits that they are on different sides of. Whether they show the same is for eyes to say.
    """
    from ta3n.common.records import collect_manifest
    from ta3n.extract.inspect.near_duplicates import NEAR, AlikeClips
    from ta3n.extract.job.feature_folder import only_feature_folder

    folder = only_feature_folder(folder)
    clips = collect_manifest(folder).clips
    pairs = list(AlikeClips(folder, clips).near_duplicates())
    found = [(p.similarity, p.clip.path, p.other.path, p.splits) for p in pairs]
    if as_json:
        names = ("similarity", "clip", "other", "splits")
        say_json([dict(zip(names, pair, strict=True)) for pair in found])
        return
    for similarity, *paths, splits in found:
        both = "\t".join(map(printable, paths))
        click.echo(f"{similarity:.3f}\t{both}\tsplit {','.join(splits)}")
    told = f"{len(pairs)} pairs of similarity {NEAR} or more among {len(clips)} clips"
    click.echo(told, err=True)


def _tell(
    folder: Path, lines_about: Callable[[Path], Iterator[str]], otherwise: str, *, as_json: bool
) -> dict[Path, int]:
    """Print the lines about each feature folder, or `otherwise`; return how many there were."""
    from ta3n.extract.job.feature_folder import feature_folders

    told: dict[Path, list[str]] = {}
    for part in feature_folders(folder):
        told[part] = list(lines_about(part))
        for line in () if as_json else told[part] or [f"{part}: {otherwise}"]:
            say(line)
    if as_json:
        say_json({str(part): lines for part, lines in told.items()})
    return {part: len(lines) for part, lines in told.items()}


if __name__ == "__main__":
    main()
