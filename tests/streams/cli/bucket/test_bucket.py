"""`callstream bucket apply`, the name that it had before, and `callstream bucket check`."""

from collections.abc import Iterator

import pytest

from tests.contracts.s3_server import ServerUnavailableError
from tests.contracts.versitygw_server import Versitygw, running_versitygw
from tests.streams.cli.terminal import Terminal


def test_it_makes_the_bucket_and_may_be_run_again(terminal: Terminal) -> None:
    for _ in range(2):
        ended = terminal.run("bucket", "apply")
        assert (ended.code, ended.out, ended.err) == (0, "bucket callstream is ready\n", "")
    assert (terminal.folder / "data" / "objects" / "callstream").is_dir()


def test_its_old_name_still_works_and_tells_the_new_one_in_one_line(terminal: Terminal) -> None:
    ended = terminal.run("store", "apply")
    assert (ended.code, ended.out) == (0, "bucket callstream is ready\n")
    assert ended.err == "callstream: `callstream store apply` is now called `callstream bucket apply`\n"
    assert (terminal.folder / "data" / "objects" / "callstream").is_dir()


def test_its_old_name_is_in_no_help(terminal: Terminal) -> None:
    listed = [line.split()[0] for line in terminal.run("--help").out.splitlines() if line.startswith("  ")]
    assert "bucket" in listed
    assert "store" not in listed


def test_a_folder_that_is_there_is_as_it_should_be(terminal: Terminal) -> None:
    terminal.run("bucket", "apply")

    ended = terminal.run("bucket", "check")

    assert (ended.code, ended.out, ended.err) == (0, "bucket callstream is as it should be\n", "")


def test_a_folder_that_is_not_there_needs_somebody(terminal: Terminal) -> None:
    ended = terminal.run("bucket", "check")

    assert ended.code == 3
    assert "run `callstream bucket apply`" in ended.err


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versitygw]:
    try:
        with running_versitygw(tmp_path_factory.mktemp("versitygw")) as server:
            yield server
    except ServerUnavailableError as reason:
        pytest.skip(str(reason))


@pytest.mark.versitygw
def test_what_a_bucket_of_s3_lacks_is_told_set_and_told_again(
    terminal: Terminal, server: Versitygw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    terminal.set(
        store_kind="s3", s3_endpoint=server.endpoint, s3_access_key=server.access_key, s3_secret_key=server.secret_key
    )
    server.client().create_bucket(Bucket="callstream")

    lacking = terminal.run("bucket", "check")
    applied = terminal.run("bucket", "apply")
    checked = terminal.run("bucket", "check")

    kept = "what is overwritten or deleted is kept as an older version"
    assert lacking.code == 1
    assert f"{kept}: NO: run `callstream bucket apply`" in lacking.out
    assert lacking.err == "bucket callstream is not as it should be\n"
    assert (applied.code, checked.code) == (0, 0)
    assert f"{kept}: yes\n" in applied.out
    assert "older versions are removed after 7 days: this object store cannot" in checked.out
    assert server.secret_key not in lacking.out + applied.out + checked.out
