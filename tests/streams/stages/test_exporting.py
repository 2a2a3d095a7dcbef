"""Exports from request to download: who may what, what is entered, and what is in the ZIP."""

import io
import wave
import zipfile
from dataclasses import replace

import pytest

from processors.custody.export_archive import ExportBrokenError, verify_archive
from processors.custody.exports import Export, ExportNotFoundError, ExportRefusedError
from processors.custody.ports import KeyGoneError
from streams.proof.exports import BEGAN
from streams.stages.exporting import SOUND_BYTES, Asker, RangedSounds
from tests.support.cases import every_case
from tests.support.exports import ExportHouse, person, wav

ANN = person("ann", "export", "listen_unmasked")
BOB = person("bob", "approve")


@pytest.fixture
def house() -> ExportHouse:
    return ExportHouse()


def requested(house: ExportHouse, *calls: str, asker: Asker = ANN, contents: str = "audio_masked text") -> Export:
    chosen = contents.split()
    return house.desk.request(asker, "acme", calls or ("c0", "c1"), chosen, "the court", "complaint", "T-1")  # type: ignore[arg-type]


def approved(house: ExportHouse, *calls: str, contents: str = "audio_masked text") -> Export:
    export = requested(house, *calls, contents=contents)
    return house.desk.approve(BOB, export.export_id, export.contained.digest)


def downloaded(house: ExportHouse, export: Export, asker: Asker = ANN) -> bytes:
    _, token = house.desk.offer(asker, export.export_id)
    return b"".join(house.desk.hand_out(asker, export.export_id, token).chunks)


def refusal(error: pytest.ExceptionInfo[ExportRefusedError]) -> str:
    return error.value.reason


def test_what_was_approved_is_handed_out_marked_and_entered(house: ExportHouse) -> None:
    data = downloaded(house, approved(house))
    told = verify_archive(io.BytesIO(data), house.key.public_key())
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        names = packed.namelist()
        with wave.open(io.BytesIO(packed.read("recordings/00001-c0.wav"))) as sound:
            assert sound.getnframes() == 8_000
    assert names == [
        "recordings/00001-c0.wav",
        "transcripts/00001-c0.json",
        "transcripts/00001-c0.csv",
        "recordings/00002-c1.wav",
        "transcripts/00002-c1.json",
        "transcripts/00002-c1.csv",
        "manifest.json",
        "manifest.json.sig",
    ]
    assert told["set_sha256"] == house.desk.show(ANN, told["export_id"]).contained.digest
    assert house.sounds.asked == [("acme", "c0", "1:1"), ("acme", "c1", "1:1")]
    export = house.exports.get("x1")
    assert (export.state, export.downloads) == ("downloaded", 1)


def test_sound_is_as_it_is_where_that_was_asked_for_and_approved(house: ExportHouse) -> None:
    downloaded(house, approved(house, contents="audio_unmasked"))
    assert {muting for _, _, muting in house.sounds.asked} == {None}


@pytest.mark.parametrize(
    ("asker", "calls", "contents", "reason"),
    [
        pytest.param(person("eve", "see_text"), ("c0",), "text", "no_right", id="without the right"),
        pytest.param(person("eve", tenant_id="bank"), ("c0",), "text", "no_right", id="of another tenant"),
        pytest.param(person("eve", teams=["north"]), ("c0", "c2"), "text", "unknown_call", id="of another team"),
        pytest.param(ANN, ("c0", "c9"), "text", "unknown_call", id="a call that there is not"),
        pytest.param(person("eve", "export"), ("c0",), "audio_unmasked", "no_right", id="unmasked without the right"),
    ],
)
def test_what_somebody_may_not_have_cannot_be_asked_for_and_that_is_entered(
    house: ExportHouse, asker: Asker, calls: tuple[str, ...], contents: str, reason: str
) -> None:
    with pytest.raises(ExportRefusedError) as refused:
        requested(house, *calls, asker=asker, contents=contents)
    assert refusal(refused) == reason
    assert house.audit.told() == [("export_requested", "refused", reason)]


