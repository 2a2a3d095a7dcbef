"""How long a recording is kept, over years: whatever is found, and in whatever order, only makes it longer."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.retention import (
    UNDECIDED,
    Due,
    EventCame,
    Keep,
    PutInArchive,
    Retention,
    RetentionCommand,
    RetentionTerm,
    Waiting,
    after,
    decide,
    due,
    first_day_after,
    floor_on,
    holding_term,
    may_go_early,
    terms_of,
)
from schemas.config.retention import RetentionClass, read_retention_policy
from tests.processors.transcripts import call

POLICY = read_retention_policy()
ENDED_AT = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
LATER = timedelta(days=1)


def classes(*wanted: str) -> list[RetentionClass]:
    return [one for one in POLICY.classes if one.id in wanted]


def keep(*wanted: str, version: int = 2, is_misdial: bool | None = None, early_on: date | None = None) -> Keep:
    terms, waiting = terms_of(classes(*wanted), version, ENDED_AT, "judged")
    return Keep(terms, waiting, is_misdial, early_on)


def kept(*commands: RetentionCommand) -> Retention:
    state = UNDECIDED
    for command in commands:
        state = after(state, command)
    return state


def due_of(state: Retention) -> Due | None:
    return due(state, ENDED_AT)


class TestTheTermThatEndsLast:
    def test_a_recording_is_kept_through_the_whole_of_its_last_day(self) -> None:
        assert due_of(kept(keep("general"))) == Due(date(2026, 8, 29), "delete", "retention_over", "general", 2)
        assert first_day_after(ENDED_AT, 180) == date(2026, 8, 29)
        assert ENDED_AT + timedelta(days=180) < datetime(2026, 8, 29, tzinfo=UTC)

    def test_of_several_the_longest_wins(self) -> None:
        found = due_of(kept(keep("general", "education", "education_refund_3y")))
        assert found is not None
        assert (found.retention_class, found.on) == ("education_refund_3y", first_day_after(ENDED_AT, 1095))

    def test_a_replay_shortens_nothing(self) -> None:
        """It used to: the class was decided anew from the event, and the row of the last analysis held."""
        heard = kept(keep("education"), keep("education", "education_refund_3y"))
        again = after(heard, keep("education", version=3))
        assert again == heard

    def test_a_policy_that_has_become_shorter_shortens_nothing(self) -> None:
        shorter = [one.model_copy(update={"days": 400}) for one in classes("finance")]
        terms, waiting = terms_of(shorter, 3, ENDED_AT, "judged")
        state = kept(keep("finance"))
        assert after(state, Keep(terms, waiting)) == state

    def test_nothing_decided_is_never_due(self) -> None:
        assert due_of(UNDECIDED) is None

    def test_deciding_again_changes_nothing(self) -> None:
        state = kept(keep("finance", "general"))
        assert decide(keep("finance", "general"), state) == ()


INSURANCE = RetentionClass(id="insurance", name="n", days=1825, starts="event", event="contract_ended")
BOUNDED = INSURANCE.model_copy(update={"at_most_days": 7300})


def insured(one: RetentionClass = INSURANCE) -> Keep:
    return Keep(*terms_of([*classes("general"), one], 2, ENDED_AT, "capture"))


class TestWhatStartsLater:
    def test_until_the_event_comes_nothing_is_due_in_any_year(self) -> None:
        state = kept(insured())
        assert due_of(state) is None
        assert floor_on(state, ENDED_AT) is None

    def test_then_it_counts_from_there(self) -> None:
        ended = datetime(2029, 5, 2, tzinfo=UTC)
        state = kept(insured(), EventCame("contract_ended", ended))
        assert due_of(state) == Due(first_day_after(ended, 1825), "delete", "retention_over", "insurance", 2)
        assert floor_on(state, ENDED_AT) == first_day_after(ended, 1825)

    def test_a_later_one_moves_the_end_and_an_earlier_one_does_not(self) -> None:
        first, second = datetime(2029, 5, 2, tzinfo=UTC), datetime(2031, 5, 2, tzinfo=UTC)
        later = kept(insured(), EventCame("contract_ended", first), EventCame("contract_ended", second))
        assert due_of(later) == due_of(after(later, EventCame("contract_ended", first)))
        found = due_of(later)
        assert found is not None
        assert found.on == first_day_after(second, 1825)

    def test_an_event_before_the_call_counts_as_its_end(self) -> None:
        state = kept(EventCame("contract_ended", ENDED_AT - timedelta(days=900)), insured())
        found = due_of(state)
        assert found is not None
        assert found.on == first_day_after(ENDED_AT, 1825)

    def test_another_event_opens_nothing(self) -> None:
        assert due_of(kept(insured(), EventCame("account_closed", ENDED_AT))) is None

    def test_with_a_bound_it_is_kept_so_long_at_most(self) -> None:
        found = due_of(kept(insured(BOUNDED)))
        assert found == Due(first_day_after(ENDED_AT, 7300), "delete", "retention_over", "insurance", 2)

    def test_the_event_may_come_before_the_class_is_found(self) -> None:
        came = EventCame("contract_ended", datetime(2029, 5, 2, tzinfo=UTC))
        assert kept(came, insured()) == kept(insured(), came)


class TestAtTheEnd:
    archived = RetentionClass(id="long", name="n", days=365, at_end="archive", archive_days=730)

    def test_it_goes_into_the_archive_and_later_away(self) -> None:
        state = kept(Keep(*terms_of([self.archived], 2, ENDED_AT, "capture")))
        ends_on = first_day_after(ENDED_AT, 365)
        assert due_of(state) == Due(ends_on, "archive", "retention_over", "long", 2)
        archived = after(state, PutInArchive(ends_on + LATER))
        assert due_of(archived) == Due(ends_on + LATER + timedelta(days=730), "delete", "archive_over", "long", 2)
        assert after(archived, PutInArchive(ends_on + 9 * LATER)) == archived

    def test_what_is_kept_longer_stays_in_the_archive_longer(self) -> None:
        short = Keep(*terms_of([self.archived], 2, ENDED_AT, "capture"))
        state = kept(short, PutInArchive(first_day_after(ENDED_AT, 365)), keep("finance"))
        found = due_of(state)
        assert found is not None
        assert (found.action, found.on) == ("delete", first_day_after(ENDED_AT, 1825))


EARLY_ON = first_day_after(ENDED_AT, 7)
MISDIAL = keep("finance", is_misdial=True, early_on=EARLY_ON)
NO_MISDIAL = keep("finance", is_misdial=False)


class TestMisdials:
    def test_one_goes_early(self) -> None:
        found = due_of(kept(keep("finance"), MISDIAL))
        assert found == Due(EARLY_ON, "delete", "misdial", "finance", 2)

    @pytest.mark.parametrize("commands", list(permutations([keep("finance"), MISDIAL, NO_MISDIAL])))
    def test_one_judgement_that_says_no_outweighs_all_others(self, commands: Sequence[Keep]) -> None:
        found = due_of(kept(*commands))
        assert found is not None
        assert found.on == first_day_after(ENDED_AT, 1825)

    def test_none_goes_early_while_a_class_waits_for_an_event(self) -> None:
        assert due_of(kept(insured(), MISDIAL)) is None
        bounded = due_of(kept(insured(BOUNDED), MISDIAL))
        assert bounded is not None
        assert bounded.reason == "retention_over"

    @pytest.mark.parametrize(
        ("outcome", "recorded_ms", "lasted_ms", "goes"),
        [
            pytest.param("too_short", 1_200, 3_000, True, id="a misdial"),
            pytest.param("too_short", 4_999, 4_999, True, id="just below five seconds"),
            pytest.param("too_short", 5_000, 5_000, False, id="five seconds"),
            pytest.param("too_short", 3_000, 61_000, False, id="a minute of which three seconds were recorded"),
            pytest.param("analyzed", 4_000, 4_000, False, id="something was said"),
            pytest.param("bad_audio", None, 3_000, False, id="nobody knows how long it is"),
        ],
    )
    def test_what_a_misdial_is(self, outcome: str, recorded_ms: int | None, lasted_ms: int, goes: bool) -> None:
        of = call("general", lasted_ms)
        found = may_go_early(POLICY, of, outcome, recorded_ms)
        assert found == (first_day_after(of.ended_at, 7) if goes else None)

    def test_a_policy_without_early_keeps_them(self) -> None:
        without = POLICY.model_copy(update={"early": None})
        assert may_go_early(without, call("general", 2_000), "too_short", 2_000) is None


DAYS = st.integers(180, 4_000)


@st.composite
def terms(draw: st.DrawFn) -> RetentionTerm:
    days = draw(DAYS)
    ends_on = first_day_after(ENDED_AT, days)
    archive_days = draw(st.sampled_from([0, 0, 30, 400]))
    name = draw(st.sampled_from(["a", "b", "c"]))
    floor = first_day_after(ENDED_AT, draw(st.integers(180, days)))
    return RetentionTerm(name, days, ENDED_AT, ends_on, floor, draw(st.integers(1, 9)), "judged", archive_days)


waits = st.builds(
    Waiting,
    retention_class=st.sampled_from(["w", "x"]),
    days=DAYS,
    event=st.sampled_from(["contract_ended", "account_closed"]),
    policy_version=st.integers(1, 9),
    until_on=st.none() | st.dates(date(2030, 1, 1), date(2060, 1, 1)),
    archive_days=st.sampled_from([0, 100]),
)
came = st.builds(
    EventCame,
    event=st.sampled_from(["contract_ended", "account_closed"]),
    at=st.integers(-3_000, 6_000).map(lambda days: ENDED_AT + timedelta(days=days)),
)
keeps = st.builds(
    lambda found, waiting, misdial: Keep(tuple(found), tuple(waiting), misdial, EARLY_ON if misdial else None),
    st.lists(terms(), max_size=3),
    st.lists(waits, max_size=2),
    st.sampled_from([None, None, False, True]),
)


class TestWhateverComes:
    @given(st.lists(keeps | came, max_size=8))
    def test_a_term_never_becomes_shorter(self, commands: Sequence[RetentionCommand]) -> None:
        state = UNDECIDED
        for command in commands:
            before, state = state, after(state, command)
            was, now = holding_term(before, ENDED_AT), holding_term(state, ENDED_AT)
            assert was is None or (now is not None and now.ends_on >= was.ends_on and now.floor_on >= was.floor_on)

    @given(st.lists(keeps, max_size=8))
    def test_no_judgement_brings_a_day_nearer_but_the_first_that_finds_a_misdial(
        self, commands: Sequence[Keep]
    ) -> None:
        state = UNDECIDED
        for command in commands:
            before, state = state, after(state, command)
            was, now = due(before, ENDED_AT), due(state, ENDED_AT)
            if before.term is None or (state.is_misdial and before.is_misdial is None):
                continue
            assert now is None or (was is not None and now.on >= was.on)

    @given(st.lists(keeps | came, max_size=6), st.randoms(use_true_random=False))
    def test_the_order_does_not_matter(self, commands: list[RetentionCommand], random: Random) -> None:
        other = list(commands)
        random.shuffle(other)
        one, two = kept(*commands), kept(*other)
        on, on_other = due_of(one), due_of(two)
        assert (on and (on.on, on.action)) == (on_other and (on_other.on, on_other.action))
        assert floor_on(one, ENDED_AT) == floor_on(two, ENDED_AT)

    @given(st.lists(keeps | came, max_size=6))
    def test_given_again_it_changes_nothing(self, commands: Sequence[RetentionCommand]) -> None:
        state = kept(*commands)
        assert kept(*commands, *commands) == state
        assert all(decide(command, state) == () for command in commands)
