"""If this breaks, whoever has a GPU gets no answer from `make gpu-check`, or a wrong one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support import gpu_check as check

SCRIPT = Path(check.__file__)


def gpu_check(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        check=False,
    )


def test_without_a_gpu_it_says_so_in_a_line_with_a_code_of_its_own(tmp_path: Path) -> None:
    ran = gpu_check("--json", tmp_path / "out.json", CUDA_VISIBLE_DEVICES="")
    assert ran.returncode == check.EXIT_NO_GPU == 77
    (line,) = ran.stderr.splitlines()
    assert line.startswith("gpu-check: no GPU here: ")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.slow
def test_its_plan_runs_on_a_stand_in(tmp_path: Path) -> None:
    ran = gpu_check("--device", "cpu", "--json", tmp_path / "out.json", "--limit", 1800)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert {"torch", "python", "device"} <= report["device"].keys()
    tests, exact, fast, training = report["steps"]
    assert {test["outcome"] for test in tests["result"]} == {"passed"}
    layout = next(test for test in tests["result"] if "layout" in test["name"])
    assert float(layout["notes"]["speed of channels last, contiguous = 1"]) > 0
    for bench, profile in ((exact, "ta3n"), (fast, "fast")):
        assert bench["result"]["options"]["profile"] == profile
        assert bench["result"]["frames_per_s"]["whole pipeline"] > 0
    assert "medians" in training["output_tail"]


def test_a_step_that_takes_too_long_is_ended_and_told(tmp_path: Path) -> None:
    forever = check.Step("forever", ["-c", "import time; time.sleep(999)"], 0.5, lambda: None)
    found = check.run(forever, 100)
    assert found.exit_code is None
    assert found.seconds < 60
    # When no time is left nothing is started.
    leaves = tmp_path / "file"
    late = check.Step("late", ["-c", f"open({str(leaves)!r}, 'w')"], 100, lambda: None)
    assert check.run(late, 0).exit_code is None
    assert not leaves.exists()


def test_all_steps_fit_into_eight_minutes_of_time(tmp_path: Path) -> None:
    assert check.LIMIT_S <= 480
    assert [step.name for step in check.plan("cuda", tmp_path)] == [
        step.name for step in check.plan("cpu", tmp_path)
    ]


def test_failures_are_told_with_their_reasons(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text(
        "<testsuite><testcase classname='a' name='b' time='1.5'><failure message='why'/>"
        "</testcase><testcase classname='a' name='c' time='0'><properties>"
        "<property name='n' value='2'/></properties></testcase></testsuite>"
    )
    failed, passed = check.tests_in(report)
    assert (failed["outcome"], failed["reason"], failed["seconds"]) == ("failure", "why", 1.5)
    assert (passed["outcome"], passed["notes"]) == ("passed", {"n": "2"})
