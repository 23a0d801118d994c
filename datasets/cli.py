"""`ta3n-datasets`: which datasets and benchmarks there are, and what is wrong with their clips."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ta3n.common.cli import (
    complete_benchmark,
    completes,
    config_option,
    handles_errors,
    json_option,
    say,
    say_json,
)
from ta3n.common.errors import UsageError, printable
from ta3n.common.log import open_console, print_table
from ta3n.datasets.benchmarks.benchmark import Benchmark
from ta3n.datasets.catalogue import Catalogue, catalogue_of, folders_of
from ta3n.datasets.check import (
    DatasetClips,
    Finding,
    Problem,
    find_few,
    find_notes,
    find_problems,
    listed_rows,
    select_clips,
)
from ta3n.datasets.reading.base import Dataset
from ta3n.datasets.reading.split_files import Role
from ta3n.datasets.synthetic.looks import (
    FREQUENCIES,
    LOOKS,
    MAX_CLIPS_PER_CLASS,
    Domain,
    Frequencies,
)

if TYPE_CHECKING:
    from ta3n.common.log import ProgressLine
    from ta3n.datasets.custom.settings import DataSections

COMMAND = "ta3n-datasets"
_WORDS: dict[Role | None, str] = {"train": "train", "test": "val", None: "unused"}
_complete_name = completes("ta3n.datasets.catalogue:names_of_all")
_COUNT = click.IntRange(1, MAX_CLIPS_PER_CLASS)
_MOST_LINES = 10
_PROBLEMS = tuple(problem.word for problem in Problem)

_EPILOG = """
\b
Examples:
  ta3n-datasets list
  ta3n-datasets check ucf101 --root /data/UCF-101 --benchmark ucf-hmdb-full
  ta3n-datasets check my-benchmark          (all its datasets, also one against the other)
  ta3n-datasets check epic55 --splits lists (published lists: their counts)
  ta3n-datasets check my-dataset --ignore duplicates,absent
  ta3n-datasets synthetic --out videos      (renders three domains: six directions to try)
"""
_SYNTHETIC_EPILOG = """
\b
Examples:
  ta3n-datasets synthetic                   as ta3n-demo's clips, and a third domain's
  ta3n-datasets synthetic a c --train 20 --test 10
  ta3n-datasets synthetic a b --class-frequencies long-tail --out tail

\b
Then, for each domain and each direction:
  ta3n-extract --dataset synthetic-c --root videos/synthetic-c --frames segments:5
  ta3n-train --source synthetic-a --target synthetic-c

The same command line goes on with a folder that an earlier one left undone.
"""
_CHECK_EPILOG = """
\b
Exit codes: 0 nothing found, 1 data missing, 2 wrong usage, else the first of these that is found:
  10 clashes     clips of one dataset with the same name, which published features go by
  11 leaks       a group of clips cut from one recording on both sides of the split
  12 domains     a class of the benchmark without clips in a dataset, or in one of its folders
  13 duplicates  files with the same content (SHA-256), also in two datasets
  14 parts       a class without training or without validation clips
  15 absent      clips that the split names and that are not on disk
  16 counts      other numbers of clips, by class and split, than were published

\b
Told without being a problem: how many names hold a group (groups), class folders that the
benchmark does not use (others), clips in no part of the split (unused), sections of videos
(sections), folders and archives of frames (frames), files of 0 bytes (empty), and what one
clip is worth where a class has few to test on (few).
"""


@click.group(COMMAND, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.version_option(package_name="ta3n")
def main() -> None:
    """Look at the built-in datasets and benchmarks, and at those of pipeline.toml; render some."""


@main.command("list")
@json_option
@config_option
@handles_errors(COMMAND)
def list_all(as_json: bool, config_file: Path | None) -> None:
    """Name all datasets and benchmarks, one's own among them, and where the clips lie."""
    settings, catalogue = _load(config_file)
    if as_json:
        datasets = [
            {"name": each.name, "short_name": each.short_name, "folder": _folder(each, settings)}
            for each in catalogue.datasets
        ]
        benchmarks = [
            {
                "name": each.name,
                "datasets": [*each.sides],
                "classes": {head.name: head.class_names for head in each.heads},
            }
            for each in catalogue.benchmarks
        ]
        say_json({"datasets": datasets, "benchmarks": benchmarks})
        return
    for dataset in catalogue.datasets:
        short = "" if dataset.short_name == dataset.name else f" ({dataset.short_name})"
        say(f"dataset {dataset.name}{short}: {_folder(dataset, settings) or 'no folder set'}")
    for benchmark in catalogue.benchmarks:
        sides = ", ".join(benchmark.sides)
        if len(benchmark.heads) > 1:
            counts = [f"{len(head.class_names)} {head.name} classes" for head in benchmark.heads]
            say(f"benchmark {benchmark.name}: {sides}; {', '.join(counts)}")
            continue
        classes = ", ".join(benchmark.class_names)
        say(f"benchmark {benchmark.name}: {sides}; {len(benchmark.class_names)} classes: {classes}")


