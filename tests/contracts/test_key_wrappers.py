"""The contract of key wrappers, on files, variables and a real OpenBao; then what only one of them can do wrong."""

import json
import os
import resource
import socket
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes, token_hex
from threading import Thread

import pytest
from pydantic import SecretStr

from processors.custody.ports import PURPOSES, KeyGoneError, KeyRefusedError, KeyWrapper, Purpose, WrappedKey
from schemas.errors import OperatorError, RetryableError
from streams.adapters.key_wrappers.environment import EnvironmentKeys, EnvironmentSettings
from streams.adapters.key_wrappers.from_settings import key_wrapper_from
from streams.adapters.key_wrappers.key_ring_file import KeyRingFiles, KeyRingFileSettings
from streams.adapters.key_wrappers.transit import TransitSettings
from streams.adapters.key_wrappers.transit.client import TransitKeys
from streams.settings import Settings, SettingsError, key_wrappers, load_settings
from tests.contracts.faulty_proxy import Fault, faulty_proxy
from tests.contracts.openbao_server import OpenBaoServer, OpenBaoUnavailableError, running_openbao

KEY = bytes(range(32))
CONTEXT = b"acme/2026-01-02"
Wrapping = Callable[..., KeyWrapper]


class KeyWrapperContract:
    """Every key wrapper passes this. A subclass gives `wrapper`, which has two versions of `audio` and one of
    `transcript`, and none of `received`, which it may use too; and `audio_only`, over the same keys."""

    def test_a_key_is_unwrapped_as_it_was_wrapped(self, wrapper: KeyWrapper) -> None:
        for version in wrapper.versions("audio"):
            wrapped = wrapper.wrap("audio", version, KEY, CONTEXT)

            assert wrapped.version == version
            assert KEY not in wrapped.blob
            assert wrapper.unwrap("audio", wrapped, CONTEXT) == KEY

    def test_nothing_is_wrapped_the_same_way_twice(self, wrapper: KeyWrapper) -> None:
        version = wrapper.versions("audio")[0]

        assert wrapper.wrap("audio", version, KEY, b"") != wrapper.wrap("audio", version, KEY, b"")

    def test_versions_of_one_purpose_are_those_that_there_are(self, wrapper: KeyWrapper) -> None:
        assert len(set(wrapper.versions("audio"))) == 2
        assert len(wrapper.versions("transcript")) == 1
        assert list(wrapper.versions("received")) == []

    @pytest.mark.parametrize(
        "context",
        [
            pytest.param(b"acme/2026-01-03", id="another day"),
            pytest.param(b"", id="none"),
            pytest.param(CONTEXT + b"\x00", id="one byte more"),
        ],
    )
    def test_under_another_context_it_does_not_open(self, wrapper: KeyWrapper, context: bytes) -> None:
        wrapped = wrapper.wrap("audio", wrapper.versions("audio")[0], KEY, CONTEXT)

        with pytest.raises(KeyRefusedError):
            wrapper.unwrap("audio", wrapped, context)

    def test_under_another_version_or_purpose_it_does_not_open(self, wrapper: KeyWrapper) -> None:
        first, second = wrapper.versions("audio")
        wrapped = wrapper.wrap("audio", first, KEY, CONTEXT)

        with pytest.raises(KeyRefusedError):
            wrapper.unwrap("audio", WrappedKey(second, wrapped.blob), CONTEXT)
        with pytest.raises((KeyRefusedError, KeyGoneError)):
            wrapper.unwrap("transcript", wrapped, CONTEXT)
        version = wrapper.versions("transcript")[0]
        with pytest.raises(KeyRefusedError):
            wrapper.unwrap("transcript", WrappedKey(version, wrapped.blob), CONTEXT)

    def test_a_changed_blob_does_not_open(self, wrapper: KeyWrapper) -> None:
        version = wrapper.versions("audio")[0]
        blob = wrapper.wrap("audio", version, KEY, CONTEXT).blob
        changed = {
            "cut": blob[:-1],
            "cut short": blob[:5],
            "nothing": b"",
            "noise": token_bytes(len(blob)),
            **{f"byte {at}": blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(0, len(blob), 7)},
        }
        for what, each in changed.items():
            with pytest.raises((KeyRefusedError, KeyGoneError)):
                raise AssertionError(f"{what}: {wrapper.unwrap('audio', WrappedKey(version, each), CONTEXT)!r}")

    def test_a_version_that_there_is_not_is_gone(self, wrapper: KeyWrapper) -> None:
        blob = wrapper.wrap("audio", wrapper.versions("audio")[0], KEY, CONTEXT).blob
        for version in ("99", "no-such"):
            with pytest.raises((KeyGoneError, KeyRefusedError)):
                wrapper.unwrap("audio", WrappedKey(version, blob), CONTEXT)
            with pytest.raises(KeyGoneError):
                wrapper.wrap("audio", version, KEY, CONTEXT)
        with pytest.raises(KeyGoneError):
            wrapper.wrap("received", wrapper.versions("audio")[0], KEY, CONTEXT)

    def test_who_is_not_given_a_purpose_cannot_use_it(self, wrapper: KeyWrapper, audio_only: KeyWrapper) -> None:
        wrapped = wrapper.wrap("transcript", wrapper.versions("transcript")[0], KEY, CONTEXT)
        audio = wrapper.wrap("audio", wrapper.versions("audio")[0], KEY, CONTEXT)

        assert audio_only.unwrap("audio", audio, CONTEXT) == KEY
        for attempt in (
            lambda: audio_only.unwrap("transcript", wrapped, CONTEXT),
            lambda: audio_only.wrap("transcript", wrapped.version, KEY, CONTEXT),
            lambda: audio_only.versions("transcript"),
            lambda: audio_only.make_version("transcript"),
            lambda: audio_only.remove_version("transcript", wrapped.version),
        ):
            with pytest.raises(OperatorError, match="has no transcript keys"):
                attempt()

    def test_removing_what_there_is_not_does_nothing(self, wrapper: KeyWrapper) -> None:
        before = list(wrapper.versions("audio"))
        wrapper.remove_version("audio", "99")
        wrapper.remove_version("received", before[0])

        assert list(wrapper.versions("audio")) == before


