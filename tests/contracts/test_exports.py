"""Exports in the register, on SQLite and on PostgreSQL alike: whole changes, one after the other."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from processors.custody.exports import Export, ExportNotFoundError, ExportRefusedError
from schemas.errors import RetryableError
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.accounts import RegisterMakers
from streams.adapters.register.exports import RegisterExports, new_export_id
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.adapters.register.tables import export_approvals, export_calls, exports
from streams.proof.exports import BEGAN, MovedClock, prove_exports
from streams.stages.exporting import Asker
from tests.support.exports import ExportHouse, RememberedEntries, person
from tests.support.people import Town

ANN, BOB, CLEO = person("ann"), person("bob"), person("cleo")


@pytest.fixture
def house(register: Register) -> ExportHouse:
    clock, audit = MovedClock(BEGAN), RememberedEntries()
    return ExportHouse(RegisterExports(register, clock, audit), clock, audit)


def test_who_made_whom_is_kept_in_the_register_and_an_approval_asks_it(register: Register) -> None:
    """`ann` administers and exports: whatever she makes herself, she does not approve her own exports by it."""
    clock, audit = MovedClock(BEGAN), RememberedEntries()
    town = Town(register, clock)
    house = ExportHouse(RegisterExports(register, clock, audit), clock, audit, RegisterMakers(register))

    def as_asker(name: str) -> Asker:
        return Asker(town.actor(name), name, "api")

    for name in ("ann", "ben"):
        town.person(name, "administrator")
    town.accounts.add(town.actor("ann"), "puppet", "acme", password_hash="h")
    town.accounts.give(town.actor("ann"), "puppet", "approver", "acme")
    town.accounts.add(town.actor("ben"), "bob", "acme", password_hash="h")
    town.accounts.give(town.actor("ann"), "bob", "approver", "acme")
    export = house.desk.request(as_asker("ann"), "acme", ["c0"], ["text"], "a court", "complaint")

    def tried(name: str) -> str | None:
        """Why not, as the audit log has it."""
        with suppress(ExportRefusedError):
            house.desk.approve(as_asker(name), export.export_id, export.contained.digest)
        ((action, _, why),) = audit.told()[-1:]
        assert action == "export_approved"
        return why

    assert tried("puppet") == "made_by_requester"
    assert tried("bob") == "granted_by_requester"
    town.accounts.give(town.actor("ben"), "bob", "approver", "acme")
    town.accounts.set_password(town.actor("ann"), "bob", "h2")
    assert tried("bob") == "made_by_requester"
    town.accounts.issue_token(town.actor("bob"), "bob", "", ["approve"], timedelta(days=9))
    town.accounts.set_password(town.actor("ben"), "bob", "h3")
    assert tried("bob") == "made_by_requester", "a token from then is still good"
    clock.moment += timedelta(days=6)
    (token,) = town.accounts.find("bob").tokens  # type: ignore[union-attr]
    town.accounts.revoke_token(town.actor("ben"), "bob", token.token_id)
    assert tried("bob") is None


def requested(house: ExportHouse, contents: str = "text") -> Export:
    return house.desk.request(ANN, "acme", ["c0", "c1"], [contents], "第一法院", "complaint", "T-1")  # type: ignore[list-item]


def approved(house: ExportHouse) -> Export:
    export = requested(house)
    return house.desk.approve(BOB, export.export_id, export.contained.digest)


def told(register: Register) -> list[tuple[str, str | None, str, int | None]]:
    events = [CustodyChanged.decode(each.record.value) for each in Outbox(register).waiting(100)]
    return [(event.kind, event.export_id, event.actor, event.count) for event in events]


def at_once(*actions: Callable[[], object]) -> list[object]:
    """What came of each, begun together."""
    results: list[object] = [None] * len(actions)
    gate = threading.Barrier(len(actions))

    def run(number: int, action: Callable[[], object]) -> None:
        gate.wait()
        try:
            results[number] = action()
        except (ExportRefusedError, RetryableError) as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number, action)) for number, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def refusals(results: list[object]) -> list[str]:
    return [each.reason for each in results if isinstance(each, ExportRefusedError)]


def test_an_export_is_kept_as_it_was_decided_with_entries_and_events(register: Register, house: ExportHouse) -> None:
    export = approved(house)
    assert house.exports.get(export.export_id) == export
    assert export.contained.recipient == "第一法院"
    _, token = house.desk.offer(ANN, export.export_id)
    b"".join(house.desk.hand_out(ANN, export.export_id, token).chunks)
    assert told(register) == [
        ("export_requested", "x1", "ann", 2),
        ("export_approved", "x1", "bob", 2),
        ("export_download_begun", "x1", "ann", 2),
        ("export_download_ended", "x1", "ann", 2),
    ]
    assert house.audit.told() == [
        ("export_requested", "done", None),
        ("export_approved", "done", None),
        ("export_download_offered", "done", None),
        ("exported", "allowed", None),
        ("export_download_ended", "done", None),
    ]
    assert {entry.personal["recipient"] for entry in house.audit.entries} == {"第一法院"}


def test_of_an_export_of_muted_sound_the_muting_is_kept(house: ExportHouse) -> None:
    muted = requested(house, "audio_masked")
    assert house.exports.get(muted.export_id) == muted
    assert [call.muting for call in muted.contained.calls] == ["1:1", "1:1"]


def test_the_register_and_what_it_tells_hold_no_token_and_events_no_recipient(
    register: Register, house: ExportHouse
) -> None:
    export = approved(house)
    _, token = house.desk.offer(ANN, export.export_id)
    with register.reading() as tx:
        kept = repr(tx.execute(select(exports)).all())
    assert token not in kept
    assert token not in repr(house.audit.entries)
    waiting = b"".join(each.record.value for each in Outbox(register).waiting(100))
    assert "第一法院".encode() not in waiting
    assert token.encode() not in waiting


def test_a_refusal_is_entered_and_tells_nobody(register: Register, house: ExportHouse) -> None:
    export = requested(house)
    before = told(register)
    with pytest.raises(ExportRefusedError):
        house.desk.approve(ANN, export.export_id, export.contained.digest)
    assert told(register) == before
    assert house.audit.told()[-1] == ("export_approved", "refused", "own_request")


def test_what_cannot_be_entered_is_not_done(register: Register) -> None:
    class Full(RememberedEntries):
        def append_within(self, transaction: object, entry: object) -> None:  # noqa: ARG002
            raise RetryableError("the audit log takes nothing")

    clock = MovedClock(BEGAN)
    house = ExportHouse(RegisterExports(register, clock, Full()), clock)
    with pytest.raises(RetryableError):
        requested(house)
    assert house.exports.list("acme", 10) == []
    assert told(register) == []


def test_of_two_approvers_at_once_one_approves(house: ExportHouse) -> None:
    export = requested(house)
    digest = export.contained.digest
    results = at_once(*(lambda who=who: house.desk.approve(who, "x1", digest) for who in (BOB, CLEO) * 2))
    assert len(house.exports.get("x1").approvals) == 1
    assert sorted(refusals(results)) == ["not_requested"] * 3


@pytest.mark.parametrize("turn", range(5))
def test_approved_or_withdrawn_not_both(house: ExportHouse, turn: int) -> None:
    export = requested(house)
    results = at_once(
        lambda: house.desk.approve(BOB, "x1", export.contained.digest), lambda: house.desk.withdraw(ANN, "x1")
    )
    state = house.exports.get("x1").state
    assert state == "withdrawn", turn  # whichever was first: what is approved can still be withdrawn
    assert refusals(results) in ([], ["over"])
    with pytest.raises(ExportRefusedError):
        house.desk.offer(ANN, "x1")


def test_a_token_that_is_used_by_several_at_once_begins_one_download(house: ExportHouse) -> None:
    approved(house)
    _, token = house.desk.offer(ANN, "x1")
    results = at_once(*[lambda: house.desk.hand_out(ANN, "x1", token)] * 6)
    assert sorted(refusals(results)) == ["no_token"] * 5
    assert house.exports.get("x1").downloads == 1


def test_who_downloads_while_it_expires_does_either(house: ExportHouse) -> None:
    approved(house)
    _, token = house.desk.offer(ANN, "x1")

    def expire() -> object:
        house.clock.moment += timedelta(days=3)
        assert isinstance(house.exports, RegisterExports)
        return house.exports.lapse()

    results = at_once(lambda: house.desk.hand_out(ANN, "x1", token), expire)
    export = house.exports.get("x1")
    assert (export.state, export.downloads, refusals(results)) in (
        ("closed", 1, []),
        ("downloaded", 1, []),
        ("expired", 0, ["not_granted"]),
    )


def test_what_was_swapped_behind_the_approval_is_void(register: Register, house: ExportHouse) -> None:
    def more(export_id: str) -> None:
        with register.transaction() as tx:
            tx.execute(insert(export_calls).values(export_id=export_id, call_id="c2", text="1"))

    def another_digest(export_id: str) -> None:
        more(export_id)
        with register.transaction() as tx:
            tx.execute(update(export_calls).where(export_calls.c.call_id == "c0").values(text="9"))

    def another_recipient(export_id: str) -> None:
        with register.transaction() as tx:
            tx.execute(update(exports).where(exports.c.export_id == export_id).values(recipient="the press"))

    def another_form(export_id: str) -> None:
        with register.transaction() as tx:
            tx.execute(update(exports).where(exports.c.export_id == export_id).values(contents="audio_unmasked text"))

    for swap in (more, another_digest, another_recipient, another_form):
        export = approved(house)
        _, token = house.desk.offer(ANN, export.export_id)
        swap(export.export_id)
        with pytest.raises(ExportRefusedError) as refused:
            house.desk.hand_out(ANN, export.export_id, token)
        assert refused.value.reason == "swapped"
        assert house.exports.get(export.export_id).state == "void"


def test_an_approval_of_the_requester_that_was_written_by_hand_does_not_count(
    register: Register, house: ExportHouse
) -> None:
    export = requested(house)
    digest = export.contained.digest
    with register.transaction() as tx:
        tx.execute(
            insert(export_approvals).values(
                export_id="x1", person="ann", account="ann", digest=digest, approved_at=BEGAN
            )
        )
        tx.execute(update(exports).values(state="approved", grant_until=BEGAN + timedelta(days=3)))
    _, token = house.desk.offer(ANN, "x1")
    with pytest.raises(ExportRefusedError) as refused:
        house.desk.hand_out(ANN, "x1", token)
    assert refused.value.reason == "swapped"


def test_what_has_lasted_long_enough_ends_by_itself_once(register: Register, house: ExportHouse) -> None:
    assert isinstance(house.exports, RegisterExports)
    requested(house)
    house.clock.moment += timedelta(days=7)
    approved(house)
    assert house.exports.lapse() == 1
    assert house.exports.lapse() == 0
    assert [each.state for each in house.exports.list("acme", 10)] == ["approved", "expired"]
    assert told(register)[-1][:3] == ("export_expired", "x1", "exports")


def test_exports_are_listed_of_one_tenant_the_newest_first(house: ExportHouse) -> None:
    requested(house)
    house.clock.moment += timedelta(minutes=1)
    requested(house)
    assert [each.export_id for each in house.exports.list("acme", 10)] == ["x2", "x1"]
    assert len(house.exports.list("acme", 1)) == 1
    assert house.exports.list("bank", 10) == []


def test_an_export_that_there_is_not_is_not_found(house: ExportHouse) -> None:
    with pytest.raises(ExportNotFoundError):
        house.exports.get("x9")
    with pytest.raises(ExportNotFoundError):
        house.desk.approve(BOB, "x9", "0" * 64)
    assert len({new_export_id() for _ in range(1_000)}) == 1_000


def test_at_random_nothing_is_handed_out_that_was_not_approved(register: Register) -> None:
    """The same sequences as in memory, on a real register, with rows swapped behind its back."""

    def swap(export_id: str, chance: object) -> None:  # noqa: ARG001
        with register.transaction() as tx:
            tx.execute(update(exports).where(exports.c.export_id == export_id).values(recipient="somebody else"))

    proof = prove_exports(60, 7, kept=lambda clock: (RegisterExports(register, clock, RememberedEntries()), swap))
    assert proof.wrong == 0, proof
    assert proof.downloads > 0
