"""Connections that are slow or cut: toxiproxy, a server of its own, built once from its Go module (MIT)."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.embedded.ports import LOOPBACK, answers, free_port
from tests.contracts.s3_server import binary_of
from tests.support.processes import eventually

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"


class Toxiproxy:
    """Proxies by name; each passes everything on until it is told otherwise."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}"

    def add(self, name: str, upstream_port: int, port: int = 0) -> int:
        """The port at which whoever connects is led to the other."""
        port = port or free_port()
        about = {"name": name, "listen": f"{LOOPBACK}:{port}", "upstream": f"{LOOPBACK}:{upstream_port}"}
        self._ask("/proxies", {**about, "enabled": True})
        return port

    def slow(self, name: str) -> None:
        """Each answer comes a fifth of a second late, give or take, and in small pieces."""
        self._ask(f"/proxies/{name}/toxics", _toxic("latency", latency=200, jitter=100))
        self._ask(f"/proxies/{name}/toxics", _toxic("bandwidth", rate=400))

    def cut(self, name: str) -> None:
        """What is connected is cut off, and nobody gets through."""
        self._ask(f"/proxies/{name}", {"enabled": False})

    def mend(self) -> None:
        """All proxies pass everything on."""
        self._ask("/reset", {})

    def _ask(self, path: str, content: Mapping[str, Any]) -> None:
        request = urllib.request.Request(self._url + path, json.dumps(content).encode(), method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass


def _toxic(kind: str, **attributes: int) -> dict[str, Any]:
    return {"name": kind, "type": kind, "stream": "downstream", "attributes": attributes}


@contextmanager
def running_toxiproxy(folder: Path) -> Iterator[Toxiproxy]:
    """Raises `ServerUnavailableError` where it is not there and cannot be built."""
    binary, port = binary_of("toxiproxy", MODULE, "TOXIPROXY_BINARY", built_as="server"), free_port()
    with (folder / "toxiproxy.log").open("wb") as log:
        process = subprocess.Popen([binary, "-host", LOOPBACK, "-port", str(port)], stdout=log, stderr=log)
        try:
            assert eventually(lambda: answers(LOOPBACK, port), 20)
            yield Toxiproxy(port)
        finally:
            process.kill()
            process.wait()
