"""If this breaks, a file's name or content makes us fail, or read what is none of our business."""

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.common.errors import FeatureStoreError
from ta3n.common.records import AbsentClip, Plan, PlannedClip, dump_record, parse_record
from ta3n.extract.cli import main
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.features_cli import main as features
from ta3n.extract.job.plan import agree_on_plan
from ta3n.extract.job.run import run_job

from ...support.decoding import decode
from ...support.extraction import job
from ...support.videos import WriteClip

# The ending is what the official splits of UCF101 follow from.
END = b"_g01_c01.avi"
NAMES = [
    b"two  blanks ",
    b"'single' \"double\"",
    b"#a&b;c|d$(e)`f`",
    b"%d%s%05d",
    b"http:colon",
    b"[bracket]*?{a,b}",
    b"new\nline\ttab\x1b[31m",
    b"-leading",
    b"x" * (255 - len(END)),
    b"caf\xe9\xff",
]


def test_names_are_data(tmp_path: Path, write_clip: WriteClip) -> None:
    root = tmp_path / "UCF-101"
    made = write_clip(root / "http:" / "v_made_g01_c01.avi", 4)
    for name in NAMES:
        (root / "http:" / os.fsdecode(name + END)).hardlink_to(made)
    (root / "http:" / "loop.avi").symlink_to("loop.avi")
    (root / "loop").symlink_to("loop")
    arguments = ["--dataset", "ucf101", "--root", str(root), "--out", str(tmp_path)]
    arguments += ["--backbone", "resnet18", "--weights", "random:0", "--frames", "segments:1"]
    result = CliRunner().invoke(main, [*arguments, "--no-supervise"])
    assert result.exit_code == 0, result.stderr
    assert f"{len(NAMES) + 1} ok" in result.stderr
    assert features(["verify", str(tmp_path)], standalone_mode=False) is None


def test_name_that_looks_like_an_address_is_a_file(
    tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http:/a.avi", "concat:b.avi", "pipe:0.avi", "-.avi"):
        write_clip(tmp_path / name, 3)
        assert decode(Path(name))[1].status == "ok"


def test_failed_clip_with_a_hostile_name_is_told_on_one_line(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    root = tmp_path / "UCF-101"
    write_clip(root / "A" / "v_a_g02_c01.avi")
    (root / "A" / "v_a\nta3n-extract: error: _g01_c01.avi").write_bytes(b"no video")
    arguments = ["--dataset", "ucf101", "--root", str(root), "--out", str(tmp_path)]
    arguments += ["--backbone", "resnet18", "--weights", "random:0", "--no-supervise"]
    result = CliRunner().invoke(main, arguments)
    assert not [line for line in result.stderr.splitlines() if line.startswith("ta3n-extract: err")]
    lines = CliRunner().invoke(features, ["missing", str(tmp_path)]).stdout.splitlines()
    assert [line.split("\t")[1] for line in lines] == [r"A/v_a\nta3n-extract: error: _g01_c01.avi"]


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {target}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{target}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "rtsp": "RTSP/1.0 {target}\n",
}


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_list_inside_a_video_opens_no_other_file(
    tmp_path: Path, write_clip: WriteClip, kind: str, suffix: str
) -> None:
    write_clip(tmp_path / "other.ts", 4, codec="mpeg2video")
    path = tmp_path / f"a{suffix}"
    path.write_text(PLAYLISTS[kind].format(target="other.ts"))
    _, outcome = decode(path)
    assert outcome.status == "failed"
    assert outcome.num_frames == 0


@pytest.mark.parametrize("kind", ["hls", "concat", "dash"])
def test_a_list_inside_a_video_opens_no_connection(tmp_path: Path, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        path = tmp_path / "a.avi"
        path.write_text(PLAYLISTS[kind].format(target=address))
        assert decode(path)[1].status == "failed"
        with pytest.raises(TimeoutError):
            server.accept()


def test_pipes_and_folders_in_the_place_of_clips_fail(tmp_path: Path) -> None:
    (tmp_path / "folder.avi").mkdir()
    (tmp_path / "null.avi").symlink_to("/dev/null")
    for name in ("folder.avi", "null.avi"):
        outcome: ClipOutcome = decode(tmp_path / name)[1]
        assert outcome.status == "failed", outcome


EVIL_PATHS = ["../a.avi", "/etc/passwd", "A/../../a.avi", "", ".", "A/\0.avi", ".."]


@pytest.mark.parametrize("path", EVIL_PATHS)
def test_record_that_leads_out_of_its_folder_is_refused(ucf_tree: Path, path: str) -> None:
    plan = job(ucf_tree, Path("x")).plan
    evil = plan.clips[0].model_copy(update={"path": path})
    absent = AbsentClip.model_construct(path=path, class_name="A", splits={})
    for changes in ({"clips": (evil, *plan.clips[1:])}, {"absent": (absent,)}):
        data = dump_record(plan.model_copy(update=changes))
        with pytest.raises(FeatureStoreError, match="leaves its folder"):
            parse_record(Plan, data, Path("plan.json"))


@pytest.mark.parametrize(
    "shard", ["../shard-00000", "/shard-00000", "shard-1", "", "shard-00000\n"]
)
def test_shard_name_that_is_a_path_is_refused(shard: str) -> None:
    with pytest.raises(ValueError, match="is not shard-NNNNN"):
        PlannedClip(
            id=0, path="a", class_name="A", splits={}, size_bytes=1, mtime_ns=2, shard=shard
        )


def test_evil_plan_ends_the_job_in_one_line(ucf_tree: Path, tmp_path: Path) -> None:
    task = job(ucf_tree, tmp_path)
    agree_on_plan(tmp_path, task.plan)
    path = tmp_path / "plan.json"
    path.write_bytes(path.read_bytes().replace(b"Archery/v_", b"../../../v_"))
    with pytest.raises(FeatureStoreError, match="leaves its folder") as caught:
        run_job(task)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("shard-*"))
