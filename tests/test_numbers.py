"""If this breaks, a slip in a number ends in a traceback, or in a job that never ends."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner, Result

from ta3n.common.errors import ConfigError
from ta3n.common.settings import Section, load_settings
from ta3n.datasets.custom.settings import DataSections
from ta3n.extract.job.settings import ExtractSections
from ta3n.train.jobs.grid import read_grid
from ta3n.train.jobs.settings import TrainSections

COMMANDS = (
    "ta3n.extract.cli",
    "ta3n.extract.features_cli",
    "ta3n.train.cli",
    "ta3n.train.report.cli",
    "ta3n.train.demo",
    "ta3n.datasets.cli",
)
NUMBERS = (str(10**30), str(10**18), "9" * 5000, "1e30", "1e999", "-1", "0", "nan", "inf", "-inf")
TEXTS = {
    "seeds", "weight", "frames", "max_failures", "shard", "split", "weights", "benchmark", "device",
}  # fmt: skip
"""Options with a number in a text, or a name that may look like one."""


def numeric_options(command: click.Command) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield the subcommand, its options by name, and what comes before the number in its value."""
    if isinstance(command, click.Group):
        for name, sub in command.commands.items():
            yield from (((name,), option, text) for _, option, text in numeric_options(sub))
        return
    for option in command.get_params(click.Context(command)):
        if not isinstance(option, click.Option) or option.is_flag:
            continue
        kind = option.type
        if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
            yield (), option.opts[0], ""
        elif option.name in TEXTS:
            yield (), option.opts[0], ""
            prefix = {
                "weight": "gamma=",
                "frames": "segments:",
                "shard": "0/",
                "weights": "random:",
            }
            if option.name in prefix:
                yield (), option.opts[0], prefix[str(option.name)]


OPTIONS = [
    (module, *found) for module in COMMANDS for found in numeric_options(import_module(module).main)
]


def run(module: str, *args: str) -> Result:
    return CliRunner().invoke(import_module(module).main, list(args))


def test_every_numeric_option_is_among_them() -> None:
    named = {option for _, _, option, _ in OPTIONS}
    assert named >= {
        "--limit", "--epochs", "--batch-size", "--max-subsets", "--jobs", "--seeds", "--segments",
        "--decode-threads", "--clip-timeout", "--top-k", "--learning-rate", "--weight", "--shard",
    }  # fmt: skip


@pytest.mark.parametrize(("module", "sub", "option", "before"), OPTIONS)
def test_any_number_ends_in_a_line(
    module: str,
    sub: tuple[str, ...],
    option: str,
    before: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is there to work on: an option that is taken ends where that is found out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    needed = {
        "ta3n.extract.cli": ("--videos", "none", "--backbone", "resnet18"),
        "ta3n.train.cli": ("--source", "ucf", "--target", "hmdb"),
        "ta3n.train.report.cli": ("none",),
        "ta3n.train.demo": ("--device", "none"),
        "ta3n.extract.features_cli": ("none",),
        "ta3n.datasets.cli": ("ucf101",),
    }[module]
    if sub == ("export",):
        needed += ("--format", "t7", "--out", "out")
    if sub == ("import",):
        needed += ("--dataset", "hmdb")
    if option == "--top-k":
        needed = ("--evaluate", "none", "--videos", "none")
    for number in NUMBERS:
        result = run(module, *sub, *needed, option, before + number)
        assert isinstance(result.exception, SystemExit), (number, result.exception)
        assert result.exit_code in (1, 2), (number, result.output)
        # click puts lines with the usage before it.
        last = result.stderr.strip().splitlines()[-1]
        assert "rror: " in last
        assert "Traceback" not in result.stderr
        assert len(last) < 6000


def numeric_fields(kind: type[Section]) -> Iterator[tuple[str, str]]:
    for section, field in kind.model_fields.items():
        inner: Any = field.annotation
        name = section
        if get_args(inner):
            inner, name = get_args(inner)[-1], f"{section}.one"
        for key, each in inner.model_fields.items():
            if {int, float} & ({each.annotation, *get_args(each.annotation)} - {NoneType}):
                yield name, key


SECTIONS: tuple[type[Section], ...] = (DataSections, ExtractSections, TrainSections)
KEYS = sorted({(kind, *found) for kind in SECTIONS for found in numeric_fields(kind)}, key=repr)


@pytest.mark.parametrize(("kind", "section", "key"), KEYS)
@pytest.mark.parametrize("number", ["9" * 5000, "nan", "inf", "-inf", "1e999", f"1{'0' * 400}"])
def test_any_number_in_the_settings_file_is_told(
    kind: type[Section], section: str, key: str, number: str, tmp_path: Path
) -> None:
    file = tmp_path / "pipeline.toml"
    rule = "root = '.'\nval_pattern = 'x'\n" if section == "datasets.one" else ""
    if key == "val_ratio":
        rule = ""
    file.write_text(f"[{section}]\n{rule}{key} = {number}\n")
    with pytest.raises(ConfigError) as told:
        load_settings(kind, file, {})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "line",
    [
        f"epochs = [{10**30}]",
        f"gamma = [{'9' * 5000}]",
        "gamma = [nan]",
        "learning-rate = [inf, 0.03]",
        f"batch-size = [0.5, {10**12}]",
    ],
)
def test_any_number_in_a_grid_is_told(line: str, tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(line)
    with pytest.raises(ConfigError):
        read_grid(file).apply(TrainSections().train)


def test_a_grid_that_nobody_could_train_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    values = [n / 1000 for n in range(1, 200)]
    names = ("gamma", "alpha", "mu", "beta-video", "beta-frame", "momentum")
    file.write_text("".join(f"{name} = {values}\n" for name in names))
    with pytest.raises(ConfigError, match=f"has {199**6} combinations, at most 10000"):
        read_grid(file)