@pytest.mark.parametrize(
    "asker",
    [
        pytest.param(person("eve", tenant_id="bank"), id="of another tenant"),
        pytest.param(person("eve", "export"), id="a colleague who may not approve"),
    ],
)
def test_an_export_that_is_none_of_ones_business_is_not_there(house: ExportHouse, asker: Asker) -> None:
    requested(house)
    with pytest.raises(ExportNotFoundError):
        house.desk.show(asker, "x1")
    assert house.desk.list(asker, "acme") == []
    assert house.audit.told()[-1] == ("export_viewed", "refused", "not_visible")
    with pytest.raises((ExportNotFoundError, ExportRefusedError)):
        house.desk.approve(asker, "x1", house.exports.get("x1").contained.digest)
    assert house.exports.get("x1").state == "requested"
    assert house.audit.told()[-1][:2] == ("export_approved", "refused")


def test_who_may_approve_within_a_team_approves_no_call_of_another(house: ExportHouse) -> None:
    export = requested(house, "c0", "c2")
    with pytest.raises(ExportNotFoundError):
        house.desk.approve(person("bob", "approve", teams=["north"]), "x1", export.contained.digest)
    assert house.exports.get("x1").approvals == ()


def test_a_second_account_of_the_requester_approves_nothing(house: ExportHouse) -> None:
    export = requested(house)
    with pytest.raises(ExportRefusedError) as refused:
        house.desk.approve(person("ann-admin", "approve", human="ann"), "x1", export.contained.digest)
    assert refusal(refused) == "own_request"


def test_a_call_that_was_transcribed_again_or_destroyed_makes_the_export_void(house: ExportHouse) -> None:
    export = approved(house, contents="text")
    _, token = house.desk.offer(ANN, export.export_id)
    house.calls.versions["acme", "c1"] = 2
    with pytest.raises(ExportRefusedError) as refused:
        house.desk.hand_out(ANN, export.export_id, token)
    assert refusal(refused) == "set_changed"
    export = approved(house)
    _, token = house.desk.offer(ANN, export.export_id)
    house.calls.gone.add(("acme", "c0"))
    with pytest.raises(ExportRefusedError):
        house.desk.hand_out(ANN, export.export_id, token)
    assert house.exports.get(export.export_id).state == "void"


def test_a_call_that_is_destroyed_during_the_download_is_not_in_it(house: ExportHouse) -> None:
    export = approved(house)
    _, token = house.desk.offer(ANN, export.export_id)
    chunks = house.desk.hand_out(ANN, export.export_id, token).chunks
    first = next(chunks)
    house.calls.gone.add(("acme", "c1"))
    sent: list[bytes] = [first]
    with pytest.raises(ExportRefusedError):
        sent.extend(chunks)
    with pytest.raises(ExportBrokenError):
        verify_archive(io.BytesIO(b"".join(sent)), house.key.public_key())
    assert [call_id for _, call_id, _ in house.sounds.asked] == ["c0"]


def test_rights_that_were_taken_away_download_nothing(house: ExportHouse) -> None:
    export = approved(house)
    with pytest.raises(ExportRefusedError) as refused:
        downloaded(house, export, person("ann", "see_text"))
    assert refusal(refused) == "no_right"
    assert house.audit.told()[-1] == ("exported", "refused", "not_granted")


def test_a_token_is_good_once_and_a_grant_for_so_many_downloads(house: ExportHouse) -> None:
    export = approved(house)
    _, token = house.desk.offer(ANN, export.export_id)
    b"".join(house.desk.hand_out(ANN, export.export_id, token).chunks)
    assert house.ended == [True]
    with pytest.raises(ExportRefusedError) as refused:
        house.desk.hand_out(ANN, export.export_id, token)
    assert refusal(refused) == "no_token"
    downloaded(house, export)
    assert house.exports.get(export.export_id).state == "closed"
    with pytest.raises(ExportRefusedError):
        house.desk.offer(ANN, export.export_id)


