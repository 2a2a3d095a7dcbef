"""HTTPS: a certificate of one's own, or one for trying; and no other address without it."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from streams.serve.certificate import CertificateError, certificate_files
from streams.settings import SettingsError, load_settings
from tests.support.serving import serving, settings_in

NOW = datetime.now(UTC)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is refused


def test_a_certificate_for_trying_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, serve_self_signed="true")
    files = certificate_files(settings, NOW)
    assert files is not None
    first = files.certificate.read_bytes()
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert certificate_files(settings, NOW) == files
    assert files.certificate.read_bytes() == first
    certificate_files(settings, NOW + timedelta(days=360))
    assert files.certificate.read_bytes() != first, "it would have expired soon"


def test_a_certificate_for_trying_names_the_host(tmp_path: Path) -> None:
    certificate_files(settings_in(tmp_path, serve_self_signed="true"), NOW)
    first = (tmp_path / "serve" / "self_signed.pem").read_bytes()
    certificate_files(settings_in(tmp_path, serve_self_signed="true", serve_host="192.0.2.1"), NOW)
    assert (tmp_path / "serve" / "self_signed.pem").read_bytes() != first


@pytest.mark.loopback
def test_who_trusts_the_certificate_for_trying_speaks_https(tmp_path: Path) -> None:
    with serving(tmp_path, serve_self_signed="true") as server:
        trust = ssl.create_default_context(cafile=tmp_path / "serve" / "self_signed.pem")
        assert httpx.get(f"{server.url}/v1/health/live", verify=trust, trust_env=False).status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/v1/health/live", trust_env=False)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url.replace('https', 'http')}/v1/health/live", trust_env=False)


@pytest.mark.loopback
def test_a_certificate_of_ones_own_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    mine = authority.issue_cert("127.0.0.1")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with serving(tmp_path, serve_cert_file=tmp_path / "cert.pem", serve_key_file=tmp_path / "key.pem") as server:
        assert httpx.get(f"{server.url}/v1/health/live", verify=trust, trust_env=False).status_code == 200


def test_a_certificate_and_a_key_that_do_not_belong_together_are_a_sentence(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("a").cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.issue_cert("b").private_key_pem.write_to_path(tmp_path / "key.pem")
    settings = settings_in(tmp_path, serve_cert_file=tmp_path / "cert.pem", serve_key_file=tmp_path / "key.pem")
    with pytest.raises(CertificateError, match="serve_cert_file"):
        certificate_files(settings, NOW)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        pytest.param({"SERVE_HOST": EVERYWHERE}, "serve_host can be reached", id="every address without TLS"),
        pytest.param({"SERVE_HOST": "::"}, "serve_host can be reached", id="every address of IPv6"),
        pytest.param({"SERVE_HOST": "pbx.example"}, "serve_host can be reached", id="a name"),
        pytest.param({"SERVE_CERT_FILE": "/a"}, "belong together", id="a certificate without key"),
        pytest.param(
            {"SERVE_CERT_FILE": "/a", "SERVE_KEY_FILE": "/b", "SERVE_SELF_SIGNED": "true"}, "leave out", id="both kinds"
        ),
    ],
)
def test_what_would_send_keys_and_recordings_in_clear_is_refused(values: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load_settings({f"CALLSTREAM_{name}": value for name, value in values.items()})


def test_with_tls_any_address_is_allowed() -> None:
    load_settings({"CALLSTREAM_SERVE_HOST": EVERYWHERE, "CALLSTREAM_SERVE_SELF_SIGNED": "true"})
