"""An OpenID provider over real HTTP: signing in with PKCE, its keys, and tokens that are not what they say."""

import base64
import hmac
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from processors.custody.oidc_claims import TokenRefusedError
from schemas.errors import RetryableError
from streams.adapters.oidc.provider import AWAY_FOR_S, OidcClient, OidcError, OidcProvider
from streams.ports import SystemClock
from tests.support.cases import every_case
from tests.support.oidc_provider import AUDIENCE, CLIENT, REDIRECT, SECRET, TestProvider, running_provider

pytestmark = pytest.mark.loopback


@pytest.fixture
def remote() -> Iterator[TestProvider]:
    with running_provider() as running:
        yield running


class Hand:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def ours(remote: TestProvider, hand: Hand) -> OidcProvider:
    client = OidcClient(remote.issuer, CLIENT, SECRET, REDIRECT, AUDIENCE)
    return OidcProvider(client, SystemClock(), monotonic_s=hand)


def came_back(remote: TestProvider, ours: OidcProvider) -> str:
    return remote.authorize(ours.sign_in_url("state", "nonce", "verifier" * 8))["code"]


def test_somebody_signs_in_with_a_code_and_pkce(remote: TestProvider, ours: OidcProvider) -> None:
    said = ours.redeem(came_back(remote, ours), "verifier" * 8, "nonce")
    assert (said.subject.issuer, said.subject.subject) == (remote.issuer, "248289761001")
    assert said.claims["groups"] == []


def refusal(remote: TestProvider, ours: OidcProvider, **spoils: Any) -> str:
    remote.spoils = spoils
    with pytest.raises(TokenRefusedError) as refused:
        ours.redeem(came_back(remote, ours), "verifier" * 8, "nonce")
    remote.spoils = {}
    return refused.value.reason


def test_an_id_token_that_is_not_for_us_is_refused(remote: TestProvider, ours: OidcProvider) -> None:
    now = time.time()
    with every_case() as cases:
        for name, reason, spoils in (
            ("another issuer", "wrong_issuer", {"iss": "https://elsewhere.example"}),
            ("another audience", "wrong_audience", {"aud": "somebody-else"}),
            ("for several, and not made for us", "wrong_audience", {"aud": [CLIENT, "x"], "azp": "x"}),
            ("for several, and nobody says for whom", "wrong_audience", {"aud": [CLIENT, "x"]}),
            ("it has expired", "expired", {"exp": now - 61}),
            ("without an end", "expired", {"exp": None}),
            ("an end that is none", "expired", {"exp": True}),
            ("not yet", "not_yet", {"nbf": now + 120}),
            ("from the future", "not_yet", {"iat": now + 120}),
            ("another sign-in", "wrong_nonce", {"nonce": "another"}),
            ("nobody", "no_subject", {"sub": ""}),
        ):
            with cases.case(name):
                assert refusal(remote, ours, **spoils) == reason
    remote.spoils = {"exp": now - 50}
    assert ours.redeem(came_back(remote, ours), "verifier" * 8, "nonce"), "clocks may differ by a minute"


def test_a_code_holds_once_and_for_who_asked_for_it(remote: TestProvider, ours: OidcProvider) -> None:
    code = came_back(remote, ours)
    ours.redeem(code, "verifier" * 8, "nonce")
    for again, verifier in ((code, "verifier" * 8), (came_back(remote, ours), "stolen" * 10), ("made up", "x")):
        with pytest.raises(TokenRefusedError, match="code_refused"):
            ours.redeem(again, verifier, "nonce")


def test_another_secret_is_refused_by_the_provider(remote: TestProvider, ours: OidcProvider) -> None:
    wrong = OidcProvider(replace(ours.client, client_secret="guessed"), SystemClock())
    with pytest.raises(TokenRefusedError, match="code_refused"):
        wrong.redeem(came_back(remote, wrong), "verifier" * 8, "nonce")


def test_a_new_key_is_looked_for_at_once_and_a_withdrawn_one_holds_for_minutes_at_most(
    remote: TestProvider, ours: OidcProvider, hand: Hand
) -> None:
    old = remote.access_token()
    assert ours.read_access_token(old).subject.subject == "248289761001"
    for kind in ("EC", "RSA"):
        hand.s += 10
        remote.rotate(kind)
        assert ours.read_access_token(remote.access_token())
        with pytest.raises(TokenRefusedError, match="unknown_key"):
            ours.read_access_token(old)
    remote.rotate()
    hand.s += 299
    with_old = remote.jwks_asked
    hand.s += 2
    with pytest.raises(TokenRefusedError, match="unknown_key"):
        ours.read_access_token(old)
    assert remote.jwks_asked == with_old + 1


