"""If this breaks, an option of a command is another one than the setting that it sets."""

from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from ta3n.common.cli import SettingsCommand, handles_errors
from ta3n.common.errors import ConfigError, UsageError
from ta3n.common.log import LOGGER
from ta3n.common.settings import Section, load_settings, setting

Patch = pytest.MonkeyPatch


class Kitchen(Section):
    """Settings of every kind that there is."""

    out: Path = setting("food", "Where it goes.", metavar="DIR")
    dishes: tuple[str, ...] = setting((), "What.", names=("--dish", "--dishes"), multiple=True)
    heat: Literal["low", "high"] | None = setting(None, "How hot.")
    cook: str = setting("anna", "Who.", choices=("anna", "otto"))
    minutes: int | None = setting(None, "How long.", metavar="N", ge=1)
    salt: float = setting(0.5, "How much.", metavar="G")
    stir: bool = setting(True, "By hand.")
    spices: dict[str, float] = setting({}, "How much of each.", metavar="NAME=X", multiple=True)
    burn_it: bool = setting(False, "Well done.")


class Kitchens(Section):
    """What the command below reads of a file."""

    extract: Kitchen = Kitchen()


def given(*args: str) -> dict[str, Any]:
    """Return what a command gets of these arguments."""
    got: dict[str, Any] = {}

    @click.command(cls=SettingsCommand, section=f"{__name__}:Kitchen", after="first")
    @click.option("--first", is_flag=True)
    @click.option("--last", is_flag=True)
    def command(**options: Any) -> None:
        got.update(options)

    result = CliRunner().invoke(command, args, standalone_mode=False)
    if result.exception:
        raise result.exception
    return got


def test_an_option_that_is_not_given_leaves_the_setting_to_the_file(tmp_path: Path) -> None:
    options = given()
    assert set(options) == {"first", "last", *Kitchen.model_fields}
    overrides = {f"extract.{name}": options[name] for name in Kitchen.model_fields}
    file = tmp_path / "p.toml"
    file.write_text('[extract]\nstir = false\ndishes = ["soup"]\nsalt = 2\n')
    settings = load_settings(Kitchens, file, overrides).settings.extract
    assert settings == Kitchen(stir=False, dishes=("soup",), salt=2.0)


def test_what_is_shown_is_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('[extract]\nheat = "low"\n[extract.spices]\npepper = 0.5\n')
    shown = load_settings(Kitchens, file, {"extract.dishes": ["stew", "a \\"]})
    again = tmp_path / "again.toml"
    again.write_text(shown.describe())
    settings = load_settings(Kitchens, again, {}).settings.extract
    assert settings == shown.settings.extract.model_copy(update={"out": tmp_path / "food"})
    assert f"pepper = 0.5{' ' * 32} # {file}" in shown.describe()


def test_options_have_the_types_and_names_of_their_settings() -> None:
    options = given(
        "--out", "x", "--dish", "a", "--dishes", "b", "--heat", "low", "--cook", "otto",
        "--minutes", "3", "--salt", "1", "--no-stir", "--burn-it",
    )  # fmt: skip
    assert options["out"] == "x"
    assert options["dishes"] == ("a", "b")
    assert (options["heat"], options["cook"]) == ("low", "otto")
    assert (options["minutes"], options["salt"]) == (3, 1.0)
    assert (options["stir"], options["burn_it"]) == (False, True)


@pytest.mark.parametrize("wrong", [("--heat", "mild"), ("--cook", "x"), ("--minutes", "x")])
def test_what_a_setting_cannot_be_is_no_option(wrong: tuple[str, str]) -> None:
    with pytest.raises(click.BadParameter) as caught:
        given(*wrong)
    assert wrong[0] in caught.value.format_message()


def test_a_choice_is_refused_in_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('[extract]\ncook = "ana"\n')
    with pytest.raises(ConfigError, match=r"extract.cook = 'ana' .*did you mean 'anna'"):
        load_settings(Kitchens, file, {})
    with pytest.raises(UsageError, match="use one of anna, otto"):
        load_settings(Kitchens, file, {"extract.cook": "x"})


def test_help_has_the_settings_in_their_order_after_the_option_named() -> None:
    @click.command(cls=SettingsCommand, section=f"{__name__}:Kitchen", after="first")
    @click.option("--first", is_flag=True)
    @click.option("--last", is_flag=True)
    def command(**_: Any) -> None:
        pass

    text = CliRunner().invoke(command, ["--help"]).output
    words = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert words[:4] == ["--first", "--out", "--dish,", "--heat"]
    assert words[-2:] == ["--last", "--help"]
    assert "--stir / --no-stir" in text
    assert "--burn-it / " not in text


