"""If this breaks, people wait for a job without knowing for how long."""

import pytest

from ta3n.common.log import Pace, ProgressLine, describe_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (185, "3:05 min"), (3600, "1:00 h"), (7800, "2:10 h")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert describe_duration(seconds) == text


def test_what_comes_before_the_first_step_is_no_pace() -> None:
    """A network is loaded for 17 s, then a clip takes half a second."""
    pace = Pace()
    assert pace.left_s(1, 47, 17.5) is None
    told = [pace.left_s(done, 47, 17.0 + done / 2) for done in range(2, 12)]
    assert told[:2] == [None, None]
    assert told[-1] == pytest.approx((47 - 11) / 2)


def test_the_pace_is_that_of_the_last_minute() -> None:
    pace = Pace()
    for done in range(1, 101):
        pace.left_s(done, 1000, done * 0.1)
    for done in range(101, 201):
        left_s = pace.left_s(done, 1000, 10.0 + (done - 100) * 5.0)
    assert left_s == pytest.approx(800 * 5.0)


def test_steps_longer_than_a_minute_have_a_pace_too_and_waiting_slows_it() -> None:
    pace = Pace()
    assert pace.left_s(1, 4, 100.0) is None
    assert pace.left_s(2, 4, 400.0) == pytest.approx(600.0)
    assert pace.left_s(2, 4, 500.0) == pytest.approx(600.0)
    assert pace.left_s(2, 4, 1300.0) == pytest.approx(1200.0)
    assert pace.left_s(4, 4, 1400.0) == 0.0


def test_a_log_file_gets_a_line_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="ta3n"):
        with ProgressLine(3, "epochs", plain_every_s=0.0) as line:
            line.update(1, "loss 0.5")
        with ProgressLine(3, "epochs", plain_every_s=3600.0) as line:
            line.update(2, "loss 0.4")
    assert [record.getMessage() for record in caplog.records] == ["1 of 3 epochs, loss 0.5"]


def test_a_line_ends_with_the_time_that_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr("ta3n.common.log.time.monotonic", lambda: next(clock))
    with (
        caplog.at_level("INFO", logger="ta3n"),
        ProgressLine(4, "clips", plain_every_s=0.0) as line,
    ):
        for done in (1, 2, 4):
            line.update(done, "well")
    shown = [record.getMessage() for record in caplog.records]
    assert shown == ["1 of 4 clips, well", "2 of 4 clips, well, 20 s left", "4 of 4 clips, well"]
