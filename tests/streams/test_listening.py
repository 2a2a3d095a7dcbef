"""Who may hear what, that it is entered before, and what stands in the way."""

from collections.abc import Iterator
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processors.custody import muting
from processors.custody.authorization import Actor
from processors.custody.intake import Complete, Reserve
from processors.custody.muting import TONE_PEAK, MutingChangedError, muting_of
from processors.listening.audio import DecodeLimits, probe
from processors.listening.plain_wav import plain_wav_of
from processors.listening.renditions import render
from schemas.errors import RetryableError
from schemas.messages.transcript import EngineIdentity
from streams.adapters.object_store.archive import ARCHIVE_RATE_HZ, RecordingArchive
from streams.listening import REMEMBERED, NotPlayedError
from tests.processors.recordings import encoded, tone, wav
from tests.support.playing import (
    CHIEF,
    INSPECTOR,
    READER,
    ROLELESS,
    STRANGER,
    Plays,
    actor_of,
    personal,
    plays,
    said,
)

RATE_HZ = 8_000
SOUND = [tone(300, 4_000, RATE_HZ), tone(700, 4_000, RATE_HZ)]
DATA = wav(SOUND, RATE_HZ)
SEGMENT = said("我的手机是[手机号]", 0, 4_000)
HEARD: dict[str, Any] = {"segments": (SEGMENT,), "pii": (personal(SEGMENT, 2_000, 2_500),)}


@pytest.fixture
def all_of_it(tmp_path: Path) -> Iterator[Plays]:
    with plays(tmp_path) as found:
        yield found


def refusal(all_of_it: Plays, actor: Actor = INSPECTOR, **fields: Any) -> tuple[str, str]:
    """Why it was not played, which the audit log says, too."""
    before = len(all_of_it.audit_log.entries)
    with pytest.raises(NotPlayedError) as raised:
        all_of_it.listening.play(all_of_it.request(actor, **fields))
    (entry,) = all_of_it.audit_log.entries[before:]
    assert (entry.result, entry.refusal, entry.action) == ("refused", raised.value.reason, "listened")
    return raised.value.why, raised.value.reason


