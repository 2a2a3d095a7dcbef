"""The life of an export, as it is decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from processors.custody.exports import (
    ActionRefused,
    ApproveExport,
    BeginDownload,
    DownloadBegun,
    EndDownload,
    Export,
    ExportCommand,
    ExportedCall,
    ExportNotFoundError,
    ExportPerson,
    ExportRefusedError,
    ExportSet,
    ExportTerms,
    LapseExport,
    OfferDownload,
    RefuseExport,
    RequestExport,
    WithdrawExport,
    after,
    decide,
)
from tests.support.cases import every_case

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANN, BOB, CLEO = ExportPerson("ann", "ann"), ExportPerson("bob", "bob"), ExportPerson("cleo", "cleo")
ANNS_OTHER = ExportPerson("ann-admin", "ann")
CALLS = (ExportedCall("c1", "r1", "t1"), ExportedCall("c2", "r2", "t2"))
SET = ExportSet.of("acme", "the court", ("audio_masked", "text"), CALLS)
TERMS = ExportTerms(1, timedelta(days=7), timedelta(days=3), 2)


def told(state: Export | None, command: ExportCommand, now: datetime = NOW) -> tuple[Export, str | None]:
    """The export after it, and why it was refused."""
    refused = None
    for event in decide(command, state, now):
        state = after(event, state)
        refused = event.reason if isinstance(event, ActionRefused) else None
    assert state is not None
    return state, refused


def requested(terms: ExportTerms = TERMS) -> Export:
    return told(None, RequestExport("x1", ANN, SET, "complaint", "T-1", terms))[0]


def approved(terms: ExportTerms = TERMS) -> Export:
    return told(requested(terms), ApproveExport("x1", BOB, SET.digest, SET.digest))[0]


def offered(state: Export | None = None, now: datetime = NOW) -> Export:
    return told(state or approved(), OfferDownload("x1", ANN, "d" * 64, timedelta(minutes=5)), now)[0]


BEGIN = BeginDownload("x1", ANN, "d" * 64, SET.digest)


def test_the_digest_of_a_set_is_the_same_in_any_order_and_another_one_for_every_difference() -> None:
    turned = ExportSet.of("acme", "the court", ("text", "audio_masked"), CALLS[::-1])
    assert turned.digest == SET.digest
    others = [
        replace(SET, tenant_id="bank"),
        replace(SET, recipient="the press"),
        replace(SET, contents=("audio_unmasked", "text")),
        replace(SET, contents=("text",)),
        replace(SET, calls=CALLS[:1]),
        replace(SET, calls=(*CALLS, ExportedCall("c3", "r3", "t3"))),
        replace(SET, calls=(replace(CALLS[0], recording="r9"), CALLS[1])),
        replace(SET, calls=(replace(CALLS[0], text="t9"), CALLS[1])),
        replace(SET, calls=(replace(CALLS[0], analysis="1"), CALLS[1])),
        replace(SET, calls=(replace(CALLS[0], recording=None), CALLS[1])),
    ]
    assert len({SET.digest, *(other.digest for other in others)}) == len(others) + 1


def test_a_set_that_cannot_be_answered_for_cannot_be_asked_for() -> None:
    cases: dict[str, tuple[str, tuple[str, ...], tuple[ExportedCall, ...]]] = {
        "no_contents": ("r", (), CALLS),
        "two_maskings": ("r", ("audio_masked", "audio_unmasked"), CALLS),
        "no_calls": ("r", ("text",), ()),
        "too_many_calls": ("r", ("text",), tuple(ExportedCall(f"c{n}") for n in range(10_001))),
        "call_twice": ("r", ("text",), (CALLS[0], CALLS[0])),
        "no_recipient": ("two\nlines", ("text",), CALLS),
    }

    with every_case() as each:
        for reason in cases:
            with each.case(reason):
                recipient, contents, calls = cases[reason]
                with pytest.raises(ExportRefusedError) as refused:
                    ExportSet.of("acme", recipient, contents, calls)  # type: ignore[arg-type]
                assert refused.value.reason == reason


def test_an_export_is_asked_for_approved_and_downloaded_twice() -> None:
    state = approved()
    assert (state.state, state.grant_until) == ("approved", NOW + timedelta(days=3))
    state, _ = told(offered(state), BEGIN)
    assert (state.state, state.downloads, state.download_token) == ("downloaded", 1, None)
    state, _ = told(state, EndDownload("x1", ANN, 1, 100, whole=True))
    assert state.state == "downloaded"
    state, _ = told(offered(state), BEGIN)
    state, _ = told(state, EndDownload("x1", ANN, 2, 100, whole=False))
    assert (state.state, state.end_reason) == ("closed", "downloads_used")


def test_what_may_not_be_done_changes_nothing_and_says_why() -> None:
    two = ExportTerms(2, TERMS.request_lasts, TERMS.grant_lasts, 1)
    once = told(requested(two), ApproveExport("x1", BOB, SET.digest, SET.digest))[0]
    late = NOW + timedelta(minutes=5)
    cases: dict[str, tuple[Export, ExportCommand, datetime, str]] = {
        "own": (requested(), ApproveExport("x1", ANN, SET.digest, SET.digest), NOW, "own_request"),
        "other account": (requested(), ApproveExport("x1", ANNS_OTHER, SET.digest, SET.digest), NOW, "own_request"),
        "twice": (once, ApproveExport("x1", BOB, SET.digest, SET.digest), NOW, "approved_before"),
        "again": (approved(), ApproveExport("x1", CLEO, SET.digest, SET.digest), NOW, "not_requested"),
        "another set": (requested(), ApproveExport("x1", BOB, "0" * 64, SET.digest), NOW, "another_set"),
        "own refusal": (requested(), RefuseExport("x1", ANNS_OTHER, "no"), NOW, "own_request"),
        "not yours": (requested(), WithdrawExport("x1", BOB), NOW, "not_requester"),
        "too early": (requested(), OfferDownload("x1", ANN, "d", timedelta(minutes=5)), NOW, "not_granted"),
        "half approved": (once, OfferDownload("x1", ANN, "d", timedelta(minutes=5)), NOW, "not_granted"),
        "approver": (approved(), OfferDownload("x1", BOB, "d", timedelta(minutes=5)), NOW, "not_requester"),
        "no token": (approved(), BEGIN, NOW, "no_token"),
        "wrong token": (offered(), replace(BEGIN, digest="e" * 64), NOW, "no_token"),
        "old token": (offered(), BEGIN, late, "no_token"),
        "thief": (offered(), replace(BEGIN, by=BOB), NOW, "not_requester"),
    }

    with every_case() as each:
        for name in cases:
            with each.case(name):
                state, command, now, reason = cases[name]
                assert told(state, command, now) == (state, reason)


def test_whatever_differs_from_what_was_approved_makes_the_export_void() -> None:
    swapped = replace(offered(), contained=replace(SET, calls=(*CALLS, ExportedCall("c3"))))
    cases: dict[str, tuple[Export, ExportCommand, str]] = {
        "changed since the request": (requested(), ApproveExport("x1", BOB, SET.digest, "0" * 64), "set_changed"),
        "a call is gone": (requested(), ApproveExport("x1", BOB, SET.digest, None), "set_changed"),
        "changed since the approval": (offered(), replace(BEGIN, current="0" * 64), "set_changed"),
        "gone since the approval": (offered(), replace(BEGIN, current=None), "set_changed"),
        "swapped": (swapped, replace(BEGIN, current=swapped.contained.digest), "swapped"),
        "swapped digest": (
            replace(swapped, requested_digest=swapped.contained.digest),
            replace(BEGIN, current=swapped.contained.digest),
            "swapped",
        ),
    }

    with every_case() as each:
        for name in cases:
            with each.case(name):
                state, command, reason = cases[name]
                ended, refused = told(state, command)
                assert (ended.state, ended.end_reason, refused) == ("void", reason, reason)
                assert told(ended, OfferDownload("x1", ANN, "d", timedelta(minutes=5)))[1] == "not_granted"


def test_a_request_and_a_grant_last_each_for_their_own_time() -> None:
    week, three = NOW + timedelta(days=7), NOW + timedelta(days=3)
    assert told(requested(), LapseExport("x1"), week - timedelta(seconds=1))[0].state == "requested"
    assert told(requested(), LapseExport("x1"), week)[0].state == "expired"
    assert told(approved(), LapseExport("x1"), three)[0].state == "expired"
    downloaded, _ = told(offered(), BEGIN)
    assert told(downloaded, LapseExport("x1"), three)[0].state == "closed"
    late = told(requested(), ApproveExport("x1", BOB, SET.digest, SET.digest), week)
    assert (late[0].state, late[1]) == ("expired", "over")
    # A token does not outlive the grant.
    end = three - timedelta(minutes=1)
    token = offered(approved(), end).download_token
    assert token is not None
    assert token.until == three


def test_two_approvals_need_two_people() -> None:
    two = ExportTerms(2, TERMS.request_lasts, TERMS.grant_lasts, 1)
    state = told(requested(two), ApproveExport("x1", BOB, SET.digest, SET.digest))[0]
    assert (state.state, state.grant_until) == ("requested", None)
    bobs_other = ExportPerson("bob-2", "bob")
    assert told(state, ApproveExport("x1", bobs_other, SET.digest, SET.digest))[1] == "approved_before"
    assert told(state, ApproveExport("x1", CLEO, SET.digest, SET.digest))[0].state == "approved"


def test_an_approver_can_end_what_was_approved_and_the_requester_can_withdraw_it() -> None:
    refused = told(approved(), RefuseExport("x1", CLEO, "wrong_recipient"))[0]
    assert (refused.state, refused.end_reason) == ("refused", "wrong_recipient")
    assert told(offered(), WithdrawExport("x1", ANNS_OTHER))[0].state == "withdrawn"
    assert told(refused, WithdrawExport("x1", ANN))[1] == "over"


def test_a_download_that_ends_late_is_entered_all_the_same() -> None:
    begun, _ = told(offered(), BEGIN)
    withdrawn, _ = told(begun, WithdrawExport("x1", ANN))
    assert told(withdrawn, EndDownload("x1", ANN, 1, 5, whole=True)) == (withdrawn, None)
    assert isinstance(decide(BEGIN, offered(), NOW)[-1], DownloadBegun)


def test_an_export_that_there_is_not_is_not_found() -> None:
    with pytest.raises(ExportNotFoundError):
        decide(LapseExport("x9"), None, NOW)
    assert told(requested(), RequestExport("x1", BOB, SET, "complaint", None, TERMS))[1] == "exists"


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param({"approvals": 0}, id="without approval"),
        pytest.param({"downloads": 0}, id="without download"),
        pytest.param({"grant_lasts": timedelta(0)}, id="without time"),
    ],
)
def test_terms_that_grant_nothing_or_everything_are_none(terms: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an approval, a download, and time"):
        ExportTerms(**terms)  # type: ignore[arg-type]
