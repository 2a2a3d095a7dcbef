"""faster-whisper-server, which others wrote, on loopback, in the environment of `make test-speech-server`."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.embedded.ports import LOOPBACK, free_port
from tests.support.model_server import ModelServerUnavailableError, serving

PROGRAM = Path(__file__).parents[2] / ".venv-speech" / "bin" / "faster-whisper-server"
MODEL = "whisper-1"
"""The name that it takes for asked for, whatever `model` of a request says: it looks for `model_name` there."""


@contextmanager
def running_whisper_server(weights: Path, folder: Path, name: str = MODEL) -> Iterator[str]:
    """The base URL of a server with the model in the folder `weights` under that name; its log is in `folder`.

    Raises `ModelServerUnavailableError`.
    """
    if not PROGRAM.exists():
        raise ModelServerUnavailableError("faster-whisper-server is not installed: make test-speech-server")
    model = {"name": name, "path": str(weights), "model_options": {"device": "cpu", "compute_type": "int8"}}
    config = folder / "models.yaml"
    config.write_text(json.dumps({"models": [model]}))
    port = free_port()
    command = [str(PROGRAM), "--config", str(config), "--host", LOOPBACK, "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with serving(command, port, folder / "server.log", environment):
        yield f"http://{LOOPBACK}:{port}/v1"