def test_home_is_meant_by_a_tilde_in_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shells leave it alone after the sign of equality."""
    monkeypatch.setenv("HOME", str(tmp_path))

    @click.command()
    @click.option("--out", type=click.Path(path_type=Path))
    @click.option("--list", "lists", type=click.Path(path_type=Path), multiple=True)
    @handles_errors("x")
    def command(out: Path, lists: tuple[Path, ...]) -> None:
        click.echo(f"{out} {lists[0]}")

    result = CliRunner().invoke(command, ["--out=~/a", "--list=~/b"])
    assert result.output == f"{tmp_path / 'a'} {tmp_path / 'b'}\n"


@pytest.mark.parametrize(
    ("options", "logged"),
    [
        ((), ["told", "warned"]),
        (("--quiet",), ["warned"]),
        (("-q",), ["warned"]),
        (("--verbose",), ["why", "told", "warned", "because of KeyError: 'deep'"]),
    ],
)
def test_reasons_are_logged_when_asked_for(options: tuple[str, ...], logged: list[str]) -> None:
    @click.command()
    @handles_errors("x")
    def command() -> None:
        LOGGER.debug("why")
        LOGGER.info("told")
        LOGGER.warning("warned")
        try:
            raise KeyError("deep")
        except KeyError as error:
            raise UsageError("wrong") from error

    result = CliRunner().invoke(command, list(options))
    *lines, last = result.stderr.splitlines()
    assert last == "x: error: wrong"
    assert [line.split(" x: ")[1] for line in lines] == logged


def ending(error: type[Exception] | Exception | str) -> Result:
    """Return what becomes of a command that meets an error, or imports a module."""

    @click.command()
    @handles_errors("x")
    def command() -> None:
        if isinstance(error, str):
            import_module(error)
        else:
            raise error

    return CliRunner().invoke(command)


def test_a_library_that_cannot_be_loaded_is_told_in_one_line(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    """As torch's cannot where memory is limited; a module in Python is a fault of ours."""
    library = tmp_path / f"no_library{EXTENSION_SUFFIXES[0]}"
    library.write_bytes(b"no library")
    (tmp_path / "faulty_module.py").write_text("from math import no_such_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = ending("no_library")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"x: error: {library} cannot be loaded: ")
    assert "no_such_name" in str(ending("faulty_module").exception)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'torchvision'", name="torchvision"), "not installed"),
        (RuntimeError("operator torchvision::nms does not exist"), "is of another torch"),
    ],
)
def test_a_torchvision_that_torch_lacks_or_cannot_use_is_told(error: Exception, told: str) -> None:
    result = ending(error)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert told in result.stderr


def test_too_little_memory_is_told_in_one_line() -> None:
    result = ending(MemoryError)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("x: error: not enough memory; ")


def completed(command: click.Command, *words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    *before, last = words
    found = ShellComplete(command, {}, "x", "_X").get_completions(list(before), last)
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("command", "words", "offered"),
    [
        ("ta3n.train.cli", ("--method", "sou"), ["source-only"]),
        ("ta3n.train.cli", ("--method", "coral+sour"), ["coral+source-only"]),
        ("ta3n.train.cli", ("--row", "table3/ta3n,table3/ta2"), ["table3/ta3n,table3/ta2n"]),
        ("ta3n.train.cli", ("--temporal", "rela"), ["relation"]),
        ("ta3n.train.cli", ("--target", "hm"), ["hmdb", "hmdb51"]),
        ("ta3n.extract.cli", ("--dataset", "ucf"), ["ucf", "ucf101"]),
        ("ta3n.extract.cli", ("--backbone", "resnet1"), ["resnet18", "resnet101", "resnet152"]),
        ("ta3n.datasets.cli", ("check", "jester-s"), ["jester-source"]),
        ("ta3n.datasets.cli", ("check", "ucf", "--benchmark", "ucf-o"), ["ucf-olympic"]),
        ("ta3n.extract.features_cli", ("verif",), ["verify"]),
    ],
)
def test_a_shell_completes_names(
    command: str, words: tuple[str, ...], offered: list[str], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completed(import_module(command).main, *words) == offered


def test_a_broken_settings_file_completes_nothing_and_says_nothing(
    tmp_path: Path, monkeypatch: Patch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pipeline.toml").write_text("[datasets\n")
    monkeypatch.chdir(tmp_path)
    assert completed(import_module("ta3n.extract.cli").main, "--dataset", "ucf") == []
    assert capfd.readouterr() == ("", "")
