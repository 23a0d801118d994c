"""If this breaks, a dataset that grows costs all its features again, or some of them."""

import random
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ta3n.common.errors import DataConflictError, FeatureStoreError
from ta3n.common.records import (
    MANIFEST_NAME,
    PLAN_NAME,
    Manifest,
    Plan,
    dump_record,
    plan_part_path,
    read_plan,
    read_record,
)
from ta3n.common.shares import JobShare
from ta3n.datasets.reading.base import Clip, ListedClip, Listing
from ta3n.datasets.reading.ratio import RatioSplit
from ta3n.datasets.reading.split_files import Role
from ta3n.extract.inspect.report import damage, missing_shards, summary
from ta3n.extract.job import plan as plan_module
from ta3n.extract.job import run as run_module
from ta3n.extract.job.plan import Scope, agree_on_plan, describe_plan, make_plan
from ta3n.extract.job.run import run_job

from ...support.extract_jobs import check_sound, num_shards, send, start_job, wait_until
from ...support.extraction import job, rows_of
from ...support.records import CONFIG
from ...support.videos import WriteClip


@pytest.fixture
def root(ucf_tree: Path, tmp_path: Path) -> Path:
    """Return a copy of the tree of 8 clips, to be changed."""
    return Path(shutil.copytree(ucf_tree, tmp_path / "data" / "UCF-101"))


def shards_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*"))}


def add(root: Path, write_clip: WriteClip, *groups: int, name: str = "Biking") -> None:
    for group in groups:
        write_clip(root / name / f"v_{name}_g{group:02d}_c02.avi", 10 + group, seed=group)


def test_one_clip_more_is_appended(root: Path, tmp_path: Path, write_clip: WriteClip) -> None:
    folder = tmp_path / "f"
    first = run_job(job(root, folder))
    before, plan_before = shards_in(folder), (folder / PLAN_NAME).read_bytes()
    # Its path sorts before all others.
    add(root, write_clip, 1, name="Archery")
    second = run_job(job(root, folder))
    after = shards_in(folder)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"shard-00001.h5", "shard-00001.json"}
    assert (folder / PLAN_NAME).read_bytes() == plan_before
    assert second.complete
    (new,) = {clip.path for clip in second.clips} - {clip.path for clip in first.clips}
    assert new == "Archery/v_Archery_g01_c02.avi"
    assert [clip.path for clip in second.clips] == sorted(clip.path for clip in second.clips)
    assert sorted(clip.id for clip in second.clips) == list(range(9))
    assert second.content_hash != first.content_hash
    # The rows are those of a folder that had the clip from the start.
    fresh = rows_of(tmp_path / "fresh", run_job(job(root, tmp_path / "fresh")))
    for path, rows in rows_of(folder, second).items():
        np.testing.assert_allclose(rows, fresh[path], rtol=1e-4, atol=1e-5)
    check_sound(folder)
    assert not list(damage(folder))
    found = summary(folder)
    assert (found["num_shards_done"], found["num_shards"], found["num_rows"]) == (2, 2, 18)
    # Once more: nothing is left to do.
    assert run_job(job(root, folder)) == second
    assert shards_in(folder) == after