class KeyMakingContract(KeyWrapperContract):
    """Those that make and destroy keys themselves pass this too."""

    def test_a_new_version_is_the_last_and_wraps_at_once(self, wrapper: KeyWrapper) -> None:
        before = list(wrapper.versions("audio"))
        old = wrapper.wrap("audio", before[-1], KEY, CONTEXT)

        version = wrapper.make_version("audio")

        assert list(wrapper.versions("audio")) == [*before, version]
        assert wrapper.unwrap("audio", wrapper.wrap("audio", version, KEY, CONTEXT), CONTEXT) == KEY
        assert wrapper.unwrap("audio", old, CONTEXT) == KEY

    def test_the_first_version_of_a_purpose_is_made_like_any_other(self, wrapper: KeyWrapper) -> None:
        assert list(wrapper.versions("received")) == []

        version = wrapper.make_version("received")

        assert list(wrapper.versions("received")) == [version]
        assert wrapper.unwrap("received", wrapper.wrap("received", version, KEY, b""), b"") == KEY

    def test_what_a_removed_version_wrapped_is_lost(self, wrapper: KeyWrapper) -> None:
        first, second = wrapper.versions("audio")
        lost, kept = (wrapper.wrap("audio", version, KEY, CONTEXT) for version in (first, second))

        wrapper.remove_version("audio", first)
        wrapper.remove_version("audio", first)

        assert list(wrapper.versions("audio")) == [second]
        with pytest.raises(KeyGoneError):
            wrapper.unwrap("audio", lost, CONTEXT)
        for _ in range(2):
            with pytest.raises(KeyGoneError):
                wrapper.wrap("audio", first, KEY, CONTEXT)
        assert wrapper.unwrap("audio", kept, CONTEXT) == KEY

    def test_a_version_that_was_removed_never_comes_again(self, wrapper: KeyWrapper) -> None:
        first, second = wrapper.versions("audio")
        third = wrapper.make_version("audio")
        wrapper.remove_version("audio", first)

        assert wrapper.make_version("audio") not in (first, second, third)


