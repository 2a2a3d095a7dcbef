"""How long a worker may be at something, and that an hour at a call is work."""

import threading

from streams.runtime.watchdog import TIMES_ITS_LENGTH, Watchdog

FLOOR_S = 900.0


class HandClock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_no_recording_hangs_after_the_floor_and_not_before() -> None:
    clock = HandClock()
    watchdog = Watchdog(FLOOR_S, clock)
    with watchdog.watching("calls.transcribed.v1/0/5"):
        clock.now_s += FLOOR_S
        assert watchdog.overdue() is None
        clock.now_s += 1
        assert watchdog.overdue() == "calls.transcribed.v1/0/5"
    assert watchdog.overdue() is None


def test_a_recording_of_an_hour_has_ten() -> None:
    clock = HandClock()
    watchdog = Watchdog(FLOOR_S, clock)
    with watchdog.watching("a call", audio_s=3_600):
        clock.now_s += 3_600
        assert watchdog.overdue() is None
        clock.now_s += (TIMES_ITS_LENGTH - 1) * 3_600 + 1
        assert watchdog.overdue() == "a call"


def test_a_recording_that_is_longer_than_its_event_says_has_the_time_of_its_sound() -> None:
    clock = HandClock()
    watchdog = Watchdog(FLOOR_S, clock)
    with watchdog.watching("a call", audio_s=1):
        watchdog.audio_is(3_600)
        watchdog.audio_is(5)
        clock.now_s += 2 * 3_600
        assert watchdog.overdue() is None
    watchdog.audio_is(10**6)
    assert watchdog.longest_limit_s() == FLOOR_S, "nothing is under way that it could hold of"


def test_of_several_calls_each_has_its_own_time_and_its_own_thread() -> None:
    clock = HandClock()
    watchdog = Watchdog(FLOOR_S, clock)
    long_began, ended = threading.Event(), threading.Event()

    def long_call() -> None:
        with watchdog.watching("long", audio_s=1):
            watchdog.audio_is(7_200)
            long_began.set()
            ended.wait(10)

    thread = threading.Thread(target=long_call)
    thread.start()
    assert long_began.wait(10)
    with watchdog.watching("short", audio_s=4):
        clock.now_s += FLOOR_S + 1
        assert watchdog.overdue() == "short"
        assert watchdog.longest_limit_s() == TIMES_ITS_LENGTH * 7_200
    assert watchdog.overdue() is None
    ended.set()
    thread.join()
    assert watchdog.works == ()


def test_time_in_which_the_process_did_not_run_does_not_count() -> None:
    clock = HandClock()
    watchdog = Watchdog(FLOOR_S, clock)
    with watchdog.watching("a call"):
        clock.now_s += 5 * FLOOR_S
        watchdog.forgive(5 * FLOOR_S)
        assert watchdog.overdue() is None
