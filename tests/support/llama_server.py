"""llama.cpp's own server on loopback with a model of noise (`llama_program.py`), in the environment of `make llama`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.embedded.ports import LOOPBACK, free_port
from tests.support.model_server import ModelServerUnavailableError, serving

PYTHON = Path(__file__).parents[2] / ".venv-llama" / "bin" / "python"
PROGRAM = Path(__file__).with_name("llama_program.py")
KEY = "sk-of-the-llama"


@contextmanager
def running_llama_server(folder: Path, *, context: int = 16_384) -> Iterator[str]:
    """The address of its chat endpoint, with room for `context` tokens in each of two questions; its log and its model
    are in `folder`. Raises `ModelServerUnavailableError`.
    """
    if not PYTHON.exists():
        raise ModelServerUnavailableError("llama.cpp is not installed: make llama")
    port = free_port()
    command = [str(PYTHON), str(PROGRAM), str(folder / "noise.gguf"), str(2 * context), str(port), KEY]
    with serving(command, port, folder / "llama.log"):
        yield f"http://{LOOPBACK}:{port}/v1/chat/completions"
