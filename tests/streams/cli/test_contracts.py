"""`callstream contracts`: the files of the repository are those that the code writes."""

from pathlib import Path

from schemas.contracts import contracts_text
from streams.topology import operations
from tests.streams.cli.terminal import Terminal

REPOSITORY = Path(__file__).parents[3]


class TestContracts:
    def test_those_of_the_repository_are_current(self, terminal: Terminal) -> None:
        ended = terminal.run("contracts", "--check", "--out", REPOSITORY)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.count(": up to date\n") == len(contracts_text(operations())) + 1, "and the OpenAPI document"

    def test_missing_ones_end_with_1_until_they_are_written(self, terminal: Terminal) -> None:
        assert terminal.run("contracts", "--check").code == 1
        assert terminal.run("contracts").code == 0
        assert terminal.run("contracts", "--check").code == 0

    def test_a_changed_one_is_named(self, terminal: Terminal) -> None:
        terminal.run("contracts")
        file = Path("docs/contracts/call_ended.v1.schema.json")
        (terminal.folder / file).write_text("{}", encoding="utf-8")
        ended = terminal.run("contracts", "--check")
        assert ended.code == 1
        assert f"{file}: out of date" in ended.out
