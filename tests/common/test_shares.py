"""If this breaks, two jobs of an array do the same work, or nobody does some of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from ta3n.common.errors import DataConflictError, FeatureStoreError, UsageError
from ta3n.common.shares import JobShare, agree_on_count


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shares_cover_every_item_once(count: int) -> None:
    items = list(range(10))
    shares = (JobShare.parse(f"{index}/{count}").of(items) for index in range(count))
    assert sorted(item for share in shares for item in share) == items


@pytest.mark.parametrize("text", ["", "1", "a/b", "-1/3", "1/0", "1/2/3", "1/²", " 1/2"])
def test_share_that_is_no_share(text: str) -> None:
    with pytest.raises(UsageError, match="is not i/N"):
        JobShare.parse(text)


def test_share_that_counts_from_one_is_told_how_to_count() -> None:
    with pytest.raises(UsageError, match=r"use 0/16 to 15/16 \(in Slurm --array=0-15\)"):
        JobShare.parse("16/16")


def test_another_count_is_refused_until_the_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "shares.json"
    agree_on_count(path, JobShare(3, 16))
    agree_on_count(path, JobShare(15, 16))
    with pytest.raises(DataConflictError, match=r"--shard 0/8 .* 16 parts.*remove that file"):
        agree_on_count(path, JobShare(0, 8))
    path.unlink()
    agree_on_count(path, JobShare(0, 8))
    assert [entry.name for entry in path.parent.iterdir()] == ["shares.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"num_jobs": "x"}'])
def test_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "shares.json"
    path.write_text(content)
    with pytest.raises(FeatureStoreError, match=r"shares\.json is damaged.*remove it"):
        agree_on_count(path, JobShare(0, 8))


AGREE = """
import sys
from pathlib import Path
from ta3n.common.errors import DataConflictError
from ta3n.common.shares import JobShare, agree_on_count
sys.stdin.readline()
try:
    agree_on_count(Path(sys.argv[1]), JobShare(0, int(sys.argv[2])))
    print("agreed")
except DataConflictError:
    print("refused")
"""


def test_of_jobs_that_start_at_once_with_other_counts_one_count_wins(tmp_path: Path) -> None:
    path = tmp_path / "shares.json"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", AGREE, path, str(2 + number % 2)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for job in jobs:
        assert job.stdin
        job.stdin.write("go\n")
        job.stdin.flush()
    answers = [job.communicate()[0].strip() for job in jobs]
    assert answers in (["agreed", "refused"] * 2, ["refused", "agreed"] * 2)