def test_who_hangs_up_has_used_the_download(house: ExportHouse) -> None:
    export = approved(house)
    _, token = house.desk.offer(ANN, export.export_id)
    chunks = house.desk.hand_out(ANN, export.export_id, token).chunks
    next(chunks)
    chunks.close()  # type: ignore[attr-defined] # what a server does with a client that is gone
    assert house.ended == [False]
    assert house.exports.get(export.export_id).downloads == 1


def test_a_process_without_keys_of_recordings_hands_out_no_sound_and_uses_up_no_token(house: ExportHouse) -> None:
    export = approved(house)
    _, token = house.desk.offer(ANN, export.export_id)
    deaf = replace(house.desk, sounds=None)
    with pytest.raises(ExportRefusedError) as refused:
        deaf.hand_out(ANN, export.export_id, token)
    assert refusal(refused) == "not_here"
    assert house.audit.told()[-1] == ("exported", "refused", "not_here")
    assert house.desk.hand_out(ANN, export.export_id, token).name == "x1-1.zip"


def test_the_tables_of_an_export_are_of_its_calls_alone(house: ExportHouse) -> None:
    data = downloaded(house, approved(house, "c1", contents="parquet"))
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert packed.read("parquet/calls.parquet").startswith(b"acme ['c1'] callstream export x1 for the court")


def test_sound_that_is_read_by_ranges_comes_whole_and_a_stretch_at_a_time() -> None:
    data = wav(2_000_000)
    asked: list[tuple[str, str, str | None]] = []

    class Ranged:
        def read(self, start: int, length: int) -> bytes:
            return data[start : start + length]

    def opened(tenant_id: str, call_id: str, muting: str | None) -> Ranged:
        asked.append((tenant_id, call_id, muting))
        return Ranged()

    pieces = list(RangedSounds(opened).wav("acme", "c0", muting="1:1"))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == SOUND_BYTES
    assert asked == [("acme", "c0", "1:1")]


def test_a_key_that_was_destroyed_meanwhile_ends_the_download(house: ExportHouse) -> None:
    def gone(_tenant: str, _call: str, _muting: str | None) -> RangedSounds:
        raise KeyGoneError("there is no key")

    desk = replace(house.desk, sounds=RangedSounds(gone))  # type: ignore[arg-type]
    export = approved(house)
    _, token = desk.offer(ANN, export.export_id)
    with pytest.raises(ExportRefusedError):
        list(desk.hand_out(ANN, export.export_id, token).chunks)
    assert house.ended == [False]


def test_who_withdraws_gets_nothing_any_more(house: ExportHouse) -> None:
    export = approved(house)
    house.desk.withdraw(ANN, export.export_id)
    with pytest.raises(ExportRefusedError):
        house.desk.offer(ANN, export.export_id)
    with pytest.raises(ExportRefusedError):
        house.desk.withdraw(BOB, export.export_id)


def test_an_id_that_somebody_guesses_is_an_entry(house: ExportHouse) -> None:
    with every_case() as cases:
        for action, ask in (
            ("export_viewed", lambda: house.desk.show(ANN, "x9")),
            ("export_viewed", lambda: house.desk.offer(ANN, "x9")),
            ("export_viewed", lambda: house.desk.hand_out(ANN, "x9", "")),
            ("export_viewed", lambda: house.desk.withdraw(ANN, "x9")),
            ("export_approved", lambda: house.desk.approve(BOB, "x9", "0" * 64)),
            ("export_refused", lambda: house.desk.refuse(BOB, "x9", "not_justified")),
        ):
            with cases.case(action):
                before = len(house.audit.entries)
                with pytest.raises(ExportNotFoundError):
                    ask()
                (entry,) = house.audit.entries[before:]
                assert (entry.action, entry.result, entry.refusal) == (action, "refused", "no_export")
                assert (entry.tenant_id, entry.object_id) == ("*", "x9")


