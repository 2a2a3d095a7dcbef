"""`callstream topics acls`: what is printed, and what cannot be meant."""

import pytest

from tests.streams.cli.terminal import Terminal


def test_the_command_prints_one_account_under_the_name_of_its_certificate(terminal: Terminal) -> None:
    ended = terminal.run("topics", "acls", "--only", "second-read", "--principal", "User:CN={name},O=Acme")
    assert ended.code == 0
    assert "--allow-principal User:CN=second-read,O=Acme --operation Read --group callstream.second_read" in ended.out
    assert "listen" not in ended.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--only", "lissten"), "lissten is none of", id="no such account"),
        pytest.param(("--principal", "User:all"), "must begin with User: and hold {name}", id="all of one name"),
        pytest.param(("--principal", "{name}"), "must begin with User: and hold {name}", id="no kind of principal"),
        pytest.param(("--prune",), "it goes with --apply", id="prune of what is printed"),
        pytest.param(("--format", "xml"), "xml", id="another form"),
    ],
)
def test_what_cannot_be_meant_is_refused(terminal: Terminal, arguments: tuple[str, ...], sentence: str) -> None:
    ended = terminal.run("topics", "acls", *arguments)
    assert ended.code == 2
    assert sentence in ended.err