class TestKeyRingFiles(KeyMakingContract):
    @pytest.fixture
    def wrapper(self, tmp_path: Path) -> KeyRingFiles:
        wrapper = KeyRingFileSettings().open(tmp_path, PURPOSES)
        for purpose in ("audio", "audio", "transcript"):
            wrapper.make_version(purpose)
        return wrapper

    @pytest.fixture
    def audio_only(self, tmp_path: Path) -> KeyRingFiles:
        return KeyRingFileSettings().open(tmp_path, ["audio"])

    def test_files_and_their_folder_are_their_owners_alone(self, wrapper: KeyRingFiles, tmp_path: Path) -> None:  # noqa: ARG002 - it has made them
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").glob("[a-z]*.json")}

        assert modes == {"audio.json": 0o600, "transcript.json": 0o600}
        assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700

    def test_each_purpose_may_have_a_file_elsewhere(self, tmp_path: Path) -> None:
        settings = KeyRingFileSettings(audio_keys_file=tmp_path / "a.json")
        settings.open(tmp_path, ["audio"]).make_version("audio")

        assert (tmp_path / "a.json").is_file()
        assert not (tmp_path / "keys").exists()

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o602, 0o610])
    def test_a_file_that_others_may_use_is_refused(self, wrapper: KeyRingFiles, tmp_path: Path, mode: int) -> None:
        (tmp_path / "keys" / "audio.json").chmod(mode)

        with pytest.raises(OperatorError, match=r"audio\.json holds keys and may be read or written by others"):
            wrapper.versions("audio")
        with pytest.raises(OperatorError, match="chmod 600"):
            wrapper.make_version("audio")

    def test_a_process_that_may_open_no_more_files_tries_again(self, wrapper: KeyRingFiles, tmp_path: Path) -> None:
        fresh = KeyRingFileSettings().open(tmp_path, ["audio"])
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            with pytest.raises(RetryableError, match=r"audio\.json, which holds keys, cannot be opened"):
                fresh.versions("audio")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert fresh.versions("audio") == wrapper.versions("audio")

    @pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to somebody else needs root")
    @pytest.mark.parametrize(("mode", "fits"), [(0o440, True), (0o640, True), (0o444, False), (0o460, False)])
    def test_what_another_owns_may_be_readable_by_our_group(
        self, wrapper: KeyRingFiles, tmp_path: Path, mode: int, fits: bool
    ) -> None:
        """As a secret that is mounted into a container: it is root's, and we are in its group."""
        path = tmp_path / "keys" / "audio.json"
        path.chmod(mode)
        os.chown(path, 12_345, os.getegid())

        if fits:
            assert len(wrapper.versions("audio")) == 2
        else:
            with pytest.raises(OperatorError, match="by others"):
                wrapper.versions("audio")

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("", id="empty, as after a full disk"),
            pytest.param("{", id="half of one"),
            pytest.param("[]", id="not an object"),
            pytest.param("{}", id="an object of something else"),
            pytest.param(
                '{"format": "callstream key ring 1", "purpose": "transcript", "keys": []}', id="of another purpose"
            ),
            pytest.param(
                '{"format": "callstream key ring 2", "purpose": "audio", "keys": []}', id="of a later release"
            ),
            pytest.param(
                '{"format": "callstream key ring 1", "purpose": "audio", "keys": [7]}', id="a key that is none"
            ),
            pytest.param(
                '{"format": "callstream key ring 1", "purpose": "audio", "keys": [{"version": "1", "key": "c2hv"}]}',
                id="a key that is too short",
            ),
            pytest.param(
                '{"format": "callstream key ring 1", "purpose": "audio", "keys": [{"version": 1, "key": "!"}]}',
                id="no base64",
            ),
            pytest.param("[" * 100_000, id="nested without end"),
            pytest.param(" " * 2_000_000, id="much too long"),
        ],
    )
    def test_a_file_that_is_no_ring_is_refused_and_left_as_it_is(
        self, wrapper: KeyRingFiles, tmp_path: Path, text: str
    ) -> None:
        path = tmp_path / "keys" / "audio.json"
        path.write_text(text)

        for attempt in (lambda: wrapper.versions("audio"), lambda: wrapper.make_version("audio")):
            with pytest.raises(OperatorError, match="no key ring of audio keys") as caught:
                attempt()
            assert caught.value.__context__ is None
        assert path.read_text() == text

    def test_two_of_the_same_version_are_refused(self, wrapper: KeyRingFiles, tmp_path: Path) -> None:
        path = tmp_path / "keys" / "audio.json"
        ring = json.loads(path.read_text())
        ring["keys"].append(ring["keys"][0])
        path.write_text(json.dumps(ring))

        with pytest.raises(OperatorError, match="no key ring"):
            wrapper.versions("audio")

    def test_a_key_that_another_process_made_is_there_at_once(self, wrapper: KeyRingFiles, tmp_path: Path) -> None:
        other = KeyRingFileSettings().open(tmp_path, PURPOSES)
        other.versions("audio")

        version = wrapper.make_version("audio")

        assert other.unwrap("audio", wrapper.wrap("audio", version, KEY, b""), b"") == KEY

    def test_many_who_make_keys_at_once_lose_none(self, tmp_path: Path) -> None:
        def make(_: int) -> str:
            return KeyRingFileSettings().open(tmp_path, PURPOSES).make_version("audio")

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(make, range(40)))

        assert sorted(KeyRingFileSettings().open(tmp_path, PURPOSES).versions("audio")) == sorted(made)

    @pytest.mark.parametrize("step", ["fsync", "rename"])
    def test_a_change_that_fails_leaves_the_file_as_it_was(
        self, wrapper: KeyRingFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}

        def fails(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os if step == "fsync" else Path, step, fails)
        with pytest.raises(OperatorError, match="is full: no key was changed"):
            wrapper.make_version("audio")
        monkeypatch.undo()

        assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before

    def test_a_link_to_a_ring_stays_a_link(self, wrapper: KeyRingFiles, tmp_path: Path) -> None:
        link = tmp_path / "link.json"
        link.symlink_to(tmp_path / "keys" / "audio.json")

        version = KeyRingFiles({"audio": link}).make_version("audio")

        assert link.is_symlink()
        assert wrapper.versions("audio")[-1] == version

    @pytest.mark.parametrize("what", ["a folder", "a pipe"])
    def test_what_is_no_file_is_refused_and_nobody_waits_for_it(self, tmp_path: Path, what: str) -> None:
        path = tmp_path / "audio.json"
        path.mkdir() if what == "a folder" else os.mkfifo(path, 0o600)

        with pytest.raises(OperatorError, match=r"audio\.json"):
            KeyRingFiles({"audio": path}).versions("audio")


