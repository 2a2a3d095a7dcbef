"""Secrets of a proof: each is told apart from all others, and the masking must know each as what it is."""

import random
from datetime import UTC, datetime

import pytest

from processors.custody.ports import SealedIdentity
from processors.custody.sealed import seal
from processors.listening.audio import DecodeLimits, decode
from processors.listening.renditions import render
from processors.receiving.pipeline import ReceiveSettings, transcript_of
from streams.proof.mutations import SealedSample, try_mutations
from streams.proof.secrets import ProofCalls
from tests.processors.recordings import example_calls

NOW = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
SPEECH = [example_calls()[name].data for name in ("s01_ecommerce_calm", "s09_mono_logistics")]


def calls() -> ProofCalls:
    return ProofCalls("seed", NOW, SPEECH)


def test_no_two_secrets_are_alike_and_a_seed_gives_the_same() -> None:
    def contents() -> list[bytes]:
        making = calls()
        made = [making.make(number, with_recording=number < 12) for number in range(60)]
        # Recordings of the same speech may look alike.
        return [one.content for call in made for one in call.secrets if one.what != "a waveform"]

    secrets = contents()
    assert len(secrets) == len(set(secrets)) == 12 * 7 + 48 * 3
    assert secrets == contents()


def test_a_recording_can_be_heard_and_holds_its_secrets() -> None:
    making = calls()
    for number in range(2):
        call = making.make(number, with_recording=True)
        heard = decode(call.recording, DecodeLimits(60_000))
        assert heard.facts.duration_ms == 7_000
        peaks = render(call.recording, DecodeLimits(60_000)).peaks
        contents = {secret.what: secret.content for secret in call.secrets}
        assert contents["a recording"] in call.recording
        assert contents["a waveform"] in peaks
        assert contents["a phone number of a customer"] == call.phone_number.encode()
        assert len(set(contents["a waveform"])) > 12


def test_masking_leaves_none_of_what_is_told() -> None:
    making = calls()
    for number in range(200):
        call = making.make(number, with_recording=False)
        assert call.transcript is not None
        said = "".join(one.text for one in call.transcript.utterances).encode()
        masked = transcript_of(call.transcript, ReceiveSettings(chinese_script="simplified"), NOW).encode()
        for secret in call.secrets:
            assert secret.content in said
            assert secret.content not in masked
        assert making.mark.encode() in masked
        for phrase in call.phrases:  # what is looked for after an erasure has to be there before
            assert phrase.encode() in masked


def test_a_customer_has_calls_of_both_kinds_and_those_who_are_to_be_erased_are_remembered() -> None:
    making = ProofCalls("seed", NOW, SPEECH, lambda number: {"key": number.zfill(64)}, remember_customers=2)
    made = [making.make(n, with_recording=n < 3, customer=n % 3) for n in range(6)]
    assert making.remembered == [made[0], made[1], made[3], made[4]]
    assert making.another is made[5]
    assert [call.phone_number for call in made[:3]] == [call.phone_number for call in made[3:]]
    assert len({call.phone_number for call in made}) == 3
    told = made[4].transcript
    assert told is not None
    assert told.call.customer.key == made[1].phone_number.zfill(64)
    assert told.call.order_id == made[4].facts["order_id"]
    assert len({call.facts["order_id"] for call in made}) == 6
    assert all(call.phrases for call in made[3:])


def test_every_tampering_is_noticed_and_an_object_that_does_not_open_is_told() -> None:
    chance = random.Random(7)
    samples = []
    for number, length in enumerate((0, 1, 16_000, 16_352, 16_353, 50_000)):
        key, identity = chance.randbytes(32), SealedIdentity("acme", f"c{number}", "recording", "0123456789abcdef")
        samples.append(SealedSample(key, identity, seal(key, identity, chance.randbytes(length))))
    report = try_mutations(samples, chance)
    assert (report.tried, report.unnoticed) == (len(samples) * 82, [])
    broken = SealedSample(samples[0].key, samples[1].identity, samples[0].sealed)
    with pytest.raises(ValueError, match="does not open"):
        try_mutations([broken], chance)
