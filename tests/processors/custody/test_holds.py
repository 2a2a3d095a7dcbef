"""Cases: what holds a call, and that nothing frees it but the release of every one of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.holds import (
    TELEPHONY,
    Case,
    CustomerScope,
    Extend,
    HeldCall,
    HoldCommand,
    HoldRefusedError,
    HoldScope,
    Open,
    Release,
    after,
    catches,
    decide,
    holding,
    telephony_case,
)
from processors.custody.listed_call import ListedCall
from tests.support.cases import every_case

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
KEY = "a" * 64
ONE = HoldScope(frozenset({"c1"}))


def opened(scope: HoldScope = ONE, actor: str = "li") -> Open:
    return Open(scope, "lawsuit", actor, AT)


def listed(*keys: str, alone: bool = False) -> ListedCall:
    return ListedCall(frozenset(keys), AT, is_alone=alone)


def case_of(first: Open, *commands: HoldCommand) -> Case:
    case = after(None, first)
    for command in commands:
        case = after(case, command)
    assert case is not None
    return case


class TestTheLifeOfACase:
    def test_it_holds_until_a_person_releases_it(self) -> None:
        case = case_of(opened(), Extend(HoldScope(frozenset({"c2"}))))
        assert holding([("k1", case)], HeldCall("c2")) == ["k1"]
        with pytest.raises(HoldRefusedError, match="by a person who may release"):
            decide(Release("callstream", is_person=False), case)
        released = case_of(opened(), Release("wang", is_person=True))
        assert holding([("k1", released)], HeldCall("c2")) == []

    def test_a_call_is_free_only_when_every_case_let_go(self) -> None:
        first, second = case_of(opened()), case_of(opened(actor="zhou"))
        assert holding([("k2", second), ("k1", first)], HeldCall("c1")) == ["k1", "k2"]
        released = case_of(opened(), Release("wang", is_person=True))
        assert holding([("k2", second), ("k1", released)], HeldCall("c1")) == ["k2"]

    def test_what_was_released_stays_released(self) -> None:
        case = case_of(opened(actor=TELEPHONY), Release("wang", is_person=True))
        assert decide(opened(actor=TELEPHONY), case) == (), "the event of the call is delivered once more"
        for command in (opened(), Extend(ONE)):
            with pytest.raises(HoldRefusedError, match="open another one"):
                decide(command, case)
        assert decide(Release("wang", is_person=True), case) == ()

    def test_the_same_command_once_more_changes_nothing(self) -> None:
        assert decide(opened(), case_of(opened())) == ()
        assert decide(opened(actor=TELEPHONY), case_of(opened(actor=TELEPHONY))) == ()

    def test_refusals(self) -> None:
        refused: dict[str, tuple[HoldCommand, Case | None, str]] = {
            "nothing to hold": (opened(HoldScope()), None, "needs calls to hold"),
            "somebody else's": (opened(actor="zhou"), case_of(opened()), "open already"),
            "no case to extend": (Extend(ONE), None, "no such case"),
            "no case to release": (Release("wang", is_person=True), None, "no such case"),
        }
        with every_case() as cases:
            for name, (command, case, sentence) in refused.items():
                with cases.case(name), pytest.raises(HoldRefusedError, match=sentence):
                    decide(command, case)

    def test_the_case_of_an_event_bears_the_id_of_its_call(self) -> None:
        assert telephony_case("c1") == "telephony:c1"


class TestTheCallsOfACustomer:
    year = CustomerScope(frozenset({KEY, "b" * 64}), AT, AT + timedelta(days=365))
    scope = HoldScope(customers=(year,))

    @pytest.mark.parametrize(
        ("call", "held"),
        [
            pytest.param(HeldCall("c9", KEY, AT), True, id="from the first moment on"),
            pytest.param(HeldCall("c9", "b" * 64, AT + timedelta(days=200)), True, id="under a former key, later"),
            pytest.param(HeldCall("c9", KEY, AT - timedelta(seconds=1)), False, id="before"),
            pytest.param(HeldCall("c9", KEY, AT + timedelta(days=365)), False, id="after"),
            pytest.param(HeldCall("c9", "c" * 64, AT), False, id="somebody else"),
            pytest.param(HeldCall("c9", None, AT), False, id="nobody's"),
            pytest.param(HeldCall("c9"), True, id="nobody knows whose it is"),
            pytest.param(HeldCall("c9", None, AT, listed(KEY)), True, id="theirs by the exchange's list"),
            pytest.param(
                HeldCall("c9", KEY, AT, listed("c" * 64)), True, id="theirs by its event, another's by the list"
            ),
            pytest.param(HeldCall("c9", None, AT, listed("c" * 64)), False, id="another's by the list"),
            pytest.param(HeldCall("c9", None, AT, listed()), False, id="nobody's, by the list either"),
            pytest.param(HeldCall("c9", None, None, listed("c" * 64)), True, id="another's by the list, undecided"),
            pytest.param(HeldCall("c9", None, None, listed("c" * 64, alone=True)), False, id="known to the list alone"),
            pytest.param(
                HeldCall("c9", None, None, listed(alone=True)), True, id="known to the list, which names nobody"
            ),
        ],
    )
    def test_those_to_come_are_held_too(self, call: HeldCall, held: bool) -> None:
        assert catches(self.scope, call) is held


CASES = ("k1", "k2", "k3")
CALLS = ("c1", "c2", "c3")
scopes = st.builds(HoldScope, st.frozensets(st.sampled_from(CALLS), max_size=2))
actors = st.sampled_from(["li", "zhou", TELEPHONY])
commands = st.one_of(
    st.builds(Open, scopes, st.sampled_from(["lawsuit", "complaint"]), actors, st.just(AT)),
    st.builds(Extend, scopes),
    st.builds(Release, actors, st.booleans()),
)


class TestWhateverIsAsked:
    @given(st.lists(st.tuples(st.sampled_from(CASES), commands), max_size=20))
    def test_only_the_release_of_a_case_by_a_person_takes_it_off_a_call(
        self, asked: Sequence[tuple[str, HoldCommand]]
    ) -> None:
        cases: dict[str, Case] = {}
        held: dict[str, set[str]] = {call: set() for call in CALLS}
        for case_id, command in asked:
            known = cases.get(case_id)
            try:
                case = after(known, command)
            except HoldRefusedError:
                case = known
            else:
                if isinstance(command, Release):
                    assert command.is_person
                    for by in held.values():
                        by.discard(case_id)
                elif known is None or not isinstance(command, Open) or command.actor != TELEPHONY:
                    for call in command.scope.calls:
                        held[call].add(case_id)
            if case is not None:
                cases[case_id] = case
            assert {call: set(holding(cases.items(), HeldCall(call))) for call in CALLS} == held
