"""An OpenID provider: where people are sent to sign in, what it says of them, and whether a token is its own.

Authorization Code with PKCE. Keys are those that the provider publishes, of algorithms with a private and a public key:
a token without signature, or one that is signed with what everybody can read, is refused.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from processors.custody.accounts import OidcSubject
from processors.custody.oidc_claims import TokenRefusedError, check_claims
from schemas.errors import OperatorError, RetryableError
from streams.ports import Clock
from streams.settings import Settings

ALGORITHMS: Mapping[str, str] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""What a token may be signed with → the kind of key. Neither `none` nor one with a shared secret."""

LEAST_RSA_BITS = 2048
MOST_TOKEN_BYTES = 16 * 1024
MOST_ANSWER_BYTES = 1024 * 1024
ANSWERS_WITHIN_S = 5.0

DISCOVERED_FOR_S = 3600.0
KEYS_ARE_KEPT_S = 300.0
"""So long a key that the provider withdrew may still be used here."""

LOOKS_AGAIN_AFTER_S = 10.0
"""So long nobody asks anew because of a token with a key that is not known: such tokens cost nothing to make."""

AWAY_FOR_S = 5.0
"""So long nobody asks a provider again that did not answer: whoever sends what looks like a token, which everybody can,
would keep a thread waiting each."""


class OidcError(OperatorError):
    """The provider is not what the settings say, or refuses us."""


@dataclass(frozen=True)
class OidcClient:
    """What the provider knows us by. `audience` is that of access tokens; empty: none are taken."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_url: str
    audience: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True)
class SaidOfSomebody:
    """Who it is, and all that the provider says of them."""

    subject: OidcSubject
    claims: Mapping[str, Any]


Fetch = Callable[[str, Mapping[str, str] | None, Mapping[str, str]], tuple[int, bytes]]
"""URL, form to send (None: GET) and headers → status and body. Raises `RetryableError`."""


class OidcProvider:
    """Safe to share between threads. Every method may raise `RetryableError` where the provider does not answer, and
    `OidcError` where it is not what it should be.
    """

    def __init__(
        self,
        client: OidcClient,
        clock: Clock,
        fetch: Fetch | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        require_https(client.issuer)
        self.client = client
        self._clock = clock
        self._fetch = fetch or fetching(client.ca_file)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._document: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, tuple[Mapping[str, Any], ...]] | None = None
        self._away: tuple[float, str] | None = None

    @property
    def issuer(self) -> str:
        """What it calls itself."""
        return self.client.issuer

    def sign_in_url(self, state: str, nonce: str, verifier: str) -> str:
        """Where somebody is sent. `verifier` stays here: only its digest goes along (PKCE, RFC 7636)."""
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.client.client_id,
                "redirect_uri": self.client.redirect_url,
                "scope": "openid profile",
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        endpoint = self._endpoint("authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    def redeem(self, code: str, verifier: str, nonce: str) -> SaidOfSomebody:
        """Who came back with this code. Raises `TokenRefusedError`."""
        client = self.client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_url,
            "code_verifier": verifier,
        }
        headers = {"Accept": "application/json"}
        if client.client_secret:
            pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = client.client_id
        status, body = self._fetch(self._endpoint("token_endpoint"), form, headers)
        if status in (400, 401, 403):
            # The body may repeat the code; what is wrong stands in the log of the provider.
            raise TokenRefusedError("code_refused")
        token = _object(status, body, "token_endpoint").get("id_token")
        if not isinstance(token, str):
            raise TokenRefusedError("no_id_token")
        claims = self._verified(token)
        subject = check_claims(
            claims,
            issuer=client.issuer,
            audience=client.client_id,
            now=self._clock.now(),
            nonce=nonce,
            client_id=client.client_id,
        )
        return SaidOfSomebody(subject, claims)

    def read_access_token(self, token: str) -> SaidOfSomebody:
        """Whose access token it is. Raises `TokenRefusedError`."""
        if not self.client.audience:
            raise TokenRefusedError("not_taken")
        claims = self._verified(token)
        subject = check_claims(claims, issuer=self.client.issuer, audience=self.client.audience, now=self._clock.now())
        return SaidOfSomebody(subject, claims)

    def _verified(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that the provider signed. Raises `TokenRefusedError`."""
        from joserfc import jwk, jwt
        from joserfc.errors import JoseError

        header = _header_of(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise TokenRefusedError("algorithm")
        if "crit" in header or "b64" in header:
            raise TokenRefusedError("header")
        if key_id is not None and not isinstance(key_id, str):
            raise TokenRefusedError("header")
        published = self._key_for(algorithm, key_id)
        if published.get("kty") == "RSA" and _bits_of(published.get("n")) < LEAST_RSA_BITS:
            raise TokenRefusedError("weak_key")
        try:
            key = jwk.import_key({name: value for name, value in published.items() if name in _PUBLIC})
            claims = jwt.decode(token, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError, KeyError):
            raise TokenRefusedError("forged") from None
        if not isinstance(claims, dict):
            raise TokenRefusedError("forged")
        return claims

    def _key_for(self, algorithm: str, key_id: str | None) -> Mapping[str, Any]:
        """The one key that may have signed it; asked for anew where it is not known."""
        found = _fitting(self._published(KEYS_ARE_KEPT_S), algorithm, key_id)
        if found is None:
            found = _fitting(self._published(LOOKS_AGAIN_AFTER_S), algorithm, key_id)
        if found is None:
            raise TokenRefusedError("unknown_key")
        return found

    def _published(self, kept_s: float) -> tuple[Mapping[str, Any], ...]:
        with self._lock:
            if self._keys is None or self._monotonic_s() - self._keys[0] >= kept_s:
                url = self._endpoint("jwks_uri")
                keys = self._got(url, "jwks_uri").get("keys")
                if not isinstance(keys, list):
                    raise OidcError("oidc_issuer: what the provider publishes as its keys are none")
                self._keys = (self._monotonic_s(), tuple(each for each in keys if isinstance(each, dict)))
            return self._keys[1]

    def _got(self, url: str, what: str) -> Mapping[str, Any]:
        """What the provider publishes there. While it is away, only now and then somebody waits for it."""
        away = self._away
        if away is not None and self._monotonic_s() - away[0] < AWAY_FOR_S:
            raise RetryableError(away[1])
        try:
            found = _object(*self._fetch(url, None, {"Accept": "application/json"}), what)
        except RetryableError as error:
            self._away = (self._monotonic_s(), str(error))
            raise
        self._away = None
        return found

    def _endpoint(self, name: str) -> str:
        """An address of the provider, as it says itself."""
        now_s = self._monotonic_s()
        if self._document is None or now_s - self._document[0] >= DISCOVERED_FOR_S:
            url = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
            document = self._got(url, "openid-configuration")
            if document.get("issuer") != self.client.issuer:
                raise OidcError("oidc_issuer is not what the provider calls itself: write it exactly so, to the last /")
            self._document = (now_s, document)
        found = self._document[1].get(name)
        if not isinstance(found, str):
            raise OidcError(f"oidc_issuer: the provider names no {name}")
        require_https(found)
        return found


_PUBLIC = frozenset({"kty", "n", "e", "crv", "x", "y"})
"""What of a published key is read. `use`, `alg` and `key_ops` were looked at before."""


def _bits_of(modulus: object) -> int:
    """How long an RSA key is; 0 for what is none."""
    try:
        raw = base64.urlsafe_b64decode(f"{modulus}{'=' * (-len(str(modulus)) % 4)}")
    except ValueError:
        return 0
    return int.from_bytes(raw, "big").bit_length()


def _fitting(keys: tuple[Mapping[str, Any], ...], algorithm: str, key_id: str | None) -> Mapping[str, Any] | None:
    """The key; a token that names none is only taken where there is one of that kind alone."""
    usable = [
        key
        for key in keys
        if key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
    ]
    return usable[0] if len(usable) == 1 else None


def _header_of(token: str) -> Mapping[str, Any]:
    """Raises `TokenRefusedError` for what is no signed token."""
    parts = token.split(".")
    if len(token) > MOST_TOKEN_BYTES or len(parts) != 3 or not all(parts):
        raise TokenRefusedError("no_token")
    try:
        header = json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except (ValueError, RecursionError):
        raise TokenRefusedError("no_token") from None
    if not isinstance(header, dict):
        raise TokenRefusedError("no_token")
    return header


def _object(status: int, body: bytes, what: str) -> Mapping[str, Any]:
    """Raises `RetryableError` and `OidcError`."""
    if status >= 500 or status == 429:
        raise RetryableError(f"the OpenID provider does not answer: {what}, status {status}")
    found: object = None
    if status == 200:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict):
        raise OidcError(
            f"oidc_issuer: the provider has no {what} (status {status}): compare it with the provider's own"
        )
    return found


