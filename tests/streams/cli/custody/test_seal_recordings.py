"""`callstream custody seal-recordings` on the store and the register of its settings."""

from hashlib import sha256
from pathlib import Path

from schemas.messages.call_ended import CallEnded
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.settings import Settings, load_settings
from streams.wiring import prepare_keys, recording_store_from
from tests.streams.cli.terminal import Terminal

SOUND = bytes(range(256)) * 300
EXAMPLE = next((Path(__file__).parents[3] / "examples" / "calls.ended.v1").glob("*.json"))


def prepared() -> Settings:
    settings = load_settings().settings
    object_store_from(settings).apply()
    register = Register.of(settings)
    migrate_register(register)
    register.close()
    prepare_keys(settings)
    return settings


def test_what_lay_in_clear_is_sealed_and_what_is_not_what_it_is_called_is_named(terminal: Terminal) -> None:
    settings = prepared()
    store = object_store_from(settings)
    example = CallEnded.decode(EXAMPLE.read_bytes())
    digest = sha256(SOUND).hexdigest()
    folder = f"recordings/{example.tenant_id}/2026/03/02/{example.call_id}"
    store.put(f"{folder}.{digest[:12]}.wav", SOUND)
    store.put(f"{folder}.{'0' * 12}.wav", SOUND)
    where = {"uri": store.uri_of(f"{folder}.{digest[:12]}.wav"), "sha256": digest, "bytes": len(SOUND)}
    call = example.model_copy(update={"audio": example.audio.model_copy(update=where | {"encryption": None})})

    ended = terminal.run("custody", "seal-recordings", "--json")

    assert ended.json == {"sealed": 1, "left": [f"{folder}.{'0' * 12}.wav"]}
    assert ended.code == 1
    assert recording_store_from(settings, store).load_audio(call) == SOUND


def test_without_a_register_it_says_what_to_run(terminal: Terminal) -> None:
    object_store_from(load_settings().settings).apply()

    ended = terminal.run("custody", "seal-recordings")

    assert ended.code == 3
    assert "run `callstream migrate`" in ended.err
