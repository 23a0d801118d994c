"""All that needs a GPU, in eight minutes: the tests, the bench, one file. Run by `make gpu-check`.

Exit codes: 0 all is well, 1 something is not, 77 there is no GPU here.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from ta3n.common.device import describe_device
from ta3n.extract.inference.engine import provenance_of

EXIT_FAILED, EXIT_NO_GPU = 1, 77
LIMIT_S = 480.0
STAND_IN = "TA3N_GPU_STAND_IN"
"""Variable that names a device on which the tests of GPUs run in a GPU's place."""
_REPOSITORY = Path(__file__).parents[2]
_TAIL = 4000


@dataclass(frozen=True, slots=True)
class Step:
    """A command, the seconds that it may take, and what reads its result."""

    name: str
    command: list[str]
    limit_s: float
    result: Callable[[], object]


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step ended; without an exit code it took too long, and its group was killed."""

    name: str
    exit_code: int | None
    seconds: float
    result: object
    output_tail: str


def plan(device: str, folder: Path) -> list[Step]:
    """Return the steps for a GPU; for a CPU that stands in, the same ones on very little."""
    is_small = device == "cpu"
    tests = ["tests/gpu", "-k", "layout or resume"] if is_small else ["tests"]
    report = folder / "tests.xml"
    pytest = ["-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider"]
    steps = [
        Step("tests", [*pytest, *tests, f"--junitxml={report}"], 240, lambda: tests_in(report))
    ]
    # A CPU takes what it takes: in a GPU's place it shows that the steps go through, no more.
    limit_s = LIMIT_S if is_small else 120
    bench = ["-m", "ta3n.extract.bench", "--device", device]
    small = ["--backbone", "resnet18", "--num-clips", "1", "--clip-frames", "8", "--rounds", "1"]
    for profile, more in (("ta3n", []), ("fast", ["--compiled"])):
        path = folder / f"{profile}.json"
        options = ["--profile", profile, "--json", str(path), *(small if is_small else more)]
        steps.append(
            Step(
                f"bench of stage one, {profile}", bench + options, limit_s, partial(_json_in, path)
            )
        )
    more = ["--size", "demo", "--seeds", "2", "--repeats", "1"] if is_small else ["--repeats", "3"]
    stage_two = ["-m", "ta3n.train.bench", "--device", device, *more]
    return [*steps, Step("bench of stage two", stage_two, limit_s, lambda: None)]


def _json_in(path: Path) -> object:
    return json.loads(path.read_text("utf-8"))


def tests_in(report: Path) -> list[dict[str, object]]:
    """Return what became of each test, with the reason, and what it noted."""
    found = []
    for case in ET.parse(report).iter("testcase"):
        bad = next((e for e in case if e.tag in ("failure", "error", "skipped")), None)
        notes = {e.get("name"): e.get("value") for e in case.iter("property")}
        found.append(
            {
                "name": f"{case.get('classname')}::{case.get('name')}",
                "outcome": "passed" if bad is None else bad.tag,
                "seconds": float(case.get("time", "0")),
                "reason": "" if bad is None else bad.get("message", ""),
                "notes": notes,
            }
        )
    return found


def run(step: Step, left_s: float) -> StepResult:
    """Run a step with what is left of the time."""
    started = time.monotonic()
    limit_s = min(step.limit_s, left_s)
    code = None
    output = ""
    if limit_s > 0:
        with subprocess.Popen(
            [sys.executable, "-P", *step.command],
            cwd=_REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=limit_s)
                code = process.returncode
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
    try:
        result = step.result()
    except (OSError, ValueError, ET.ParseError):
        result = None
    seconds = time.monotonic() - started
    return StepResult(step.name, code, round(seconds, 1), result, output[-_TAIL:])


def describe(device: torch.device) -> dict[str, Any]:
    """Return device and versions."""
    known: dict[str, Any] = provenance_of(describe_device(device), "", torch.get_num_threads())
    del known["weights_sha256"]
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        known |= {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "memory_gb": round(properties.total_memory / 1e9, 1),
            "capability": f"{properties.major}.{properties.minor}",
        }
    return known


@click.command()
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--json", "json_file", default="gpu-check.json", show_default=True, type=Path)
@click.option("--limit", "limit_s", default=LIMIT_S, show_default=True, help="Seconds for all.")
def main(device: str, json_file: Path, limit_s: float) -> None:
    """Run everything that needs a GPU; `--device cpu` tries the script itself."""
    if device == "cuda" and not torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        click.echo(
            f"gpu-check: no GPU here: torch {torch.__version__} sees no CUDA device "
            f"(CUDA_VISIBLE_DEVICES={visible}); run it where nvidia-smi lists one",
            err=True,
        )
        sys.exit(EXIT_NO_GPU)
    if device == "cpu":
        os.environ[STAND_IN] = device
    started = time.monotonic()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        # What is remembered of this device is tried anew, and nothing of it is kept.
        os.environ["TORCH_HOME"] = folder
        for step in plan(device, Path(folder)):
            results.append(run(step, limit_s - (time.monotonic() - started)))
            ended = "took too long" if results[-1].exit_code is None else ""
            ended = ended or ("failed" if results[-1].exit_code else "done")
            click.echo(f"{step.name}: {ended} after {results[-1].seconds:.0f} s", err=True)
    report = {
        "device": describe(torch.device(device)),
        "seconds": round(time.monotonic() - started, 1),
        "steps": [asdict(result) for result in results],
    }
    json_file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    bad = [result.name for result in results if result.exit_code != 0]
    click.echo(f"{json_file}: {'all is well' if not bad else 'not well: ' + ', '.join(bad)}")
    sys.exit(EXIT_FAILED if bad else 0)


if __name__ == "__main__":
    main()