@main.command(epilog=_CHECK_EPILOG)
@click.argument("name", shell_complete=_complete_name)
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the dataset's clips.")
@click.option("--splits", type=click.Path(path_type=Path), help="Its official split files.")
@click.option(
    "--benchmark",
    metavar="NAME",
    shell_complete=complete_benchmark,
    help="Only the classes of this benchmark.",
)
@click.option("--split", metavar="N", help="Which split (default: the benchmark's, or 1).")
@click.option(
    "--ignore", metavar="KINDS", default="", help=f"Not to look at: of {', '.join(_PROBLEMS)}."
)
@json_option
@config_option
@handles_errors(COMMAND)
def check(
    name: str,
    root: Path | None,
    splits: Path | None,
    benchmark: str | None,
    split: str | None,
    ignore: str,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Count the clips of a dataset, or of all datasets of a benchmark, and name what is wrong."""
    ignored = _ignored(ignore)
    settings, catalogue = _load(config_file)
    datasets, chosen = _chosen(catalogue, name, benchmark)
    lists = any(dataset.by_lists for dataset in datasets)
    if len(datasets) > 1 and (root or (splits and not lists)):
        raise UsageError("--root and --splits are of one dataset; name one, not a benchmark")
    parts, left_out = [], []
    for dataset in datasets:
        if lists and not dataset.by_lists and not _folder(dataset, settings, root):
            left_out.append(
                f"{dataset.name}: left out, as no folder is set; its split is the official one"
            )
            continue
        # Beside datasets that lists tell, official split files are in a folder of their own.
        given = splits if dataset.by_lists or not lists else None
        parts.append(_looked_at(dataset, settings, root, given, chosen, split))
    notes = [note for part in parts for note in (*find_notes(part, chosen), *find_few(part))]
    found = [f for f in find_problems(parts, chosen, split) if f.problem.word not in ignored]
    if as_json:
        say_json(
            {
                "datasets": {part.dataset.name: _counts(part) for part in parts},
                "notes": [*left_out, *notes],
                "problems": [{"problem": f.problem.word, "text": f.text} for f in found],
            }
        )
    else:
        _print_counts(parts)
        for line in (*left_out, *notes, *_problem_lines(found)):
            say(line)
        say(f"problems: {len(found)}" if found else "nothing wrong")
    if found:
        sys.exit(int(min(finding.problem for finding in found)))


@main.command(epilog=_SYNTHETIC_EPILOG)
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...", type=click.Choice([*LOOKS]))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="videos",
    show_default=True,
    metavar="DIR",
    help="For the folders synthetic-DOMAIN.",
)
@click.option("--seed", default=2, show_default=True, metavar="N", help="What clips follow from.")
@click.option(
    "--train", type=_COUNT, default=40, show_default=True, help="Training clips of each class."
)
@click.option("--test", type=_COUNT, default=20, show_default=True, help="Test clips of each.")
@click.option(
    "--class-frequencies",
    type=click.Choice(FREQUENCIES),
    default="balanced",
    show_default=True,
    help="long-tail: ever fewer training clips, in another order of classes in each domain.",
)
@click.option("--jobs", type=int, metavar="N", help="Processes (default: one for each CPU).")
@handles_errors(COMMAND)
def synthetic(
    domains: tuple[Domain, ...],
    out: Path,
    seed: int,
    train: int,
    test: int,
    class_frequencies: Frequencies,
    jobs: int | None,
) -> None:
    """Render the domains a, b and c of the synthetic benchmark, or those named."""
    from ta3n.common.log import ProgressLine
    from ta3n.datasets.synthetic.generate import clip_names, generate

    for domain in dict.fromkeys(domains or LOOKS):
        folder = out / f"synthetic-{domain}"
        num_train = sum(1 for _ in clip_names(domain, "train", train, class_frequencies))
        num_test = sum(1 for _ in clip_names(domain, "test", test))
        with ProgressLine(num_train + num_test, "videos") as line:
            generate(
                folder,
                domain=domain,
                seed=seed,
                clips_per_class_train=train,
                clips_per_class_test=test,
                class_frequencies=class_frequencies,
                jobs=jobs,
                progress=partial(_show, line, domain),
            )
        say(f"synthetic-{domain}: {num_train} training and {num_test} test clips in {folder}")


def _show(line: ProgressLine, domain: str, done: int, _: int) -> None:
    line.update(done, f"domain {domain}")


def _load(config_file: Path | None) -> tuple[DataSections, Catalogue]:
    # pydantic is imported late: --help must answer at once.
    from ta3n.common.settings import load_settings
    from ta3n.datasets.custom.settings import DataSections

    settings = load_settings(DataSections, config_file, {}).settings
    return settings, catalogue_of(settings)


def _looked_at(
    dataset: Dataset,
    settings: DataSections,
    root: Path | None,
    splits: Path | None,
    chosen: Benchmark | None,
    split: str | None,
) -> DatasetClips:
    """Return the clips of a dataset; of one that lists tell, their rows if nobody has clips."""
    paths = settings.data.get(dataset.name)
    listed = dataset.listed(splits or (paths.splits if paths else None))
    if listed is not None and not _folder(dataset, settings, root):
        return listed_rows(dataset, chosen, listed)
    clip_root, split_files = folders_of(dataset, settings, root, splits)
    return select_clips(dataset, dataset.scan(clip_root, split_files), chosen, split, listed)


def _folder(dataset: Dataset, settings: DataSections, root: Path | None = None) -> Path | None:
    try:
        return folders_of(dataset, settings, root)[0]
    except UsageError:
        return None


def _ignored(text: str) -> set[str]:
    kinds = {kind.strip() for kind in text.split(",") if kind.strip()}
    if unknown := sorted(kinds - set(_PROBLEMS)):
        raise UsageError(f"--ignore {unknown[0]} is not known; use some of {', '.join(_PROBLEMS)}")
    return kinds


def _chosen(
    catalogue: Catalogue, name: str, benchmark: str | None
) -> tuple[list[Dataset], Benchmark | None]:
    """Return the datasets that are meant, and the benchmark that gives the classes, if any."""
    if benchmark is None and name.lower() in {b.name for b in catalogue.benchmarks}:
        whole = catalogue.benchmark(name)
        return [catalogue.dataset(side) for side in whole.sides], whole
    dataset = catalogue.dataset(name)
    if benchmark is None:
        return [dataset], None
    whole = catalogue.benchmark(benchmark)
    whole.side(dataset.name)  # it must hold it
    return [dataset], whole


def _problem_lines(found: Iterable[Finding]) -> Iterator[str]:
    """Yield the problems, the first few of each kind."""
    for problem, findings in groupby(sorted(found, key=lambda f: f.problem), lambda f: f.problem):
        texts = [finding.text for finding in findings]
        yield from (f"{problem.word}: {text}" for text in texts[:_MOST_LINES])
        if len(texts) > _MOST_LINES:
            yield f"{problem.word}: {len(texts) - _MOST_LINES} more, which --json names"


def _counts(part: DatasetClips) -> dict[str, Any]:
    """Return where the clips are, and how many there are by class and part of the split."""
    counted = part.counted
    return {
        "folder": None if part.only_lists else part.listing.root,
        "splits": part.listing.splits_origin,
        "classes": {
            name: {word: counted.get((name, role), 0) for role, word in _WORDS.items()}
            for name in part.class_names
        },
    }


def _print_counts(parts: Sequence[DatasetClips]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("class", show_footer=True)
    for part in parts:
        for role, word in _WORDS.items():
            total = sum(count for (_, of), count in part.counted.items() if of == role)
            table.add_column(
                f"{part.dataset.name}\n{word}", footer=str(total), justify="right", no_wrap=True
            )
    table.columns[0].footer = "all"
    for name in parts[0].class_names:
        counts = (part.counted.get((name, role), 0) for part in parts for role in _WORDS)
        table.add_row(Text(printable(name)), *map(str, counts))
    print_table(open_console(width_elsewhere=200), table)
    for part in parts:
        if part.only_lists:
            say(f"{part.dataset.name}: no folder is set: rows of its lists are counted, no clips")
        else:
            say(f"{part.dataset.name}: {part.listing.root}; splits: {part.listing.splits_origin}")


if __name__ == "__main__":
    main()
