"""`callstream bucket apply`, and the name that it had before."""

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