def test_an_inspector_hears_the_call_muted_and_it_is_entered_first(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    playing = all_of_it.listening.play(all_of_it.request(ticket="T-1", address="10.0.0.1"))
    (entry,) = all_of_it.audit_log.entries
    assert (entry.actor, entry.role, entry.action, entry.result) == ("inspector", "inspector", "listened", "allowed")
    assert (entry.call_id, entry.purpose, entry.ticket) == ("c1", "sampling", "T-1")
    assert entry.details == {"masking": "masked", "muted_stretches": 1}
    assert entry.personal == {"address": "10.0.0.1"}
    played = np.frombuffer(playing.wav.read(44, 10**9), dtype="<i2").reshape(-1, 2)
    assert np.abs(played[2_000 * 8 : 2_500 * 8]).max() == TONE_PEAK
    assert (played[: 1_200 * 8] == np.stack(SOUND, axis=1)[: 1_200 * 8]).all()
    assert playing.masking == "masked"


def test_who_may_hear_all_and_asks_for_it_hears_all(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    playing = all_of_it.listening.play(all_of_it.request(CHIEF, unmasked=True))
    assert playing.wav.read(0, 10**9) == DATA
    assert all_of_it.audit_log.entries[0].details["masking"] == "unmasked"
    muted = all_of_it.listening.play(all_of_it.request(CHIEF))
    assert muted.etag != playing.etag
    assert muted.wav.read(0, 10**9) != DATA


def test_who_may_not_is_refused_and_the_refusal_is_entered(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    assert refusal(all_of_it, READER) == ("forbidden", "not_granted")
    assert refusal(all_of_it, INSPECTOR, unmasked=True) == ("forbidden", "not_granted")
    assert refusal(all_of_it, STRANGER) == ("unknown", "other_tenant")
    assert refusal(all_of_it, actor_of("silver", "listen", teams=frozenset({"silver"}))) == ("unknown", "other_team")
    assert refusal(all_of_it, actor_of("agent", "listen", agent_id="A2")) == ("unknown", "other_agent")
    assert refusal(all_of_it, Actor("nobody", ())) == ("unknown", "other_tenant")
    all_of_it.listening.play(all_of_it.request(actor_of("agent", "listen", agent_id="A1")))


def test_to_hear_all_without_the_right_to_listen_is_refused(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    assert refusal(all_of_it, actor_of("odd", "listen_unmasked"), unmasked=True) == ("forbidden", "not_granted")


def test_a_call_that_nobody_knows_is_answered_as_one_of_somebody_else(all_of_it: Plays) -> None:
    assert refusal(all_of_it, CHIEF, call_id="c404") == ("unknown", "no_call")
    assert refusal(all_of_it, INSPECTOR, call_id="c404") == ("unknown", "other_team")


def test_an_id_that_leads_elsewhere_is_none(all_of_it: Plays) -> None:
    with pytest.raises(NotPlayedError):
        all_of_it.listening.play(all_of_it.request(CHIEF, call_id="../c1"))


def test_what_was_not_heard_yet_is_heard_whole_or_not_at_all(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, transcript=False)
    key = all_of_it.store.key_of(call.audio.uri)
    assert call.audio.encryption is not None
    attempt, now = call.audio.encryption.parameters["version"], all_of_it.clock.now()
    all_of_it.intakes.tell("acme", "c1", Reserve(attempt, key, "serve", now, timedelta(minutes=1)))
    assert refusal(all_of_it, CHIEF, unmasked=True) == ("unknown", "no_call")
    all_of_it.intakes.tell("acme", "c1", Complete(attempt, "x", call.encode(), now))
    assert refusal(all_of_it, CHIEF) == ("not_now", "not_heard_yet")
    assert all_of_it.listening.play(all_of_it.request(CHIEF, unmasked=True)).wav.read(0, 10**9) == DATA
    assert refusal(all_of_it, INSPECTOR) == ("unknown", "other_team"), "whose agent it was is not known yet"
    all_of_it.hear(call, DATA, **HEARD)
    all_of_it.listening.play(all_of_it.request())


def test_how_long_a_coded_recording_is_must_be_known(all_of_it: Plays) -> None:
    data = encoded(SOUND, RATE_HZ, "libmp3lame", "mp3")
    call = all_of_it.put(data, transcript=False)
    assert call.audio.encryption is not None
    attempt, key, now = (
        call.audio.encryption.parameters["version"],
        all_of_it.store.key_of(call.audio.uri),
        all_of_it.clock.now(),
    )
    all_of_it.intakes.tell("acme", "c1", Reserve(attempt, key, "serve", now, timedelta(minutes=1)))
    all_of_it.intakes.tell("acme", "c1", Complete(attempt, "x", call.encode(), now))
    assert refusal(all_of_it, CHIEF, unmasked=True) == ("not_now", "not_heard_yet")


def test_what_was_not_analyzed_is_muted_whole(all_of_it: Plays) -> None:
    all_of_it.put(DATA, outcome="too_short")
    assert refusal(all_of_it, CHIEF) == ("not_now", "not_analyzed")
    all_of_it.listening.play(all_of_it.request(CHIEF, unmasked=True))


def test_a_call_that_came_as_text_alone_has_no_recording(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, transcript=False)
    none = call.model_copy(update={"audio": call.audio.model_copy(update={"bytes": 0})})
    all_of_it.hear(
        none, DATA, engine=EngineIdentity(name="received", version="1", model="m", settings={"times": "told"})
    )
    assert refusal(all_of_it, CHIEF) == ("not_now", "no_recording")


def test_a_call_that_was_destroyed_is_gone_for_those_who_may_know_of_it(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    all_of_it.listening.play(all_of_it.request())
    all_of_it.tombstones.of.add(("acme", "c1"))
    assert refusal(all_of_it) == ("gone", "destroyed"), "although where it lay is remembered"
    assert refusal(all_of_it, READER) == ("forbidden", "not_granted")
    assert refusal(all_of_it, STRANGER) == ("unknown", "other_tenant")
    all_of_it.tombstones.of.add(("acme", "c9"))
    assert refusal(all_of_it, CHIEF, call_id="c9") == ("gone", "destroyed"), "nothing of it is left"


def test_a_destroyed_key_and_a_lost_object_are_gone(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, **HEARD)
    all_of_it.listening.play(all_of_it.request())
    all_of_it.store.delete(all_of_it.store.key_of(call.audio.uri))
    assert refusal(all_of_it) == ("gone", "object_missing")
    all_of_it.keys.destroy("acme", "c1", call.ended_at.date())
    assert refusal(all_of_it) == ("gone", "key_destroyed")


def test_a_recording_that_was_changed_is_refused(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, **HEARD)
    key = all_of_it.store.key_of(call.audio.uri)
    sealed = all_of_it.store.read(key)
    all_of_it.store.put(key, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert refusal(all_of_it) == ("broken", "seal_broken")


def test_nothing_is_shown_that_cannot_be_entered(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    all_of_it.audit_log.down = True
    for ask in (all_of_it.listening.play, all_of_it.listening.peaks, all_of_it.listening.transcript):
        with pytest.raises(RetryableError):
            ask(all_of_it.request())
    all_of_it.audit_log.down = False
    all_of_it.listening.play(all_of_it.request())
    assert len(all_of_it.audit_log.entries) == 1


def test_ranges_of_one_play_are_one_entry(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    for minutes in (0, 5, 4, 5):
        all_of_it.clock.moment += timedelta(minutes=minutes)
        all_of_it.listening.play(all_of_it.request())
    assert [entry.at.minute for entry in all_of_it.audit_log.entries] == [0, 14]
    all_of_it.listening.play(all_of_it.request(purpose="complaint"))
    all_of_it.listening.play(all_of_it.request(CHIEF))
    all_of_it.listening.play(all_of_it.request(CHIEF, unmasked=True))
    assert len(all_of_it.audit_log.entries) == 5


def test_a_recording_that_was_heard_again_is_muted_as_it_was_heard_then(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, segments=(SEGMENT,))
    before = all_of_it.listening.play(all_of_it.request())
    all_of_it.hear(call, DATA, **HEARD)
    all_of_it.clock.moment += timedelta(minutes=1)
    after = all_of_it.listening.play(all_of_it.request())
    assert before.etag != after.etag
    assert after.muted_ms == 1_400


def test_the_waveform_is_flat_where_the_sound_is_muted(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    shown = all_of_it.listening.peaks(all_of_it.request()).peaks.pairs
    flat = ~shown.any(axis=(1, 2))
    assert list(np.flatnonzero(flat)) == list(range(27, 55))
    assert not (~all_of_it.listening.peaks(all_of_it.request(CHIEF, unmasked=True)).peaks.pairs.any(axis=(1, 2))).any()
    assert {entry.action for entry in all_of_it.audit_log.entries} == {"viewed_waveform"}


def test_a_transcript_needs_the_right_to_see_text_alone(all_of_it: Plays) -> None:
    all_of_it.put(DATA, **HEARD)
    assert all_of_it.listening.transcript(all_of_it.request(READER)).segments == (SEGMENT,)
    assert [entry.action for entry in all_of_it.audit_log.entries] == ["viewed_text"]
    deaf = actor_of("deaf", "listen")
    with pytest.raises(NotPlayedError, match="not_granted"):
        all_of_it.listening.transcript(all_of_it.request(deaf))


FORMS = {
    "pcm": ("pcm_s16le", "wav", RATE_HZ),
    "mu_law": ("pcm_mulaw", "wav", RATE_HZ),
    "a_law": ("pcm_alaw", "wav", RATE_HZ),
    "flac": ("flac", "flac", RATE_HZ),
    "mp3": ("libmp3lame", "mp3", RATE_HZ),
    "opus": ("libopus", "ogg", 48_000),
    "adpcm": ("adpcm_ima_wav", "wav", RATE_HZ),
    "aac_in_mp4": ("aac", "mp4", 16_000),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [1, 2], ids=["mono", "stereo"])
def test_any_range_of_any_format_is_that_part_of_the_whole(all_of_it: Plays, form: str, channels: int) -> None:
    codec, container, rate_hz = FORMS[form]
    rng = np.random.default_rng(5)
    sound = [(np.convolve(rng.normal(size=5 * rate_hz), np.ones(9), "same") * 3_000).astype(np.int16)] * channels
    all_of_it.put(encoded(sound, rate_hz, codec, container), **HEARD)
    playing = all_of_it.listening.play(all_of_it.request())
    size = playing.wav.shape.size_bytes
    assert playing.wav.shape.channels == channels
    whole = playing.wav.read(0, size)
    assert len(whole) == size
    plain = plain_wav_of(lambda start, length: whole[start : start + length], size)
    assert plain is not None
    assert plain.shape == playing.wav.shape
    for _ in range(20):
        start = int(rng.integers(0, size))
        length = int(rng.integers(0, size // 3))
        again = all_of_it.listening.play(all_of_it.request())
        assert again.wav.read(start, length) == whole[start : start + length]
    assert all_of_it.listening.play(all_of_it.request()).etag == playing.etag


@pytest.mark.parametrize("channels", [1, 2])
def test_an_archived_recording_is_heard_muted_as_before_and_may_be_exported(all_of_it: Plays, channels: int) -> None:
    call = all_of_it.put(wav(SOUND[:channels], RATE_HZ), **HEARD)
    archive = RecordingArchive(all_of_it.store, all_of_it.sealed, render, probe, DecodeLimits(60_000), 10_000_000)
    assert archive.archive("acme", "c1", call.ended_at.date()) == 1

    playing = all_of_it.listening.play(all_of_it.request())
    exported = all_of_it.listening.approved("acme", "c1", muting=None)

    shape = playing.wav.shape
    assert (shape.rate_hz, shape.channels, shape.frames) == (ARCHIVE_RATE_HZ, channels, 4 * 48_000)
    heard = np.frombuffer(playing.wav.read(44, 10**9), dtype="<i2").reshape(-1, channels)
    told = np.frombuffer(exported.read(44, 10**9), dtype="<i2").reshape(-1, channels)
    assert np.abs(heard[2_000 * 48 : 2_500 * 48]).max() == TONE_PEAK
    assert (heard[: 1_200 * 48] == told[: 1_200 * 48]).all()
    spectrum = np.abs(np.fft.rfft(told[48_000 : 3 * 48_000, 0]))
    assert abs(int(spectrum.argmax()) / 2 - 300) < 2, "the tone that was recorded"
    assert all_of_it.audit_log.entries[0].result == "allowed"


def test_of_an_archived_call_that_was_destroyed_nothing_is_heard(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, **HEARD)
    archive = RecordingArchive(all_of_it.store, all_of_it.sealed, render, probe, DecodeLimits(60_000), 10_000_000)
    archive.archive("acme", "c1", call.ended_at.date())
    for entry in list(all_of_it.store.entries("archive/")):
        all_of_it.store.delete(entry.key)
    assert refusal(all_of_it) == ("gone", "object_missing")


def test_of_an_export_the_sound_is_muted_as_it_was_approved_or_not_handed_out(
    all_of_it: Plays, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_it.put(DATA, **HEARD)
    transcript = all_of_it.transcripts.load("acme", "c1")
    assert transcript is not None
    approved = muting_of(transcript)
    heard = all_of_it.listening.play(all_of_it.request()).wav
    assert all_of_it.listening.approved("acme", "c1", muting=approved).read(0, 10**9) == heard.read(0, 10**9)

    def refused() -> None:
        all_of_it.clock.moment += REMEMBERED
        with pytest.raises(MutingChangedError):
            all_of_it.listening.approved("acme", "c1", muting=approved)

    with monkeypatch.context() as patched:
        patched.setattr(muting, "MUTING_VERSION", "2")
        refused()
    later = transcript.transcribed_at + timedelta(milliseconds=1)
    all_of_it.transcripts.save(transcript.model_copy(update={"transcribed_at": later, "pii": ()}))
    refused()
    all_of_it.transcripts.save(transcript.model_copy(update={"outcome": "too_short", "outcome_reason": "because"}))
    refused()
    assert all_of_it.listening.approved("acme", "c1", muting=None).read(0, 10**9) == DATA


def test_the_result_of_an_archived_call_is_for_who_may_see_text_and_entered_each_time(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, **HEARD)
    listening = all_of_it.listening
    with pytest.raises(NotPlayedError) as raised:
        listening.result(all_of_it.request(READER))
    assert (raised.value.why, raised.value.reason) == ("not_now", "not_archived")
    day = call.ended_at.astimezone(UTC).date()
    make = partial(RecordingArchive, all_of_it.store, all_of_it.sealed, render, probe, DecodeLimits(60_000), 10_000_000)
    make(result=lambda *_: b"PAR1 words PAR1").archive("acme", "c1", day)

    for _ in range(2):
        assert listening.result(all_of_it.request(READER)) == b"PAR1 words PAR1"
    entries = [entry for entry in all_of_it.audit_log.entries if entry.result == "allowed"]
    assert [(entry.action, entry.details) for entry in entries] == [("viewed_text", {"archived_bytes": 15})] * 2

    listener = actor_of("listener", "listen", "listen_unmasked")
    for actor, why in ((STRANGER, "unknown"), (listener, "forbidden"), (ROLELESS, "unknown")):
        with pytest.raises(NotPlayedError) as raised:
            listening.result(all_of_it.request(actor))
        assert raised.value.why == why
        assert all_of_it.audit_log.entries[-1].result == "refused"

    all_of_it.tombstones.of.add(("acme", "c1"))
    with pytest.raises(NotPlayedError) as raised:
        listening.result(all_of_it.request(READER))
    assert raised.value.why == "gone"


def test_where_the_audit_log_is_down_no_result_is_shown(all_of_it: Plays) -> None:
    call = all_of_it.put(DATA, **HEARD)
    archive = RecordingArchive(
        all_of_it.store, all_of_it.sealed, render, probe, DecodeLimits(60_000), 10_000_000, lambda *_: b"PAR1"
    )
    archive.archive("acme", "c1", call.ended_at.astimezone(UTC).date())
    all_of_it.audit_log.down = True
    with pytest.raises(RetryableError):
        all_of_it.listening.result(all_of_it.request(READER))
