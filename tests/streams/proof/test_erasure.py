"""A proof of an erasure holds only if what is gone was seen before, nothing is left, and the search still sees."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streams.proof.erasing import ErasureOnStack
from streams.proof.erasure import ErasureProof, ErasureStep, Exemption, prove_erasure
from streams.proof.searching import Needles, Searched, search_files

ORDER, KEY, STAYS = b"order-4711", b"5c5c5c5c", b"order-0815"
PLANTED = {"an order": frozenset({ORDER}), "a key": frozenset({KEY})}
OTHERS = "an order of another"
NEEDLES = Needles({**PLANTED, OTHERS: [STAYS]})


class House:
    """Files, two of which are of the customer who is erased."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, content in (("rows", ORDER), ("register", KEY), ("others", STAYS)):
            (folder / name).write_bytes(b"begin " + content + b" end")

    def search(self) -> list[Searched]:
        return [search_files([self.folder], NEEDLES, frozenset({OTHERS}))]

    def erase(self) -> None:
        for name in ("rows", "register"):
            (self.folder / name).unlink()

    def write(self, name: str, content: bytes) -> Callable[[], object]:
        return lambda: (self.folder / name).write_bytes(content)

    def proved(self, *steps: ErasureStep, exempt: tuple[Exemption, ...] = ()) -> ErasureProof:
        return prove_erasure(PLANTED, self.search, steps, stays=frozenset({OTHERS}), exempt=exempt)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_it_holds_where_all_was_seen_before_and_nothing_is_left(house: House) -> None:
    proof = house.proved(ErasureStep("erased", house.erase), ErasureStep("replayed", lambda: None))
    assert proof.holds
    assert [(one.what, one.files, len(one.needles)) for one in proof.steps] == [
        ("before", 3, 2),
        ("erased", 1, 0),
        ("replayed", 1, 0),
    ]
    assert proof.total == 2


def test_it_does_not_hold_where_something_is_left(house: House) -> None:
    proof = house.proved(ErasureStep("erased", (house.folder / "rows").unlink))
    assert not proof.holds
    assert proof.left == {"erased": [str(house.folder / "register")]}


def test_it_does_not_hold_where_something_comes_back(house: House) -> None:
    again = ErasureStep("delivered again", house.write("rows", ORDER))
    proof = house.proved(ErasureStep("erased", house.erase), again)
    assert not proof.holds
    assert list(proof.left) == ["delivered again"]


def test_it_does_not_hold_for_what_was_not_seen_before(house: House) -> None:
    (house.folder / "rows").write_bytes(b"compressed")
    proof = house.proved(ErasureStep("erased", house.erase))
    assert proof.unseen == {"an order": 1}
    assert not proof.left
    assert not proof.holds


def test_it_does_not_hold_where_what_has_to_stay_is_gone_too(house: House) -> None:
    def erase_too_much() -> None:
        house.erase()
        (house.folder / "others").unlink()

    proof = house.proved(ErasureStep("erased", erase_too_much))
    assert proof.blind == ["erased"]
    assert not proof.holds


def test_it_does_not_hold_where_something_could_not_be_searched(house: House) -> None:
    proof = house.proved(ErasureStep("erased", house.erase))
    proof.steps[-1].searched[0].unreadable.append("a file")
    assert not proof.holds


def test_without_a_step_nothing_is_proved(house: House) -> None:
    assert not house.proved().holds


def test_what_may_be_somewhere_for_a_reason_is_told_with_it_and_no_more_than_that(house: House) -> None:
    request = Exemption(str(house.folder / "register"), "in the request", "a key")
    proof = house.proved(ErasureStep("erased", (house.folder / "rows").unlink), exempt=(request,))
    assert proof.unseen == {"a key": 1}  # seen where it may be is not seen
    (house.folder / "copy").write_bytes(KEY)
    (house.folder / "rows").write_bytes(ORDER)
    proof = house.proved(
        ErasureStep("erased", (house.folder / "rows").unlink, [Exemption(str(house.folder / "copy"), "a copy")]),
        ErasureStep("order in the request", house.write("register", KEY + ORDER)),
        exempt=(request,),
    )
    assert proof.steps[1].let_pass == {"in the request": 1, "a copy": 1}
    assert proof.steps[1].found == {}
    assert proof.left == {"order in the request": [str(house.folder / "copy"), str(house.folder / "register")]}
    assert proof.steps[2].needles == {("an order", ORDER), ("a key", KEY)}


def erasure(house: House, **changes: object) -> ErasureOnStack:
    """One that holds, but for these changes."""
    done = ErasureOnStack(
        customers=1,
        calls=2,
        destroyed=2,
        judged_before=9,
        judged_again=7,
        delivered=8,
        uploads=2,
        refused=2,
        left_out_objects=5,
        proof=house.proved(ErasureStep("erased", house.erase)),
    )
    for name, value in changes.items():
        setattr(done, name, value)
    return done


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"calls": 0, "destroyed": 0, "uploads": 0, "refused": 0}, id="nothing was erased"),
        pytest.param({"destroyed": 1}, id="a call was not destroyed"),
        pytest.param({"judged_again": 8}, id="a replay judged an erased call"),
        pytest.param({"judged_again": 6}, id="a replay left out a call of somebody else"),
        pytest.param({"delivered": 0}, id="nothing was delivered again"),
        pytest.param({"refused": 1}, id="an upload was taken in"),
        pytest.param({"left_out_objects": 0}, id="the backup had nothing of it"),
        pytest.param({"proof": ErasureProof(PLANTED, frozenset())}, id="nothing was searched"),
    ],
)
def test_on_a_stack_it_holds_only_if_everything_does(house: House, changes: dict[str, object]) -> None:
    assert erasure(house).holds
    (house.folder / "rows").write_bytes(ORDER)
    (house.folder / "register").write_bytes(KEY)
    assert not erasure(house, **changes).holds