def test_tokens_with_keys_that_nobody_knows_do_not_make_us_ask_again_and_again(
    remote: TestProvider, ours: OidcProvider
) -> None:
    assert ours.read_access_token(remote.access_token())
    asked = remote.jwks_asked
    for number in range(50):
        with pytest.raises(TokenRefusedError, match="unknown_key"):
            ours.read_access_token(remote.signed(remote.usual(AUDIENCE), kid=f"made-up-{number}"))
    assert remote.jwks_asked == asked


def part(content: Any) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_forged_token_is_refused(remote: TestProvider, ours: OidcProvider) -> None:
    claims = remote.usual(AUDIENCE)
    good = remote.signed(claims)
    head, body, signature = good.split(".")
    other = RSAKey.generate_key(2048, parameters={"kid": remote.kid})
    pem = remote.key.as_pem(private=False)
    as_secret = f"{part({'alg': 'HS256', 'kid': remote.kid})}.{body}"
    hs = f"{as_secret}.{part(hmac.new(pem, as_secret.encode(), sha256).digest())}"
    unsigned = part({"alg": "none"})
    known = (
        ("unsigned", f"{unsigned}.{body}.", "no_token"),
        ("unsigned, with something there", f"{unsigned}.{body}.{signature}", "algorithm"),
        ("None in capitals", f"{part({'alg': 'None'})}.{body}.{signature}", "algorithm"),
        ("signed with the public key as a secret", hs, "algorithm"),
        ("an unknown algorithm", f"{part({'alg': 'RS1', 'kid': remote.kid})}.{body}.{signature}", "algorithm"),
        ("the algorithm as a list", f"{part({'alg': ['RS256']})}.{body}.{signature}", "algorithm"),
        ("another kind than the key", f"{part({'alg': 'ES256', 'kid': remote.kid})}.{body}.{signature}", "unknown_key"),
        (
            "signed by somebody else under the same name",
            jwt.encode({"alg": "RS256", "kid": remote.kid}, claims, other, algorithms=["RS256"]),
            "forged",
        ),
        (
            "bringing its own key",
            jwt.encode(
                {"alg": "RS256", "kid": remote.kid, "jwk": other.as_dict(private=False)},
                claims,
                other,
                algorithms=["RS256"],
            ),
            "forged",
        ),
        ("with claims of our own", f"{head}.{part(claims | {'groups': ['admins']})}.{signature}", "forged"),
        ("with another signature", f"{head}.{body}.{part(b'0' * 256)}", "forged"),
        (
            "with a header that must be understood",
            f"{part({'alg': 'RS256', 'crit': ['x']})}.{body}.{signature}",
            "header",
        ),
        ("unencoded", f"{part({'alg': 'RS256', 'b64': False, 'crit': ['b64']})}.{body}.{signature}", "header"),
        ("a number as the name of the key", f"{part({'alg': 'RS256', 'kid': 7})}.{body}.{signature}", "header"),
        ("no token", "a.b.c", "no_token"),
        ("two parts", f"{head}.{body}", "no_token"),
        ("five parts", f"{head}.{body}.{signature}.x.y", "no_token"),
        ("very long", f"{head}.{body * 200}.{signature}", "no_token"),
        ("nested a thousand times", f"{part(b'[' * 5000)}.{body}.{signature}", "no_token"),
        ("claims that are a list", remote_list(remote), "forged"),
        (
            "signed with a shared secret that is published",
            jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("x" * 32), algorithms=["HS256"]),
            "algorithm",
        ),
    )
    with every_case() as cases:
        for name, token, reason in known:
            with cases.case(name), pytest.raises(TokenRefusedError) as refused:
                ours.read_access_token(token)
            with cases.case(name):
                assert refused.value.reason == reason
    assert ours.read_access_token(good)


def remote_list(remote: TestProvider) -> str:
    """A token that the provider signed, whose claims are no object."""
    from joserfc import jws

    header = {"alg": remote.algorithm, "kid": remote.kid}
    return jws.serialize_compact(header, b"[1]", remote.key, algorithms=[remote.algorithm])


def test_an_access_token_is_for_one_audience_and_an_id_token_is_none(remote: TestProvider, ours: OidcProvider) -> None:
    now = time.time()
    with every_case() as cases:
        for name, reason, claims in (
            ("an id token", "wrong_audience", {"aud": CLIENT}),
            ("for another API", "wrong_audience", {"aud": ["https://other.example"]}),
            ("of another provider", "wrong_issuer", {"iss": "https://elsewhere.example"}),
            ("of nearly the same provider", "wrong_issuer", {"iss": f"{remote.issuer}/"}),
            ("expired", "expired", {"exp": now - 61}),
            ("not yet", "not_yet", {"nbf": now + 61.5}),
        ):
            with cases.case(name), pytest.raises(TokenRefusedError, match=reason):
                ours.read_access_token(remote.access_token(**claims))
    none = OidcProvider(replace(ours.client, audience=""), SystemClock())
    with pytest.raises(TokenRefusedError, match="not_taken"):
        none.read_access_token(remote.access_token())


