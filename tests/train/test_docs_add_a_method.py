"""The examples of the pages on own methods and temporal modules run as they stand there."""

import re
import shlex
from pathlib import Path

import pytest

from ..support.feature_folders import made_clips, make_features
from ..support.plugins import forgotten_afterwards
from ..support.small_runs import ta3n_train

PAGE_FOLDER = Path(__file__).parents[2] / "docs"
PAGE = "".join(
    (PAGE_FOLDER / f"{name}.md").read_text() for name in ("add-a-method", "add-an-encoder")
)
FILES = {
    text.partition("\n")[0].removeprefix("# "): text
    for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
}
COMMANDS = [
    line
    for text in re.findall(r"```sh[^\n]*\n(.*?)```", PAGE, re.DOTALL)
    for line in text.splitlines()
]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the page's files and made-up features."""
    for dataset in ("ucf101", "hmdb51"):
        make_features(tmp_path / "features", dataset, made_clips(dataset))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = (
    "--benchmark", "ucf-hmdb-small", "--allow-missing", "--epochs", "2", "--batch-size", "10",
    "--device", "cpu",
)  # fmt: skip


def test_the_pages_have_examples() -> None:
    assert list(FILES) == ["my_loss.py", "conditional.py", "teacher.py", "attending.py"]
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("example")
def test_its_commands_run(command: str) -> None:
    with forgotten_afterwards():
        _, *arguments = shlex.split(command)
        result = ta3n_train(*arguments, *(() if "--list-methods" in arguments else SMALL))
    assert result.exit_code == 0, result.stderr
    assert "My loss" in result.stdout or "oracle" in result.stdout


@pytest.mark.parametrize("name", ["conditional", "teacher"])
@pytest.mark.parametrize("stack", ["on", "off"])
@pytest.mark.usefixtures("example")
def test_its_methods_train_with_every_temporal_module(name: str, stack: str) -> None:
    with forgotten_afterwards():
        for temporal in ("pooling", "relation", "attending"):
            result = ta3n_train(
                "--source", "ucf", "--target", "hmdb", "--plugin", f"{name}.py", "--plugin",
                "attending.py", "--method", name, "--temporal", temporal, "--seeds", "2",
                "--stack", stack, *SMALL,
            )  # fmt: skip
            assert result.exit_code == 0, result.stderr
