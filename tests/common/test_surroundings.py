"""If this breaks, work that is done ends in a traceback for what a command was started from."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ta3n.common.device import resolve_device
from ta3n.common.errors import UsageError
from ta3n.common.sampling import FrameSelection
from ta3n.common.shares import JobShare
from ta3n.train.jobs.settings import parse_seeds

SAY = r"""
import click
from ta3n.common.cli import handles_errors
@click.command()
@handles_errors("a")
def main():
    print("a → b ± é 日 \udce9")
main()
"""


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", r"a -> b +- e \u65e5 \udce9"),
        ("latin-1", r"a -> b ± é \u65e5 \udce9"),
        ("cp437", r"a -> b ± é \u65e5 \udce9"),
        ("utf-8", r"a → b ± é 日 \udce9"),
    ],
)
def test_terminal_gets_the_letters_that_it_has(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = subprocess.run([sys.executable, "-P", "-c", SAY], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding) == f"{shown}\n"


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- 2>&-"])
def test_closed_streams_are_no_error_and_no_file_gets_their_lines(
    tmp_path: Path, closed: str
) -> None:
    code = SAY.replace("print(", f"file = open({str(tmp_path / 'a')!r}, 'w'); print(")
    script = tmp_path / "main.py"
    script.write_text(code, "utf-8")
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -P "$1" {closed}', sys.executable, script],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "a").read_bytes() == b""


def test_error_with_a_closed_stderr_keeps_its_exit_code(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-P", "-m", "ta3n.extract.cli"],
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2


def test_folder_that_is_gone_is_told_in_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; exec "$0" -P -m ta3n.extract.cli', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        cwd=gone,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "ta3n-extract: error: the current folder is not there any more: it was removed or "
        "replaced; cd to another\n"
    )


@pytest.mark.parametrize("module", ["ta3n.train.report.figures.look", "ta3n.extract.inspect.show"])
def test_backend_of_a_notebook_does_not_matter(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://not_here.backend_inline")
    code = f"""
import os, {module}
from ta3n.common.device import load_matplotlib
load_matplotlib()
import matplotlib.figure
print(os.environ["MPLBACKEND"])
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "module://not_here.backend_inline\n", done.stderr


FORKED = """
import multiprocessing, torch
import ta3n.common.device
torch.set_num_threads(2)
def work(size):
    images = torch.ones(8, 16, size, size)
    return float(torch.nn.functional.conv2d(images, torch.ones(16, 16, 3, 3)).relu().sum())
ours = work(64)
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map_async(work, [64]).get(60) == [ours], torch.get_num_threads())
"""


def test_torch_computes_in_a_forked_process(environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", FORKED],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=100,
    )
    assert done.stdout == "True 2\n", done.stderr


@pytest.fixture
def environment() -> Mapping[str, str]:
    """Return the surroundings without a limit of threads."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


HUGE = "9" * 5000


@pytest.mark.parametrize(
    "parse",
    [
        parse_seeds,
        JobShare.parse,
        FrameSelection.parse,
        resolve_device,
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        HUGE,
        f"1-{HUGE}",
        "1-99999999999",
        "9999999",
        f"0/{HUGE}",
        f"segments:{HUGE}",
        f"cuda:{HUGE}",
    ],
)
def test_huge_counts_are_told(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)
