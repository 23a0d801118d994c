"""`ta3n-report`: from run folders to the paper's tables, a summary and a page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ta3n.common.cli import handles_errors, json_option, say_json
from ta3n.train.epic.cli import CHECK, check_submission

COMMAND = "ta3n-report"

_EPILOG = """
\b
Examples:
  ta3n-report runs --features features
  ta3n-report runs more-runs --out paper --no-pictures
  ta3n-report runs --features resnet101 --features i3d    kinds of features side by side
  ta3n-report runs --rule im --rule oracle    compare by im, chosen without target labels
  ta3n-report check-submission test.zip --annotations DIR    see its own --help

\b
Exit codes: 0 done, 1 runs missing, or made from different features of one kind,
2 wrong usage, 75 interrupted. Runs that are unfinished or broken are left out and named.
"""

_FOLDER = click.Path(path_type=Path)


class _ReportCommand(click.Command):
    """The command, beside which another one has a word of its own in the place of a folder."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context of the command that is meant."""
        if args[:1] == [CHECK]:
            return check_submission.make_context(f"{info_name} {CHECK}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is meant."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(
    COMMAND, cls=_ReportCommand, epilog=_EPILOG, context_settings={"max_content_width": 100}
)
@click.argument("runs", nargs=-1, required=True, type=_FOLDER)
@click.option(
    "--out",
    default="report",
    show_default=True,
    metavar="DIR",
    type=_FOLDER,
    help="For index.html and pages, report.html (all on one page), results.csv, tables, figures.",
)
@click.option(
    "--features",
    multiple=True,
    metavar="DIR",
    type=_FOLDER,
    help="What ta3n-extract wrote: for pictures of features and attention; repeat for streams, "
    "and for runs on several kinds of features.",
)
@click.option(
    "--videos", metavar="DIR", type=_FOLDER, help="The target's videos: for pictures of frames."
)
@click.option(
    "--annotations",
    metavar="DIR",
    type=_FOLDER,
    help="The annotations of EPIC-KITCHENS-100: for figures of its tail classes.",
)
@click.option("--no-pictures", is_flag=True, help="Tables and summary only.")
@click.option(
    "--rule",
    "--rules",
    "rules",
    multiple=True,
    metavar="NAMES",
    help="Selection rules to show, the first to compare rows by (default: all, and last); repeat "
    "or separate by ','.",
)
@click.option(
    "--focal",
    multiple=True,
    metavar="METHOD[-TEMPORAL]",
    help="The row that all others are held against, or first digits of its configuration's hash "
    "(default: ta3n-relation, or the adapting method nearest to it); of further ones, the summary.",
)
@json_option
@click.version_option(package_name="ta3n")
@handles_errors(COMMAND)
def main(
    runs: tuple[Path, ...],
    out: Path,
    features: tuple[Path, ...],
    videos: Path | None,
    rules: tuple[str, ...],
    focal: tuple[str, ...],
    annotations: Path | None,
    *,
    no_pictures: bool,
    as_json: bool,
) -> None:
    """Turn the runs under the folders RUNS into the paper's tables, a summary and a page.

    The runs are only read. Target accuracy is told by every selection rule side by side. Runs on
    features of several kinds (backbones, frames, pixels) stand side by side, and are never
    averaged.
    """
    # NumPy and Matplotlib are imported late: --help must answer at once.
    from ta3n.train.report.write import write_report

    report = write_report(
        runs,
        out,
        features=features,
        command=shlex.join([COMMAND, *sys.argv[1:]]),
        videos=videos,
        pictures=not no_pictures,
        rules=[name.strip() for names in rules for name in names.split(",") if name.strip()],
        focal=focal,
        annotations=annotations,
    )
    if as_json:
        say_json(report.record())
    else:
        report.print()


if __name__ == "__main__":
    main()