def test_a_list_is_entered_and_so_is_who_may_not_have_it(house: ExportHouse) -> None:
    requested(house)
    before = len(house.audit.entries)
    assert house.desk.list(BOB, "bank") == []
    assert len(house.desk.list(BOB, "acme")) == 1
    told = [(each.tenant_id, each.result, each.refusal, each.details) for each in house.audit.entries[before:]]
    assert told == [("bank", "refused", "not_visible", {}), ("acme", "allowed", None, {"exports": 1})]


def test_an_approver_whom_the_requester_can_act_as_is_refused(house: ExportHouse) -> None:
    export = requested(house)
    for made, reason in (
        ({"bob": "ann"}, "made_by_requester"),
        ({"ann": "bob"}, "made_requester"),
        ({"ann": "mia", "bob": "mia"}, "one_maker"),
    ):
        house.people.made_by = made
        with pytest.raises(ExportRefusedError) as refused:
            house.desk.approve(BOB, export.export_id, export.contained.digest)
        assert refusal(refused) == reason
        assert house.exports.get(export.export_id).state == "requested"
    house.terms = replace(house.terms, makers_apart=False)
    assert house.desk.approve(BOB, export.export_id, export.contained.digest).state == "approved"


def test_two_approvals_are_of_two_people_who_cannot_act_as_each_other(house: ExportHouse) -> None:
    house.terms = replace(house.terms, approvals=2)
    export = requested(house)
    house.people.made_by = {"cleo": "bob"}
    house.desk.approve(BOB, export.export_id, export.contained.digest)
    with pytest.raises(ExportRefusedError) as refused:
        house.desk.approve(person("cleo", "approve"), export.export_id, export.contained.digest)
    assert refusal(refused) == "made_by_approver"
    assert house.desk.approve(person("dan", "approve"), export.export_id, export.contained.digest).state == "approved"


def test_what_cannot_be_muted_cannot_be_asked_for_muted_and_is_named(house: ExportHouse) -> None:
    house.calls.not_mutable = {("acme", "c1")}
    with pytest.raises(ExportRefusedError, match=r"c1 \(not_heard_yet\)$") as refused:
        requested(house, contents="audio_masked")
    assert refusal(refused) == "not_mutable"
    assert house.audit.told()[-1] == ("export_requested", "refused", "not_mutable")
    assert requested(house, "c0", contents="audio_masked").state == "requested"
    assert requested(house, contents="audio_unmasked text").state == "requested"
    with pytest.raises(ExportRefusedError) as refused:
        requested(house, asker=person("ann", "export", teams=["south"]), contents="audio_masked")
    assert refusal(refused) == "unknown_call", "of calls of others nothing is told"
    days = (BEGAN.date(), BEGAN.date())
    of_days = house.desk.request_days(ANN, "acme", days, ["audio_masked"], "the court", "complaint")
    assert [each.call_id for each in of_days.contained.calls] == ["c0", "c2"]


def test_a_transcript_that_is_another_one_makes_an_export_of_muted_sound_void(house: ExportHouse) -> None:
    """What is muted follows the transcript: another transcript is another sound."""
    before, later = requested(house, contents="audio_masked"), approved(house, contents="audio_masked")
    house.calls.versions["acme", "c1"] += 1
    with pytest.raises(ExportRefusedError) as refused:
        house.desk.approve(BOB, before.export_id, before.contained.digest)
    assert refusal(refused) == "set_changed"
    with pytest.raises(ExportRefusedError) as refused:
        downloaded(house, later)
    assert refusal(refused) == "set_changed"
    assert house.desk.show(ANN, later.export_id).state == "void"
    unmasked = approved(house, contents="audio_unmasked")
    house.calls.versions["acme", "c1"] += 1
    assert downloaded(house, unmasked), "as it is, it is the same sound"


def test_a_muting_that_changed_during_the_download_ends_it(house: ExportHouse) -> None:
    export = approved(house, contents="audio_masked")
    house.sounds.changed = {"c1"}
    with pytest.raises(ExportRefusedError) as refused:
        downloaded(house, export)
    assert refusal(refused) == "set_changed"
    assert house.ended == [False]
