"""`callstream serve`."""

from streams.cli.worker import worker


def serve() -> None:
    """Take recordings in over HTTP, and say where calls stand, until SIGTERM or Ctrl-C (docs/api.md).

    The same as `callstream worker serve`. `callstream up` starts one; settings `serve_*` say where it listens.
    """
    worker(["serve"])
