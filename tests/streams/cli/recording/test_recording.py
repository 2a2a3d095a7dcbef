"""`callstream recording`, on a real folder, register and key ring, as the operator of the machine."""

import json
import wave
from datetime import UTC, datetime

import pytest

from schemas.messages.call_ended import Agent
from schemas.messages.transcript import EngineIdentity, Transcript
from streams.adapters.object_store.archive import ArchivedResult
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.settings import load_settings
from streams.wiring import prepare_keys, sealed_store_from, transcript_store_from
from tests.processors.recordings import call_with, tone, wav
from tests.streams.cli.terminal import Terminal
from tests.support.playing import personal, said
from tests.support.sealing import Sealing

RATE_HZ = 8_000
DATA = wav([tone(300, 10_000, RATE_HZ), tone(700, 10_000, RATE_HZ)], RATE_HZ)
ASKED = ("c1", "--tenant", "acme", "--purpose", "complaint")


@pytest.fixture
def stored(terminal: Terminal) -> Terminal:
    """A recording that was heard."""
    settings = load_settings().settings
    register = Register.of(settings)
    migrate_register(register)
    register.close()
    prepare_keys(settings)
    store = object_store_from(settings)
    store.apply()
    call = Sealing.of(settings).put(call_with(DATA).model_copy(update={"agent": Agent(id="A1")}), DATA)
    segment = said("手机号是多少", 0, 10_000)
    transcript_store_from(settings, store).save(
        Transcript(
            tenant_id="acme",
            call_id="c1",
            call=call,
            engine=EngineIdentity(name="a", version="1", model="m"),
            segments=(segment,),
            pii=(personal(segment, 4_000, 5_000),),
            transcribed_at=datetime(2026, 5, 1, tzinfo=UTC),
        )
    )
    return terminal


def test_a_part_is_written_muted_to_a_file_of_its_own(stored: Terminal) -> None:
    target = stored.folder / "part.wav"
    result = stored.run("recording", "get", *ASKED, "--from", "0:01", "--to", "0:03.5", "--output", target)
    assert result.code == 0, result.err
    with wave.open(str(target)) as read:
        assert read.getnframes() == 2_500 * 8
    again = stored.run("recording", "get", *ASKED, "--output", target)
    assert again.code != 0


def test_unmasked_it_is_as_it_came(stored: Terminal) -> None:
    target = stored.folder / "all.wav"
    assert stored.run("recording", "get", *ASKED, "--unmasked", "--output", target).code == 0
    assert target.read_bytes() == DATA
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_is_known_of_it(stored: Terminal) -> None:
    told = json.loads(stored.run("recording", "info", *ASKED, "--json").out)
    assert (told["duration_ms"], told["channels"], told["masking"]) == (10_000, 2, "masked")
    assert told["muted_ms"] > 1_000


def test_a_call_that_nobody_knows_is_refused(stored: Terminal) -> None:
    result = stored.run("recording", "get", "c404", *ASKED[1:], "--output", stored.folder / "a.wav")
    assert result.code == 1
    assert not (stored.folder / "a.wav").exists()


def test_the_result_of_an_archived_call_is_written_as_it_lies_there(stored: Terminal) -> None:
    target = stored.folder / "c1.parquet"
    before = stored.run("recording", "result", *ASKED, "--output", target)
    assert (before.code, target.exists()) == (1, False)
    assert "not_archived" in before.err
    settings = load_settings().settings
    place = ArchivedResult("acme", "c1", call_with(DATA).ended_at.astimezone(UTC).date())
    sealed = sealed_store_from(settings, object_store_from(settings), "transcript")
    sealed.put(place.key, place.identity, place.day, b"PAR1 words PAR1")

    result = stored.run("recording", "result", *ASKED, "--output", target)

    assert result.code == 0, result.err
    assert target.read_bytes() == b"PAR1 words PAR1"
    assert target.stat().st_mode & 0o777 == 0o600
