"""What became of reports, in the register: a mail is claimed by one sender at a time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from streams.adapters.register.register import Register
from streams.adapters.register.sent_reports import CLAIM_LASTS, KEPT, RegisterSentReports
from tests.support.later_clock import LaterClock

WHAT = ("weekly", "2026-W09", "boss@example.com")


def test_of_several_senders_one_is_told_to_send(register: Register) -> None:
    sent = RegisterSentReports(register, LaterClock(timedelta()))
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(lambda _: sent.claim(*WHAT), range(4))) == [False, False, False, True]
    assert sent.claim("weekly", "2026-W10", "boss@example.com")
    assert sent.claim("weekly", "2026-W09", "lead@example.com")


def test_what_failed_is_tried_again_and_what_was_sent_or_refused_is_not(register: Register) -> None:
    sent = RegisterSentReports(register, LaterClock(timedelta()))
    for state, again in (("later", True), ("refused", False), ("sent", False)):
        what = ("weekly", "2026-W09", f"{state}@example.com")
        assert sent.claim(*what)
        sent.tell(*what, state, "451 SMTPDataError")  # type: ignore[arg-type]
        assert sent.claim(*what) is again
    found = sent.of("weekly", "2026-W09")
    assert (found["later@example.com"].attempts, found["later@example.com"].state) == (2, "sending")
    assert found["refused@example.com"].error == "451 SMTPDataError"


def test_the_claim_of_a_sender_that_died_is_taken_over(register: Register) -> None:
    now, later = (
        RegisterSentReports(register, LaterClock(ahead)) for ahead in (timedelta(), CLAIM_LASTS + timedelta(seconds=1))
    )
    assert (now.claim(*WHAT), now.claim(*WHAT)) == (True, False)
    assert (later.claim(*WHAT), later.claim(*WHAT)) == (True, False)


def test_what_was_sent_long_ago_is_forgotten(register: Register) -> None:
    now, later = (RegisterSentReports(register, LaterClock(ahead)) for ahead in (timedelta(), KEPT + timedelta(days=1)))
    assert now.claim(*WHAT)
    assert later.claim("weekly", "2028-W20", "boss@example.com")
    assert now.of("weekly", "2026-W09") == {}
