"""A small OpenID provider over loopback HTTP: discovery, authorization, tokens with PKCE, keys that are exchanged."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET, AUDIENCE = "callstream", "hush: of the client/", "https://calls.acme.example"
REDIRECT = "http://127.0.0.1:1/v1/session/oidc/callback"


@dataclass
class Code:
    """Somebody who was let in, and has not come back yet."""

    challenge: str
    nonce: str
    redirect: str


@dataclass
class TestProvider:
    """Who signs in next are `claims`; what it signs with is `key`."""

    __test__ = False

    port: int = 0
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "248289761001", "groups": []})
    spoils: dict[str, Any] = field(default_factory=dict)
    """Claims of the next ID tokens that are not what they should be."""
    codes: dict[str, Code] = field(default_factory=dict)
    jwks_asked: int = 0
    down: bool = False

    def __post_init__(self) -> None:
        self.rotate()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}/realm"

    def rotate(self, kind: str = "RSA") -> None:
        """Another key, and the former one is not published any more."""
        kid = secrets.token_hex(4)
        self.key: RSAKey | ECKey
        if kind == "RSA":
            self.key, self.algorithm = RSAKey.generate_key(2048, parameters={"kid": kid, "use": "sig"}), "RS256"
        else:
            self.key, self.algorithm = ECKey.generate_key("P-256", parameters={"kid": kid, "use": "sig"}), "ES256"
        self.kid = kid

    def usual(self, audience: str, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        return {"iss": self.issuer, "aud": audience, "iat": now, "exp": now + 300, **self.claims, **claims}

    def signed(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A token of the provider."""
        return jwt.encode(
            {"alg": self.algorithm, "kid": self.kid, **header}, dict(claims), self.key, algorithms=[self.algorithm]
        )

    def access_token(self, **claims: Any) -> str:
        return self.signed(self.usual(AUDIENCE, **claims))

    def authorize(self, url: str) -> dict[str, str]:
        """What a browser brings back from that address, whose owner let it in: `code` and `state`."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == REDIRECT
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = Code(asked["code_challenge"], asked["nonce"], asked["redirect_uri"])
        return {"code": code, "state": asked["state"]}

    def redeem(self, form: Mapping[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        pair = base64.b64encode(f"{CLIENT}:{urlencode({'': SECRET})[1:].replace('+', '%20')}".encode()).decode()
        if authorization != f"Basic {pair}":
            return 401, {"error": "invalid_client"}
        code = self.codes.pop(form.get("code", ""), None)
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        if (
            code is None
            or base64.urlsafe_b64encode(digest).decode().rstrip("=") != code.challenge
            or form.get("redirect_uri") != code.redirect
        ):
            return 400, {"error": "invalid_grant"}
        token = self.signed(self.usual(CLIENT, nonce=code.nonce) | self.spoils)
        return 200, {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "id_token": token}


@contextmanager
def running_provider() -> Iterator[TestProvider]:
    """A provider that answers."""
    provider = TestProvider()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            return

        def answer(self, status: int, body: Mapping[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(503 if provider.down else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            issuer = provider.issuer
            if self.path == "/realm/.well-known/openid-configuration":
                self.answer(
                    200,
                    {
                        "issuer": issuer,
                        "authorization_endpoint": f"{issuer}/authorize",
                        "token_endpoint": f"{issuer}/token",
                        "jwks_uri": f"{issuer}/keys",
                    },
                )
            elif self.path == "/realm/keys":
                provider.jwks_asked += 1
                self.answer(200, {"keys": [provider.key.as_dict(private=False)]})
            else:
                self.answer(404, {})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(raw).items()}
            self.answer(*provider.redeem(form, self.headers.get("Authorization")))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
