"""If this breaks, a download that went wrong is told as FFmpeg's "Invalid data"."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.extract.cli import main

from ...support.decoding import ALL, FIVE, decode
from ...support.videos import WriteClip

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n"
FILES = [
    (POINTER, "cannot be opened: it is a Git LFS pointer, not the video: run `git lfs pull`"),
    (b"/annex/objects/SHA256E-s1--a.mp4\n", "it is a git-annex pointer"),
    (b"\n <!DOCTYPE html><title>429</title>", "cannot be opened: it is a web page"),
    (b"\xef\xbb\xbf<HTML lang=en>", "it is a web page"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
    (b'{"error": "quota"}', "a text in JSON"),
    (b"404: Not Found", "it is a text, not a video"),
    (b"", "cannot be opened: the file is empty (0 bytes)"),
    (bytes(5000), "it begins with zeros only"),
    (b"PK\x03\x04" + bytes(range(256)), "an archive (zip), not a video: unpack it"),
]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".seq"])
@pytest.mark.parametrize(("content", "what"), FILES)
def test_files_that_are_no_videos_are_called_what_they_are(
    tmp_path: Path, content: bytes, what: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for selection in (ALL, FIVE):
        outcome = decode(path, selection)[1]
        assert outcome.status == "failed"
        assert what in outcome.error, outcome


def test_job_in_which_nothing_is_usable_ends_with_3(tmp_path: Path, write_clip: WriteClip) -> None:
    root, files = tmp_path / "UCF-101", ["v_A_g01_c01.avi", "v_A_g02_c01.avi"]
    (root / "A").mkdir(parents=True)
    for name in files:
        (root / "A" / name).write_bytes(POINTER)
    arguments = ["--dataset", "ucf101", "--root", str(root), "--backbone", "resnet18"]
    arguments += ["--weights", "random:0", "--frames", "segments:2", "--no-supervise"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "none")])
    assert result.exit_code == 3
    last = result.stderr.splitlines()[-1]
    assert "all 2 clips failed, the first, A/v_A_g01_c01.avi: cannot be opened" in last
    assert "Git LFS pointer" in last
    write_clip(root / "A" / files[0])
    assert CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "one")]).exit_code == 0
