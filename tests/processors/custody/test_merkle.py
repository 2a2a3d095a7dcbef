"""The tree against the reference values of certificate-transparency, and against the definition in RFC 6962."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.merkle import (
    EMPTY_ROOT,
    TreePeaks,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    peaks_of,
    root_of,
)

# google/certificate-transparency, merkletree/merkle_tree_test.cc
LEAVES = tuple(
    leaf_hash(bytes.fromhex(each))
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
INCLUSION = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}
CONSISTENCY = {
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
}


def _by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, as it stands there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + _by_definition(leaves[:split]) + _by_definition(leaves[split:])).digest()


def test_roots_and_proofs_are_those_of_the_reference() -> None:
    assert (
        root_of(()) == EMPTY_ROOT == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )
    for size, root in enumerate(ROOTS, 1):
        assert root_of(LEAVES[:size]).hex() == root
    for (index, size), proof in INCLUSION.items():
        assert [each.hex() for each in inclusion_proof(LEAVES[:size], index)] == list(proof)
    for (size, later), proof in CONSISTENCY.items():
        assert [each.hex() for each in consistency_proof(LEAVES[:later], size)] == list(proof)


def test_every_proof_of_trees_of_up_to_33_leaves_holds_and_no_changed_one_does() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(33)]
    other = leaf_hash(b"another")
    for size in range(1, 34):
        root = root_of(leaves[:size])
        assert root == _by_definition(leaves[:size])
        for index in range(size):
            proof = inclusion_proof(leaves[:size], index)
            assert is_included(leaves[index], index, size, proof, root)
            assert not is_included(other, index, size, proof, root)
            assert not is_included(leaves[index], index, size, [*proof, other], root)
            assert not is_included(leaves[index], (index + 1) % size, size, proof, root) or size == 1
        for earlier in range(size + 1):
            before, proof = root_of(leaves[:earlier]), consistency_proof(leaves[:size], earlier)
            assert is_consistent(earlier, before, size, root, proof)
            assert not is_consistent(earlier, other, size, root, proof)
            assert not is_consistent(earlier, before, size, root, [*proof, other])
            assert earlier in (0, size) or not is_consistent(earlier, before, size, other, proof)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70), st.integers(0, 70))
def test_a_tree_grows_from_its_peaks_as_from_its_leaves(leaves: list[bytes], at: int) -> None:
    at = min(at, len(leaves))
    grown = peaks_of(leaves[at:], TreePeaks.from_bytes(at, peaks_of(leaves[:at]).to_bytes()))
    one_by_one = TreePeaks()
    for leaf in leaves:
        one_by_one = one_by_one.with_leaf(leaf)
    assert grown == one_by_one == peaks_of(leaves)
    assert grown.root == root_of(leaves) == _by_definition(leaves)


def test_what_is_no_tree_or_no_place_of_one_is_refused() -> None:
    for refused in (
        lambda: TreePeaks(2, (LEAVES[0], LEAVES[1])),
        lambda: TreePeaks.from_bytes(1, LEAVES[0][:31]),
        lambda: inclusion_proof(LEAVES, 8),
        lambda: consistency_proof(LEAVES, 9),
    ):
        with pytest.raises(ValueError, match=r"tree|hash|leaf"):
            refused()
