"""`ta3n-train`: TA3N and its baselines on cached features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ta3n.common.cli import handles_errors, settings_options
from ta3n.common.errors import UsageError
from ta3n.train.recipes import METHOD_NAMES

COMMAND = "ta3n-train"

_EPILOG = """
\b
Examples:
  ta3n-train --source ucf --target hmdb --features features
  ta3n-train --source hmdb --target ucf --method revgrad --temporal pooling --seeds 5
  ta3n-train --source ucf --target hmdb --allow-missing     (on the clips at hand)
  ta3n-train --source ucf --target hmdb --seeds $SLURM_ARRAY_TASK_ID,     (an array job)

\b
Exit codes: 0 done, 1 features or device missing or damaged, 2 wrong usage, 75 interrupted.
"""


@click.command(COMMAND, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.option("--source", metavar="NAME", help="Labelled dataset: ucf, hmdb, olympic ...")
@click.option("--target", metavar="NAME", help="Dataset to adapt to.")
@click.option("--benchmark", metavar="NAME", help="Default: the built-in one of the two datasets.")
@click.option("--features", metavar="DIR", help="What ta3n-extract wrote (default: features).")
@click.option("--out", metavar="DIR", help="Folder for runs (default: runs).")
@click.option("--method", type=click.Choice(METHOD_NAMES), help="Default: ta3n.")
@click.option(
    "--temporal", type=click.Choice(["pooling", "relation"]), help="Temporal module; relation."
)
@click.option("--recipe", type=click.Choice(["official"]), help="official: the authors' program.")
@click.option("--seeds", metavar="N|LIST", help="A count (5 is 0 to 4), or a list: 0,3 or 2-4.")
@click.option("--epochs", type=int, metavar="N", help="Default: the recipe's 30.")
@click.option("--segments", type=int, metavar="K", help="Frames a video, 2 to 25 (default: 5).")
@click.option("--batch-size", type=int, metavar="B", help="Source videos a step (default: 128).")
@click.option("--learning-rate", type=float, metavar="LR", help="Before decay (default: 0.03).")
@click.option("--beta-relation", type=float, metavar="X", help="Reversal of G_rd; < 0: DANN ramp.")
@click.option("--beta-video", type=float, metavar="X", help="The same for G_td.")
@click.option("--beta-frame", type=float, metavar="X", help="The same for G_sd.")
@click.option("--gamma", type=float, metavar="X", help="Weight of the attentive entropy.")
@click.option("--allow-missing", is_flag=True, default=None, help="Train on the clips at hand.")
@click.option("--device", metavar="D", help="auto (default), cpu or cuda:N.")
@settings_options
@handles_errors(COMMAND)
def main(
    source: str | None,
    target: str | None,
    config_file: Path | None,
    show_config: bool,
    **options: Any,
) -> None:
    """Train on the source, adapt to the unlabelled target, evaluate on the target.

    A finished run is left as it is; an interrupted one is gone on with by the same command line.
    """
    # Settings and torch are imported late: --help must answer at once.
    from ta3n.common.settings_file import load_settings

    overrides = {f"train.{key}": value for key, value in options.items()}
    resolved = load_settings(config_file, overrides)
    if show_config:
        click.echo(resolved.describe(("train",)))
        return
    if source is None or target is None:
        raise UsageError("no pair of datasets; give --source and --target, such as ucf and hmdb")
    from ta3n.train.job import prepare_job, run_job
    from ta3n.train.table import print_results

    job = prepare_job(source, target, resolved.settings.train)
    print_results(job.config, run_job(job))