def in_variable(*keys: tuple[str, bytes]) -> SecretStr:
    return SecretStr(",".join(f"{version}:{b64encode(key).decode()}" for version, key in keys))


class TestEnvironmentKeys(KeyWrapperContract):
    SETTINGS = EnvironmentSettings(
        audio_keys=in_variable(("2026-01", bytes(32)), ("2026-02", bytes([1] * 32))),
        transcript_keys=in_variable(("2026-01", bytes([2] * 32))),
    )

    @pytest.fixture
    def wrapper(self, tmp_path: Path) -> EnvironmentKeys:
        return self.SETTINGS.open(tmp_path, PURPOSES)

    @pytest.fixture
    def audio_only(self, tmp_path: Path) -> EnvironmentKeys:
        return self.SETTINGS.open(tmp_path, ["audio"])

    def test_the_order_in_the_variable_is_that_of_age(self, wrapper: EnvironmentKeys) -> None:
        assert wrapper.versions("audio") == ("2026-01", "2026-02")

    def test_making_and_destroying_is_said_to_be_done_by_hand(self, wrapper: EnvironmentKeys) -> None:
        with pytest.raises(OperatorError, match=r"CALLSTREAM_RECEIVED_KEYS.*openssl rand -base64 32"):
            wrapper.make_version("received")
        with pytest.raises(OperatorError, match="take 2026-01 out of CALLSTREAM_AUDIO_KEYS"):
            wrapper.remove_version("audio", "2026-01")

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(b64encode(KEY).decode(), id="no version"),
            pytest.param("1:c2hvcnQ=", id="a key that is too short"),
            pytest.param("1:not base64 at all", id="no base64"),
            pytest.param(f"a b:{b64encode(KEY).decode()}", id="a version with a space"),
            pytest.param(f"1:{b64encode(KEY).decode()},1:{b64encode(bytes(32)).decode()}", id="one version twice"),
        ],
    )
    def test_a_variable_that_does_not_fit_stops_the_start_and_is_not_shown(self, text: str) -> None:
        with pytest.raises(SettingsError, match="CALLSTREAM_AUDIO_KEYS does not fit") as caught:
            load_settings({"CALLSTREAM_AUDIO_KEYS": text})

        assert text not in str(caught.value)
        assert "version:base64 of 32 bytes" in str(caught.value)


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBaoServer]:
    """An OpenBao server for the whole run; the test is skipped where there is none."""
    try:
        with running_openbao(tmp_path_factory.mktemp("openbao")) as server:
            yield server
    except OpenBaoUnavailableError as reason:
        pytest.skip(str(reason))