def test_a_wider_selection_goes_on_and_a_narrower_one_leaves_all(
    root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "f"
    run_job(job(root, folder, classes=("Archery",), selection="classes Archery"))
    before = shards_in(folder)
    whole = run_job(job(root, folder, selection="all classes"))
    assert (len(whole.clips), whole.selection) == (8, "all classes")
    after = shards_in(folder)
    assert {name: after[name] for name in before} == before
    files = {path: path.read_bytes() for path in folder.iterdir()}
    for narrower in (
        job(root, folder, classes=("Biking",), selection="classes Biking"),
        job(root, folder, limit=2, selection="all classes"),
    ):
        assert run_job(narrower) == whole
        assert {path: path.read_bytes() for path in folder.iterdir()} == files


def test_another_selection_is_added(root: Path, tmp_path: Path) -> None:
    run_job(job(root, tmp_path / "f", classes=("Biking",), selection="classes Biking"))
    both = run_job(job(root, tmp_path / "f", classes=("Archery",), selection="classes Archery"))
    assert len(both.clips) == 8
    assert both.selection == "classes Biking; classes Archery"


@pytest.mark.usefixtures("one_clip_shards")
def test_a_larger_limit_fills_up(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    few = run_job(job(root, folder, limit=3))
    more = run_job(job(root, folder, limit=5))
    assert (len(few.clips), len(more.clips)) == (3, 5)
    assert {clip.path for clip in few.clips} < {clip.path for clip in more.clips}
    assert run_job(job(root, folder, limit=5)) == more
    assert run_job(job(root, folder, limit=2)) == more
    assert len(run_job(job(root, folder)).clips) == 8


@pytest.mark.usefixtures("one_clip_shards")
def test_a_narrower_job_does_no_more_than_it_is_asked_for(root: Path, tmp_path: Path) -> None:
    agree_on_plan(tmp_path / "f", job(root, tmp_path / "f").plan)
    manifest = run_job(job(root, tmp_path / "f", classes=("Biking",)))
    assert {clip.class_name for clip in manifest.clips} == {"Biking"}
    assert {clip.class_name for clip in manifest.pending} == {"Archery"}


def test_clips_that_vanished_or_changed_are_refused(
    root: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    folder = tmp_path / "f"
    run_job(job(root, folder))
    add(root, write_clip, 1)
    run_job(job(root, folder))
    files = {path: path.read_bytes() for path in folder.iterdir()}
    added = root / "Biking" / "v_Biking_g01_c02.avi"
    content = added.read_bytes()
    added.unlink()
    with pytest.raises(DataConflictError, match=r"1 clips are gone \(Biking/v_Biking_g01_c02.avi"):
        run_job(job(root, folder))
    # It is none of the business of a job on other classes.
    run_job(job(root, folder, classes=("Archery",)))
    added.write_bytes(content + b"more")
    with pytest.raises(DataConflictError, match="1 clips changed size"):
        run_job(job(root, folder))
    with pytest.raises(DataConflictError, match="frames is segments:2 there, all now"):
        run_job(job(root, folder, frames="all"))
    assert {path: path.read_bytes() for path in folder.iterdir()} == files


def test_a_clip_that_was_still_being_copied_when_it_was_planned_is_made_as_it_is(
    root: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    """A job was killed before it made its features; nothing is of what the file was."""
    folder = tmp_path / "f"
    before = run_job(job(root, folder))
    add(root, write_clip, 1)
    added = root / "Biking" / "v_Biking_g01_c02.avi"
    content = added.read_bytes()
    added.write_bytes(content[:1000])
    agree_on_plan(folder, job(root, folder).plan)
    added.write_bytes(content)
    whole = run_job(job(root, folder))
    assert (whole.complete, len(whole.clips)) == (True, len(before.clips) + 1)
    (new,) = [clip for clip in whole.clips if clip.path == f"Biking/{added.name}"]
    assert (new.status, new.size_bytes) == ("ok", len(content))
    assert run_job(job(root, folder)) == whole
    assert not list(damage(folder))
    # Once it is made, it may not change any more.
    added.write_bytes(content + b"more")
    with pytest.raises(DataConflictError, match="1 clips changed size"):
        run_job(job(root, folder))


@pytest.mark.usefixtures("one_clip_shards")
def test_an_array_may_grow_a_folder(root: Path, tmp_path: Path, write_clip: WriteClip) -> None:
    folder = tmp_path / "f"
    for share in ("0/3", "1/3", "2/3"):
        run_job(job(root, folder, share=share))
    before = shards_in(folder)
    add(root, write_clip, 1, 2, 3)
    first = run_job(job(root, folder, share="1/3"))
    assert len(first.pending) == 2
    (lacking, who) = missing_shards(folder)
    assert "2 of 11 shards are missing" in lacking
    assert "jobs 0,2 of 3" in who
    run_job(job(root, folder, share="2/3"))
    last = run_job(job(root, folder, share="0/3"))
    assert last.complete
    after = shards_in(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == 2 * 11


def test_a_manifest_that_a_kill_left_behind_the_plan_is_told_and_mended_first(
    root: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    folder = tmp_path / "f"
    whole = run_job(job(root, folder))
    old = (folder / MANIFEST_NAME).read_bytes()
    add(root, write_clip, 1)
    agree_on_plan(folder, job(root, folder).plan)
    # As if the job had been killed between the two.
    (folder / MANIFEST_NAME).write_bytes(old)
    check_sound(folder)
    assert list(damage(folder)) == [f"{folder / MANIFEST_NAME}: it is not what the sidecars say"]
    agree_on_plan(folder, job(root, folder).plan)
    mended = read_record(Manifest, folder / MANIFEST_NAME)
    assert (mended.clips, len(mended.pending)) == (whole.clips, 1)


@pytest.mark.usefixtures("one_clip_shards")
def test_an_interrupted_growth_goes_on(
    root: Path, tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ta3n.common import store
    from ta3n.extract.worker import publishing

    folder = tmp_path / "f"
    run_job(job(root, folder))
    before = shards_in(folder)
    add(root, write_clip, 1, 2, 3)
    written: list[object] = []

    def write_one(*args: object, **options: object) -> object:
        # From the first moment on the manifest tells what is planned.
        there = read_record(Manifest, folder / MANIFEST_NAME)
        assert (len(there.clips), len(there.pending)) == (8, 3)
        if written:
            raise KeyboardInterrupt
        written.append(args)
        return store.write_shard(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(publishing, "write_shard", write_one)
        with pytest.raises(KeyboardInterrupt):
            run_job(job(root, folder))
    half = read_record(Manifest, folder / MANIFEST_NAME)
    assert (len(half.clips), len(half.pending)) == (9, 2)
    # Still more clips meanwhile.
    add(root, write_clip, 4)
    whole = run_job(job(root, folder))
    assert (len(whole.clips), whole.complete) == (12, True)
    after = shards_in(folder)
    assert {name: after[name] for name in before} == before
    assert not list(damage(folder))


def test_a_shard_of_other_clips_than_planned_is_made_again(
    root: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    """Where files cannot be linked, two jobs that add different clips at once may come to this."""
    folder = tmp_path / "f"
    run_job(job(root, folder))
    add(root, write_clip, 1)
    run_job(job(root, folder))
    add(root, write_clip, 2)
    part = plan_part_path(folder, 1)
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("plan-*", "shard-00001*"))
    agree_on_plan(other, job(root, other).plan)
    shutil.copy(plan_part_path(other, 1), part)
    (line, *_) = damage(folder)
    assert "its clips are not those of the plan" in line
    mended = run_job(job(root, folder, repair=True))
    assert len(mended.clips) == 10
    assert not list(damage(folder))


@pytest.mark.usefixtures("one_clip_shards")
def test_a_job_whose_plan_was_lost_to_another_does_not_end_well(
    root: Path, tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files cannot be linked, the last of two plans written in one moment holds."""
    folder, other = tmp_path / "f", tmp_path / "other"
    run_job(job(root, folder))
    shutil.copytree(folder, other)
    add(root, write_clip, 1)
    agree_on_plan(other, job(root, other).plan)
    add(root, write_clip, 2, 3)
    work_off = run_module._work_off

    def lose_plan(*args: Any) -> None:
        shutil.copy(plan_part_path(other, 1), plan_part_path(folder, 1))
        work_off(*args)

    with monkeypatch.context() as lost:
        lost.setattr(run_module, "_work_off", lose_plan)
        with pytest.raises(
            DataConflictError, match=r"lacks 2 clips \(Biking/.*the same line again"
        ):
            # This part has the last of the three clips alone.
            run_job(job(root, folder, share="1/3"))
    whole = run_job(job(root, folder))
    assert (whole.complete, len(whole.clips)) == (True, 11)
    assert not list(damage(folder))


@pytest.mark.slow
@pytest.mark.usefixtures("one_clip_shards")
def test_two_jobs_that_grow_a_folder_at_once_and_a_kill(
    root: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    folder = tmp_path / "ucf101"
    run_job(job(root, folder, selection="all classes"))
    before = shards_in(folder)
    add(root, write_clip, 1, 2, 3, 4)
    killed = start_job(root, tmp_path)
    wait_until(lambda: num_shards(folder) > 8 or plan_part_path(folder, 1).exists())
    send(killed, signal.SIGKILL, to_group=True)
    killed.communicate()
    check_sound(folder)
    for process in [start_job(root, tmp_path) for _ in range(2)]:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    check_sound(folder)
    after = shards_in(folder)
    assert {name: after[name] for name in before} == before
    assert not plan_part_path(folder, 2).exists()
    manifest = read_record(Manifest, folder / MANIFEST_NAME)
    assert (len(manifest.clips), manifest.complete) == (12, True)
    assert not list(damage(folder))


def clip(name: str, role: Role = "train") -> Clip:
    return Clip(path=f"A/{name}.avi", class_name="A", splits={"1": role}, size_bytes=1, mtime_ns=0)


def listing(*clips: Clip, origin: str = "x", ratio: RatioSplit | None = None) -> Listing:
    return Listing(
        dataset="ucf101",
        root=Path("x"),
        clips=tuple(sorted(clips, key=lambda each: each.path)),
        absent=(),
        splits_origin=origin,
        ratio=ratio,
    )


def plan_of(found: Listing) -> Plan:
    return make_plan(found, CONFIG, selection="all classes", limit=None)


@pytest.mark.usefixtures("one_clip_shards")
@pytest.mark.parametrize("seed", range(5))
def test_jobs_that_see_different_clips_come_to_one_plan(tmp_path: Path, seed: int) -> None:
    """Clips are being copied while the jobs of an array start; some see more than others."""
    choose = random.Random(seed)
    base = [clip("base")]
    (tmp_path / "shard-00000.h5").touch()
    agree_on_plan(tmp_path, plan_of(listing(*base)))
    found = [
        listing(*base, *(clip(f"{n:02d}") for n in range(20) if choose.random() < 0.3))
        for _ in range(8)
    ]

    def agree(seen: Listing) -> Plan:
        return agree_on_plan(tmp_path, plan_of(seen), scope=Scope.of(seen, None, num_parts=1))

    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(agree, found))
    last = read_plan(tmp_path)
    assert {c.path for c in last.clips} == {c.path for seen in found for c in seen.clips}
    assert [c.id for c in last.clips] == list(range(len(last.clips)))
    assert len(last.shards) == len(last.clips)
    for seen, plan in zip(found, plans, strict=True):
        assert {c.path for c in seen.clips} <= {c.path for c in plan.clips}
        assert plan.clips == last.clips[: len(plan.clips)]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_job_that_loses_the_race_adds_to_what_the_winner_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, mine, theirs = clip("base"), clip("mine"), clip("theirs")
    agree_on_plan(tmp_path, plan_of(listing(base)))
    publish = plan_module._publish

    def publish_second(folder: Path, number: int, part: Plan) -> bool:
        if number == 1:
            monkeypatch.undo()
            agree_on_plan(tmp_path, plan_of(listing(base, theirs)))
        return publish(folder, number, part)

    monkeypatch.setattr(plan_module, "_publish", publish_second)
    seen = listing(base, mine)
    plan = agree_on_plan(tmp_path, plan_of(seen), scope=Scope.of(seen, None, num_parts=1))
    assert [(c.id, c.path) for c in plan.clips] == [
        (0, "A/base.avi"),
        (1, "A/theirs.avi"),
        (2, "A/mine.avi"),
    ]
    assert plan.shards == ["shard-00000", "shard-00001", "shard-00002"]
    assert plan_part_path(tmp_path, 2).exists()


def test_a_clip_that_another_job_found_meanwhile_is_not_absent(tmp_path: Path) -> None:
    """Training would refuse it as not on disk, though its features are there."""
    late = ListedClip(class_name="A", stem="late.x", splits={"1": "train"})
    never = replace(late, stem="never")
    first = replace(listing(clip("base")), absent=(late, never))
    agree_on_plan(tmp_path, plan_of(first))
    for seen in (replace(listing(clip("base"), clip("late.x")), absent=(never,)), first):
        plan = agree_on_plan(tmp_path, plan_of(seen), scope=Scope.of(seen, None, num_parts=1))
        assert [c.path for c in plan.clips] == ["A/base.avi", "A/late.x.avi"]
        assert [c.path for c in plan.absent] == ["A/never"]
    assert not plan_part_path(tmp_path, 2).exists()


def test_a_clip_in_a_folder_of_another_spelling_is_absent_no_more(tmp_path: Path) -> None:
    """The splits of Olympic Sports and its folders spell a class in two ways."""
    late = ListedClip(class_name="platfrom", stem="late", splits={"1": "train"})
    aliases = {"platform": "platfrom"}

    def found(*clips: Clip, absent: tuple[ListedClip, ...] = ()) -> Listing:
        own = (replace(c, class_name="platform", path=f"platform/{c.stem}.avi") for c in clips)
        return replace(listing(), clips=tuple(own), absent=absent, aliases=aliases)

    classes = ["platform"]
    first, then = found(clip("base"), absent=(late,)), found(clip("base"), clip("late"))
    agree_on_plan(tmp_path, plan_of(first), scope=Scope.of(first, classes))
    plan = agree_on_plan(tmp_path, plan_of(then), scope=Scope.of(then, classes))
    assert [c.path for c in plan.clips] == ["platform/base.avi", "platform/late.avi"]
    assert not plan.absent
    older = Scope.of(first, classes, num_parts=1)
    assert not agree_on_plan(tmp_path, plan_of(first), scope=older).absent


def ratio(*names: str) -> RatioSplit:
    return RatioSplit(
        clips={f"A/{name}.avi": ("A", ("A", name[0])) for name in names},
        ratio=0.5,
        seed=0,
        origin="ratio 0.5, seed 0, each by its name",
        former_origin="ratio 0.5, seed 0",
    )


def by_ratio(*names: str) -> Listing:
    rule = ratio(*names)
    splits = rule.splits()
    clips = (replace(clip(name), splits=splits[f"A/{name}.avi"]) for name in names)
    return listing(*clips, origin=rule.origin, ratio=rule)


OTHER: dict[Role, Role] = {"train": "test", "test": "train"}
NAMES = tuple(f"{letter}{n}" for letter in "abcdefgh" for n in (1, 2))


def test_a_split_of_the_former_rule_stays_and_new_clips_join_their_groups(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shard-00000.h5").touch()
    now = by_ratio(*NAMES)
    roles = {c.path: c.splits["1"] for c in now.clips}
    turned: dict[str, Role] = {path: OTHER[role] for path, role in roles.items()}
    first = [clip(name, turned[f"A/{name}.avi"]) for name in NAMES if name[1] == "1"]
    agree_on_plan(tmp_path, plan_of(listing(*first, origin="ratio 0.5, seed 0")))
    grown = agree_on_plan(tmp_path, plan_of(now), scope=Scope.of(now, None))
    assert {c.path: c.splits["1"] for c in grown.clips} == turned
    assert grown.splits_origin == "ratio 0.5, seed 0"
    assert "16 clips keep the part of the split that they have there" in log.text
    # Asked for, today's rule holds.
    moved = agree_on_plan(tmp_path, plan_of(now), scope=Scope.of(now, None), new_splits=True)
    assert {c.path: c.splits["1"] for c in moved.clips} == roles
    assert moved.splits_origin == now.splits_origin
    assert agree_on_plan(tmp_path, plan_of(now), scope=Scope.of(now, None)) == moved


def test_another_ratio_is_refused(tmp_path: Path) -> None:
    now = by_ratio(*NAMES)
    agree_on_plan(tmp_path, plan_of(now), scope=Scope.of(now, None))
    (tmp_path / "shard-00000.h5").touch()
    other = listing(
        *(replace(c, splits={"1": OTHER[c.splits["1"]]}) for c in now.clips),
        origin="ratio 0.6, seed 0, each by its name",
        ratio=replace(ratio(*NAMES), origin="other", former_origin="other"),
    )
    with pytest.raises(DataConflictError, match=r"16 clips are in another split .* --new-splits"):
        agree_on_plan(tmp_path, plan_of(other), scope=Scope.of(other, None))


def test_new_splits_are_for_all_that_is_there(tmp_path: Path) -> None:
    both = listing(clip("one"), replace(clip("two"), path="B/two.avi", class_name="B"))
    agree_on_plan(tmp_path, plan_of(both))
    half = listing(clip("one", "test"))
    with pytest.raises(DataConflictError, match=r"1 of them are not asked for \(B/two"):
        agree_on_plan(tmp_path, plan_of(half), scope=Scope.of(half, ["A"]), new_splits=True)


def test_a_dry_run_tells_what_would_be_added(tmp_path: Path) -> None:
    agree_on_plan(tmp_path, plan_of(listing(clip("one"))))
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    grown, gone = listing(clip("one"), clip("two")), listing(clip("two"))
    told = [
        describe_plan(
            plan_of(seen), Path("x"), JobShare(), tmp_path, scope=Scope.of(seen, None)
        ).splitlines()
        for seen in (grown, gone)
    ]
    assert "the folder is for 1 clips; 1 are added" in told[0]
    assert f"this job: 2 of 2 shards, to {tmp_path}" in told[0]
    assert any(line.startswith("it would be refused: ") for line in told[1])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_clip_of_another_class_than_before_is_refused(tmp_path: Path) -> None:
    """Its record would keep the class that it had."""
    agree_on_plan(tmp_path, plan_of(listing(clip("one"))))
    now = listing(replace(clip("one"), class_name="B"), clip("two"))
    with pytest.raises(DataConflictError, match=r"1 clips are of another class \(A/one.avi\)"):
        agree_on_plan(tmp_path, plan_of(now), scope=Scope.of(now, None))
    assert not plan_part_path(tmp_path, 1).exists()


def test_a_part_of_other_settings_is_refused(tmp_path: Path) -> None:
    agree_on_plan(tmp_path, plan_of(listing(clip("one"))))
    other = plan_of(listing(clip("two")))
    other = other.model_copy(update={"config": CONFIG.model_copy(update={"frames": "fps:2"})})
    plan_part_path(tmp_path, 1).write_bytes(dump_record(other))
    with pytest.raises(FeatureStoreError, match=r"plan-0001\.json was made with other settings"):
        read_plan(tmp_path)
