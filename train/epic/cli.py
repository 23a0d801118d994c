"""`ta3n-report check-submission`: what is handed in to a challenge, checked before."""

from __future__ import annotations

from pathlib import Path

import click

from ta3n.common.cli import handles_errors, say
from ta3n.datasets.epic.challenge import EpicSplit

CHECK = "check-submission"

_EPILOG = """
\b
Example:
  ta3n-report check-submission test.zip --annotations epic-kitchens-100-annotations

\b
Exit codes: 0 in order, 1 no such file, or no annotations, 2 wrong usage,
4 the submission would be refused, for the reason that is told.
"""


@click.command(CHECK, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--annotations",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The annotation repository of EPIC-KITCHENS-100, for the names of the segments.",
)
@handles_errors(f"ta3n-report {CHECK}")
def check_submission(file: Path, annotations: Path) -> None:
    """Check FILE, a submission to the EPIC-KITCHENS-100 domain adaptation challenge.

    A zip, or the JSON that is to go into it. The challenge counts submissions that fail as well.
    """
    from ta3n.datasets.epic.annotations import read_annotations
    from ta3n.train.epic import checking

    def ids_of(split: EpicSplit) -> tuple[str, ...]:
        return read_annotations(annotations, (split,)).table(split).ids

    say(f"{file}: {checking.check_submission(file, ids_of)}")
