"""What the benchmark of stage one measures, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

AUTHORS, PIPELINE, SAMPLED = "authors' procedure", "whole pipeline", "whole pipeline, 5 a clip"
NETWORK = "network, "
EAGER = NETWORK + "eager"


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What is measured, and how often.

    Attributes:
        backbone: The network; its weights are drawn.
        device: `auto`, `cpu` or `cuda:N`.
        profile: Of the network and the pipeline; None takes the backbone's.
        batch_size: B; None takes what suits the device.
        num_clips: Clips of the whole pipeline; linearity is measured on a quarter, a half and all.
        clip_frames: Frames of each.
        rounds: How often everything is measured.
        decode_threads: Clips decoded side by side; None follows the CPUs allowed.
        compiled: Whether to measure the compiled network too, which takes minutes.
        processes: Whether to measure decoding in processes, too.
    """

    backbone: str = "resnet101"
    device: str = "auto"
    profile: str | None = None
    batch_size: int | None = None
    num_clips: int = 4
    clip_frames: int = 150
    rounds: int = 3
    decode_threads: int | None = None
    compiled: bool = False
    processes: bool = False


@dataclass(frozen=True, slots=True)
class SizeResult:
    """The whole pipeline on some of the clips.

    Attributes:
        num_frames: Of these clips.
        seconds: It took.
        peak_memory_mb: The most that the process has held so far.
    """

    num_frames: int
    seconds: float
    peak_memory_mb: float


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What came out.

    Attributes:
        title: Network and machine.
        options: As given.
        frames_per_s: Median rate of each stage.
        clips_per_s: Of the whole pipeline with all frames, and with five of each clip.
        ratios: Those that matter.
        waiting: Share of its time that a side of the pipeline waited for the other.
        sizes: The whole pipeline on growing numbers of clips.
    """

    title: str
    options: BenchOptions
    frames_per_s: dict[str, float]
    clips_per_s: dict[str, float]
    ratios: dict[str, float]
    waiting: dict[str, float]
    sizes: list[SizeResult]


def ratios_of(rates: Mapping[str, float], clips_per_s: Mapping[str, float]) -> dict[str, float]:
    """Return the ratios that say how near the pipeline is to its limit.

    Args:
        rates: Frames per second of each stage.
        clips_per_s: Clips per second of the whole pipeline, with all frames and with five.
    """
    bare = max(rate for name, rate in rates.items() if name.startswith(NETWORK))
    return {
        "whole pipeline / fastest bare network": rates[PIPELINE] / bare,
        "fastest bare network / eager": bare / rates[EAGER],
        "whole pipeline / authors' procedure": rates[PIPELINE] / rates[AUTHORS],
        "clips per second, five frames / all": clips_per_s[SAMPLED] / clips_per_s[PIPELINE],
    }


def publish(result: BenchResult, json_file: str | None) -> None:
    """Print a result for people, or write it as JSON.

    Args:
        result: What came out.
        json_file: A file, `-` for standard output, or None for the table.
    """
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