def require_https(url: str) -> None:
    """Raises `OidcError` for an address that others on the way can read, or answer for."""
    parts = urlsplit(url)
    near = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
    if parts.scheme != "https" and not (parts.scheme == "http" and near):
        raise OidcError("oidc_issuer, and all that the provider names, must be https://…")


def fetching(ca_file: Path | None) -> Fetch:
    """Asks over HTTP, without following redirections, in bounded time and of bounded length."""
    import certifi
    import urllib3

    pool = urllib3.PoolManager(
        num_pools=4,
        retries=False,
        timeout=urllib3.Timeout(total=ANSWERS_WITHIN_S),
        ca_certs=certifi.where() if ca_file is None else str(ca_file),
    )

    def fetch(url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        body = None if form is None else urlencode(form)
        sent = dict(headers) | ({} if form is None else {"Content-Type": "application/x-www-form-urlencoded"})
        try:
            answer = pool.request(
                "GET" if form is None else "POST",
                url,
                body=body,
                headers=sent,
                redirect=False,
                preload_content=False,
            )
            try:
                data = answer.read(MOST_ANSWER_BYTES + 1)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise RetryableError(f"the OpenID provider does not answer: {type(error).__name__}") from None
        if len(data) > MOST_ANSWER_BYTES:
            raise OidcError("oidc_issuer: the provider answers more than 1 MiB")
        return answer.status, data

    return fetch


def provider_from(settings: Settings, clock: Clock) -> OidcProvider | None:
    """The provider of the settings; None where they name none. Raises `OidcError` where its secret cannot be read."""
    if not settings.oidc_issuer:
        return None
    secret = ""
    if settings.oidc_client_secret_file is not None:
        try:
            secret = settings.oidc_client_secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OidcError(f"oidc_client_secret_file cannot be read: {type(error).__name__}") from None
    return OidcProvider(
        OidcClient(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=secret,
            redirect_url=settings.oidc_redirect_url,
            audience=settings.oidc_audience,
            ca_file=settings.oidc_ca_file,
        ),
        clock,
    )
