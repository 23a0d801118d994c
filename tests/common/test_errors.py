"""If this breaks, a message of several lines, or an empty one, hides what went wrong."""

import errno
import resource
import subprocess
import sys

import pytest
import torch

from ta3n.common.errors import first_line, lack_of_the_machine, reason_of


@pytest.mark.parametrize(
    ("error", "first", "reason"),
    [
        (ValueError("one\ntwo"), "one", "ValueError: one"),
        (ValueError(""), "ValueError", "ValueError"),
        (ValueError("\n \n  last"), "last", "ValueError: last"),
        (KeyError("no 'model' there"), "no 'model' there", "KeyError: no 'model' there"),
        (RuntimeError("x" * 300), "x" * 300, f"RuntimeError: {'x' * 200}"),
    ],
)
def test_the_first_line_of_an_error(error: Exception, first: str, reason: str) -> None:
    assert (first_line(error), reason_of(error)) == (first, reason)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("can't start new thread"), "no more processes or threads"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "no more processes"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory; "),
        (MemoryError("5 GB"), "not enough memory: 5 GB; "),
        (OSError(errno.ENOSPC, "No space left on device", "/out"), "No space left on device: /out"),
        (OSError(errno.EAGAIN, "Try again", "/out"), "Try again: /out"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "the GPU has not enough"),
    ],
)
def test_what_the_machine_lacks_is_told(error: Exception, told: str) -> None:
    found = lack_of_the_machine(error)
    assert found is not None
    assert found.startswith(told)


@pytest.mark.parametrize("error", [RuntimeError("no such operator"), ValueError("can't allocate")])
def test_a_fault_is_no_lack_of_the_machine(error: Exception) -> None:
    assert lack_of_the_machine(error) is None


ALLOCATES = """
import resource, torch
from ta3n.common.errors import lack_of_the_machine
resource.setrlimit(resource.RLIMIT_AS, (2**34, resource.RLIM_INFINITY))
try:
    torch.empty(2**34)
except RuntimeError as error:
    print(lack_of_the_machine(error))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="memory cannot be limited here")
def test_what_torch_says_where_memory_is_limited_is_known() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", ALLOCATES], capture_output=True, text=True)
    assert done.stdout.startswith("not enough memory; "), done.stderr