def test_what_the_provider_publishes_is_not_believed_blindly(remote: TestProvider, hand: Hand) -> None:
    client = OidcClient(remote.issuer, CLIENT, SECRET, REDIRECT, AUDIENCE)
    told: dict[str, tuple[int, Any]] = {}

    def fetch(url: str, _form: object, _headers: object) -> tuple[int, bytes]:
        status, body = told[url.rsplit("/", 1)[1]]
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()

    good = {
        "issuer": remote.issuer,
        "authorization_endpoint": f"{remote.issuer}/authorize",
        "token_endpoint": f"{remote.issuer}/token",
        "jwks_uri": f"{remote.issuer}/keys",
    }

    def ask(document: Any, status: int = 200, keys: Any = None) -> None:
        told.update({"openid-configuration": (status, document), "keys": (200, keys or {"keys": []})})
        OidcProvider(client, SystemClock(), fetch, hand).read_access_token(remote.access_token())

    with every_case() as cases:
        for name, problem, document, status in (
            ("another name", "calls itself", good | {"issuer": "https://evil.example"}, 200),
            ("no keys", "no jwks_uri", {**good, "jwks_uri": None}, 200),
            ("keys in clear", "https", good | {"jwks_uri": "http://evil.example/keys"}, 200),
            ("nothing there", "status 404", {}, 404),
            ("no JSON", "openid-configuration", b"<html>", 200),
        ):
            with cases.case(name), pytest.raises(OidcError, match=problem):
                ask(document, status)
    with pytest.raises(OidcError, match="are none"):
        ask(good, keys={"keys": "x"})
    with pytest.raises(RetryableError):
        ask({}, 503)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is weak is the point
        weak = RSAKey.generate_key(1024, parameters={"kid": remote.kid})
    for published, reason in (
        ([weak.as_dict(private=False)], "weak_key"),
        ([{"kty": "oct", "k": "eA", "kid": remote.kid}], "unknown_key"),
        ([{"kty": "RSA", "n": "!", "e": "AQAB", "kid": remote.kid}], "weak_key"),
        ([remote.key.as_dict(private=False) | {"use": "enc"}], "unknown_key"),
        ([remote.key.as_dict(private=False)] * 2, "unknown_key"),
    ):
        with pytest.raises(TokenRefusedError, match=reason):
            ask(good, keys={"keys": published})


def test_a_provider_that_does_not_answer_is_asked_again_later(
    remote: TestProvider, ours: OidcProvider, hand: Hand
) -> None:
    remote.down = True
    with pytest.raises(RetryableError):
        ours.sign_in_url("state", "nonce", "verifier")
    remote.down = False
    hand.s += AWAY_FOR_S
    assert ours.sign_in_url("state", "nonce", "verifier").startswith(f"{remote.issuer}/authorize?")
    away = OidcProvider(replace(ours.client, issuer="http://127.0.0.1:9/realm"), SystemClock())
    with pytest.raises(RetryableError):
        away.sign_in_url("state", "nonce", "verifier")


def test_a_provider_on_another_machine_is_asked_over_https_alone() -> None:
    with pytest.raises(OidcError, match="https"):
        OidcProvider(OidcClient("http://login.acme.example", CLIENT, SECRET, REDIRECT), SystemClock())


def test_an_hour_of_claims_is_judged_by_our_own_clock(remote: TestProvider, ours: OidcProvider) -> None:
    class Later:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(hours=1)

    late = OidcProvider(ours.client, Later())
    with pytest.raises(TokenRefusedError, match="expired"):
        late.read_access_token(remote.access_token())


def test_while_the_provider_is_away_hardly_anybody_waits_for_it(remote: TestProvider, hand: Hand) -> None:
    asked = []

    def fetch(url: str, _form: object, _headers: object) -> tuple[int, bytes]:
        asked.append(url)
        raise RetryableError("the OpenID provider does not answer: ReadTimeoutError")

    ours = OidcProvider(
        OidcClient(remote.issuer, CLIENT, SECRET, REDIRECT, AUDIENCE), SystemClock(), fetch, monotonic_s=hand
    )
    token = remote.access_token()
    for _ in range(50):
        with pytest.raises(RetryableError, match="ReadTimeoutError"):
            ours.read_access_token(token)
    assert len(asked) == 1
    hand.s = AWAY_FOR_S
    with pytest.raises(RetryableError):
        ours.sign_in_url("state", "nonce", "verifier")
    assert len(asked) == 2
