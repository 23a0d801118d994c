"""What evaluations give, as tables on the terminal."""

from collections.abc import Sequence
from statistics import mean

from rich.table import Table
from rich.text import Text

from ta3n.common.names import printable
from ta3n.train.inference.classify import Prediction
from ta3n.train.inference.evaluation import RunEvaluation
from ta3n.train.inference.trained import TrainedRun
from ta3n.train.runs.tables import open_console, spread


def print_evaluations(evaluations: Sequence[RunEvaluation], top_k: int) -> None:
    """Print accuracy over all videos and by class, mean and standard deviation over seeds.

    Args:
        evaluations: One a seed, at least one, all on the same videos.
        top_k: How many classes count as a hit in the second line.
    """
    first, total = evaluations[0], len(evaluations[0].videos)
    table = Table()
    for heading in ("videos", "n", "accuracy", "correct videos"):
        table.add_column(heading, no_wrap=True)
    tops = sorted({1, min(top_k, len(first.run.classes))})
    rows = [(f"all, top-{k}", [e.correct(k) for e in evaluations], total) for k in tops]
    for name, _, of in first.by_class():
        hits = [hit for e in evaluations for each, hit, _ in e.by_class() if each == name]
        rows.append((name, hits, of))
    for name, correct, of in rows:
        accuracy = spread([100 * hit / of for hit in correct]) if of else "-"
        num_correct = f"{correct[0]}" if len(correct) == 1 else f"{mean(correct):.1f}"
        table.add_row(name, str(len(correct)), accuracy, f"{num_correct} of {of}")
        if name == f"all, top-{tops[-1]}":
            table.add_section()
    config = first.run.config
    epochs = ", ".join(str(e.run.epoch) for e in evaluations)
    console = open_console()
    console.print(
        f"{config.method} with {config.temporal} ({config.benchmark}, {config.source} → "
        f"{config.target}) on {first.dataset} {first.split}: rule {first.run.rule}, epoch {epochs}",
        highlight=False,
    )
    console.print(table)
    console.print("accuracy in percent, mean ± standard deviation over n seeds")


def print_predictions(run: TrainedRun, predictions: Sequence[Prediction], top_k: int) -> None:
    """Print status and likeliest classes of clips.

    Args:
        run: The run.
        predictions: What it makes of them.
        top_k: How many classes were asked for.
    """
    table = Table()
    for heading in ("video", "status", f"likeliest {min(top_k, len(run.classes))} of the classes"):
        table.add_column(heading, overflow="fold")
    for each in predictions:
        top = ", ".join(f"{c.name} {100 * c.probability:.1f} %" for c in each.top)
        # Names of files are data, never markup.
        table.add_row(
            Text(printable(str(each.video))), each.status, Text(top or printable(each.reason))
        )
    console = open_console()
    config = run.config
    console.print(
        f"{config.method} with {config.temporal} ({config.benchmark}, {config.source} → "
        f"{config.target}), seed {run.seed}: rule {run.rule}, epoch {run.epoch}",
        highlight=False,
    )
    console.print(table)
