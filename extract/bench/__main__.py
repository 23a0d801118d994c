"""`python -m ta3n.extract.bench`."""

from typing import Any

import click

from ta3n.common.cli import handles_errors
from ta3n.extract.bench.run import BenchOptions, measure, publish
from ta3n.extract.bench.simulated import publish_simulation


@click.command()
@click.option("--backbone", default="resnet101", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--profile", help="Default: the backbone's.")
@click.option(
    "--batch-size", type=int, help="Of every form; default: what is in use by itself, else 32."
)
@click.option("--num-clips", default=BenchOptions.num_clips, show_default=True)
@click.option("--clip-frames", default=BenchOptions.clip_frames, show_default=True)
@click.option("--rounds", default=BenchOptions.rounds, show_default=True)
@click.option("--decode-threads", type=int, help="Clips decoded side by side.")
@click.option("--compiled", is_flag=True, help="The compiled network, too: takes minutes.")
@click.option(
    "--videos",
    metavar="FILE|DIR",
    multiple=True,
    help="So many clips of these, instead of ones that are made; repeat for more.",
)
@click.option(
    "--only", metavar="TEXT", multiple=True, help="Only what has this in its name; repeat for more."
)
@click.option(
    "--simulate", metavar="R", type=float, help="Instead: a device of R frames/s, and crashes."
)
@click.option("--json", "json_file", metavar="FILE|-", help="Write JSON, - to standard output.")
@handles_errors("bench")
def main(json_file: str | None, simulate: float | None, **options: Any) -> None:
    """Measure stage one against its raw limits on this machine."""
    if simulate is not None:
        decoders, only = options["decode_threads"], options["only"]
        publish_simulation(simulate, json_file, decoders=decoders, megabytes=None, only=only)
        return
    publish(measure(BenchOptions(**options)), json_file)


if __name__ == "__main__":
    main()
