"""If this breaks, figures are cut on a narrow terminal, or coloured where none may be."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ..support.feature_folders import made_clips, make_features

CALL = "import sys; from {} import main; sys.argv[0] = 'command'; main()"


def on_terminal(module: str, *arguments: object, **more: str) -> str:
    """Return what a command prints on a terminal of 40 columns, spaces and rules as they are."""
    master, slave = pty.openpty()
    env: Mapping[str, str] = {**os.environ, "COLUMNS": "40", "TERM": "xterm-256color", **more}
    command = [sys.executable, "-P", "-c", CALL.format(module), *map(str, arguments)]
    printed = b""
    with subprocess.Popen(
        command, stdout=slave, stderr=subprocess.DEVNULL, env={k: v for k, v in env.items() if v}
    ) as process:
        os.close(slave)
        try:
            while part := os.read(master, 4096):
                printed += part
        except OSError:
            # Nobody has the terminal any more.
            pass
    os.close(master)
    assert process.returncode in (0, 6), printed
    return printed.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return made-up features of two domains, and a folder for runs."""
    folder = tmp_path_factory.mktemp("domains")
    for seed, dataset in enumerate(("synthetic-a", "synthetic-b")):
        make_features(folder, dataset, made_clips(dataset, 1, 1), seed=seed)
    return folder, tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_figures_are_whole_and_without_colours_where_none_are_wanted(
    runs: tuple[Path, Path], ucf_tree: Path, tmp_path: Path, no_color: str
) -> None:
    features, out = runs
    trained = on_terminal(
        "ta3n.train.cli", "--source", "synthetic-a", "--target", "synthetic-b", "--features",
        features, "--out", out, "--epochs", 2, "--batch-size", 4, "--seeds", 2, "--device", "cpu",
        NO_COLOR=no_color,
    )  # fmt: skip
    told = on_terminal(
        "ta3n.train.report.cli", out, "--out", tmp_path, "--no-pictures", NO_COLOR=no_color
    )
    counted = on_terminal(
        "ta3n.datasets.cli", "check", "ucf101", "--root", ucf_tree, NO_COLOR=no_color
    )
    assert re.search(r"^selection: last$", trained, re.M), trained
    assert re.search(r"^target accuracy: \d+\.\d\d ± \d+\.\d\d$", trained, re.M), trained
    assert re.search(r"\d+\.\d\d ± \d+\.\d\d", told), told
    assert re.search(r"^(ucf101 train(ing)?: 4|.*Archery.*\b2\b)", counted, re.M), counted
    for printed in (trained, told, counted):
        assert "…" not in printed
        assert not no_color or "\x1b" not in printed, printed