def transit_settings(url: str, folder: Path, token: str, *, prefix: str = "x") -> TransitSettings:
    (folder / "token").write_text(token + "\n")
    return TransitSettings(
        transit_url=url,
        transit_token_file=folder / "token",
        transit_timeout_s=5,
        transit_audio_key=f"{prefix}-audio",
        transit_transcript_key=f"{prefix}-transcript",
        transit_received_key=f"{prefix}-received",
    )


@pytest.mark.openbao
class TestTransit(KeyMakingContract):
    @pytest.fixture
    def settings(self, openbao: OpenBaoServer, tmp_path: Path) -> TransitSettings:
        """Keys of its own for each test."""
        return transit_settings(openbao.url, tmp_path, openbao.root_token, prefix=token_hex(4))

    @pytest.fixture
    def wrapper(self, settings: TransitSettings, tmp_path: Path) -> TransitKeys:
        wrapper = settings.open(tmp_path, PURPOSES)
        for purpose in ("audio", "audio", "transcript"):
            wrapper.make_version(purpose)
        return wrapper

    @pytest.fixture
    def audio_only(self, settings: TransitSettings, tmp_path: Path) -> TransitKeys:
        return settings.open(tmp_path, ["audio"])

    def test_only_the_oldest_of_several_can_be_destroyed(self, wrapper: TransitKeys) -> None:
        first, second = wrapper.versions("audio")

        with pytest.raises(OperatorError, match="only the oldest"):
            wrapper.remove_version("audio", second)
        wrapper.remove_version("audio", first)
        with pytest.raises(OperatorError, match="only the oldest"):
            wrapper.remove_version("audio", second)
        assert wrapper.versions("audio") == (second,)

    def test_versions_are_sorted_as_numbers(self, wrapper: TransitKeys) -> None:
        for _ in range(9):
            wrapper.make_version("audio")

        assert wrapper.versions("audio") == tuple(map(str, range(1, 12)))

    def test_wrapping_makes_no_key_where_there_is_none(self, wrapper: TransitKeys) -> None:
        """The engine's `encrypt` would."""
        with pytest.raises(KeyGoneError):
            wrapper.wrap("received", "1", KEY, b"")

        assert wrapper.versions("received") == ()

    def test_a_worker_needs_no_more_than_the_documented_policy(
        self, openbao: OpenBaoServer, settings: TransitSettings, wrapper: TransitKeys, tmp_path: Path
    ) -> None:
        """And with it opens audio alone, whatever its settings say."""
        audio = settings.transit_audio_key
        policy = "".join(
            f'path "transit/{path}/{audio}" {{ capabilities = ["{may}"] }}\n'
            for path, may in (("keys", "read"), ("encrypt", "update"), ("decrypt", "update"))
        )
        (tmp_path / "token").write_text(openbao.token_with(policy))

        version = wrapper.versions("audio")[-1]
        assert wrapper.unwrap("audio", wrapper.wrap("audio", version, KEY, b""), b"") == KEY
        for refused in (lambda: wrapper.versions("transcript"), lambda: wrapper.make_version("audio")):
            with pytest.raises(
                OperatorError, match=r"forbids .*transit_token_file has expired, or its policy lacks it"
            ):
                refused()

    def test_a_token_that_was_renewed_is_used_at_once(
        self, openbao: OpenBaoServer, wrapper: TransitKeys, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("s.expired")
        with pytest.raises(OperatorError, match="has expired") as caught:
            wrapper.versions("audio")
        assert "s.expired" not in str(caught.value)

        (tmp_path / "token").write_text(openbao.root_token)
        assert len(wrapper.versions("audio")) == 2

    def test_a_wrong_mount_is_named(self, settings: TransitSettings, tmp_path: Path) -> None:
        wrapper = settings.model_copy(update={"transit_mount": "elsewhere"}).open(tmp_path, PURPOSES)

        with pytest.raises(OperatorError, match="check transit_mount"):
            wrapper.versions("audio")

    def test_what_the_engine_refuses_besides_is_passed_on(
        self, openbao: OpenBaoServer, settings: TransitSettings, wrapper: TransitKeys
    ) -> None:
        openbao.ask("POST", f"transit/keys/{settings.transit_audio_key}/config", {"min_encryption_version": 2})
        openbao.ask("POST", f"transit/keys/{settings.transit_received_key}", {"type": "ed25519"})

        with pytest.raises(OperatorError, match="less than the minimum encryption key version"):
            wrapper.wrap("audio", "1", KEY, b"")
        with pytest.raises(OperatorError, match="refuses what is asked of it for received"):
            wrapper.wrap("received", "1", KEY, b"")

    def test_a_sealed_server_is_asked_again_later(self, tmp_path: Path) -> None:
        with running_openbao(tmp_path) as server:
            wrapper = transit_settings(server.url, tmp_path, server.root_token).open(tmp_path, PURPOSES)
            server.ask("PUT", "sys/seal")

            with pytest.raises(RetryableError, match="HTTP 503"):
                wrapper.versions("audio")

    @pytest.mark.parametrize("fault", [Fault.RESET, Fault.SILENCE, Fault.BAD_GATEWAY, Fault.CUT_ANSWER])
    def test_a_line_that_fails_is_tried_again_later(
        self, openbao: OpenBaoServer, settings: TransitSettings, wrapper: TransitKeys, tmp_path: Path, fault: Fault
    ) -> None:
        wrapped = wrapper.wrap("audio", wrapper.versions("audio")[0], KEY, CONTEXT)
        with faulty_proxy(openbao.url.removeprefix("http://"), [fault]) as proxy:
            changed = {"transit_url": f"http://{proxy.endpoint}", "transit_timeout_s": 1}
            through = settings.model_copy(update=changed).open(tmp_path, PURPOSES)

            with pytest.raises(RetryableError) as caught:
                through.unwrap("audio", wrapped, CONTEXT)
            assert through.unwrap("audio", wrapped, CONTEXT) == KEY
        assert openbao.root_token not in repr(caught.value)
        assert caught.value.__context__ is None

    def test_over_tls_with_the_ca_of_the_service(self, tmp_path: Path) -> None:
        with running_openbao(tmp_path, tls=True) as server:
            settings = transit_settings(server.url, tmp_path, server.root_token)
            trusted = settings.model_copy(update={"transit_ca_file": server.ca_file}).open(tmp_path, PURPOSES)
            version = trusted.make_version("audio")
            assert trusted.unwrap("audio", trusted.wrap("audio", version, KEY, b""), b"") == KEY

            with pytest.raises(OperatorError, match="not to be trusted: check transit_ca_file"):
                settings.open(tmp_path, PURPOSES).versions("audio")
            for wrong in ("absent.pem", "token"):
                changed = settings.model_copy(update={"transit_ca_file": tmp_path / wrong})
                with pytest.raises(OperatorError, match="transit_ca_file cannot be read"):
                    changed.open(tmp_path, PURPOSES).versions("audio")


class TestTransitWithoutServer:
    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            pytest.param({"transit_url": ""}, "transit_url is not set", id="no address"),
            pytest.param({"transit_token_file": None}, "transit_token_file is not set", id="no token"),
            pytest.param(
                {"transit_url": "http://bao.example.com:8200"}, "in clear: use https", id="keys in clear on the network"
            ),
        ],
    )
    def test_settings_that_cannot_be_are_named(self, tmp_path: Path, changed: dict[str, object], sentence: str) -> None:
        settings = transit_settings("https://127.0.0.1:1", tmp_path, "t").model_copy(update=changed)

        with pytest.raises(SettingsError, match=sentence):
            settings.open(tmp_path, PURPOSES)

    @pytest.mark.parametrize(
        ("token", "sentence"),
        [
            pytest.param(None, "No such file", id="absent"),
            pytest.param("", "holds no token", id="empty"),
            pytest.param("令牌", "it is no text", id="not ASCII"),
            pytest.param("a\nX-Evil: 1", "holds no token", id="a header smuggled in"),
        ],
    )
    def test_a_token_that_cannot_be_is_named(self, tmp_path: Path, token: str | None, sentence: str) -> None:
        wrapper = transit_settings("https://127.0.0.1:1", tmp_path, token or "").open(tmp_path, PURPOSES)
        if token is None:
            (tmp_path / "token").unlink()

        with pytest.raises(OperatorError, match=f"transit_token_file .*{sentence}"):
            wrapper.versions("audio")

    @pytest.mark.loopback
    def test_nobody_there_is_asked_again_later(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        wrapper = transit_settings(f"http://127.0.0.1:{port}", tmp_path, "a-token").open(tmp_path, PURPOSES)

        with pytest.raises(RetryableError, match="does not answer"):
            wrapper.versions("audio")

    @pytest.mark.loopback
    @pytest.mark.parametrize(
        ("answer", "error", "sentence"),
        [
            pytest.param(
                b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                RetryableError,
                "HTTP 307",
                id="a standby that sends us elsewhere, where our token does not go",
            ),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
                OperatorError,
                "no transit engine",
                id="a web page",
            ),
            pytest.param(
                b"HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\n{}", OperatorError, "HTTP 405", id="something else"
            ),
        ],
    )
    def test_an_answer_of_another_kind(
        self, tmp_path: Path, answer: bytes, error: type[Exception], sentence: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve() -> None:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    connection.recv(10_000)
                    connection.sendall(answer)

            thread = Thread(target=serve)
            thread.start()
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            wrapper = transit_settings(url, tmp_path, "a-token").open(tmp_path, PURPOSES)
            with pytest.raises(error, match=sentence):
                wrapper.versions("audio")
            thread.join()


def test_settings_choose_where_keys_are_kept(tmp_path: Path) -> None:
    assert set(key_wrappers()) == {"key_ring_file", "environment", "transit"}
    for purpose in PURPOSES:
        _assert_made_in_its_file(tmp_path, purpose)

    chosen = load_settings(
        {"CALLSTREAM_KEY_WRAPPER": "environment", "CALLSTREAM_AUDIO_KEYS": f"1:{b64encode(KEY).decode()}"}
    )
    assert list(key_wrapper_from(chosen.settings).versions("audio")) == ["1"]
    with pytest.raises(SettingsError, match="'environment', 'key_ring_file' or 'transit'"):
        load_settings({"CALLSTREAM_KEY_WRAPPER": "hope"})


def _assert_made_in_its_file(data_dir: Path, purpose: Purpose) -> None:
    wrapper = key_wrapper_from(Settings(data_dir=data_dir))
    version = wrapper.make_version(purpose)

    assert version in (data_dir / "keys" / f"{purpose}.json").read_text()
