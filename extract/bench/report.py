"""`python -m ta3n.extract.bench`, and how what it measures is shown."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ta3n.common.cli import handles_errors
from ta3n.extract.bench.run import NETWORK, BenchOptions, BenchResult, measure


def publish(result: BenchResult, json_file: str | None) -> None:
    """Print a result for people, or write it as JSON to a file (`-` for standard output)."""
    if json_file == "-":
        click.echo(json.dumps(asdict(result)))
        return
    if json_file is not None:
        Path(json_file).write_text(json.dumps(asdict(result), indent=1) + "\n")
    click.echo("\n".join(_lines(result)))


def _lines(result: BenchResult) -> list[str]:
    bare = max(rate for name, rate in result.frames_per_s.items() if name.startswith(NETWORK))
    lines = [
        f"{result.title}, {result.options.rounds} rounds",
        f"{'':44s} {'frames/s':>10s} {'of fastest network':>20s}",
    ]
    lines += [
        f"{n:44s} {rate:10.1f} {rate / bare:20.2f}" for n, rate in result.frames_per_s.items()
    ]
    lines += ["", *(f"{name:44s} {value:10.2f}" for name, value in result.ratios.items()), ""]
    lines += [f"waiting: {name:35s} {100 * part:9.1f}%" for name, part in result.waiting.items()]
    lines.append("")
    lines += [
        f"whole pipeline, {size.num_frames:5d} frames{'':17s} {size.seconds:8.1f} s "
        f"{size.num_frames / size.seconds:8.1f} frames/s, peak memory {size.peak_memory_mb:6.0f} MB"
        for size in result.sizes
    ]
    return lines


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
@click.option("--processes", is_flag=True, help="Decoding in processes, too.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write JSON, - to standard output.")
@handles_errors("bench")
def main(json_file: str | None, **options: Any) -> None:
    """Measure stage one against its raw limits on this machine; clips are made for it."""
    publish(measure(BenchOptions(**options)), json_file)
