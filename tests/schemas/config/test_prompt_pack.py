"""Prompt packs: the shipped one, those of tenants, and what is wrong with a file."""

from pathlib import Path

import pytest

from processors.reading.call_reader import KINDS
from schemas.config.prompt_pack import PROMPT_PACK_FOLDER, PromptPackError, PromptPacks

SHIPPED = (PROMPT_PACK_FOLDER / "conduct.yaml").read_text(encoding="utf-8")


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_pack_knows_every_kind_that_reading_knows() -> None:
    pack = PromptPacks.read().of("anybody")
    assert pack.name == "conduct@1"
    assert set(KINDS) <= {kind.id for kind in pack.kinds}


def test_a_tenant_has_its_own_pack_and_the_others_have_the_one_for_all(tmp_path: Path) -> None:
    own = SHIPPED.replace("version: 1", "version: 7\ntenants: [acme]")
    packs = PromptPacks.read(written(tmp_path, own=own))
    assert (packs.of("acme").name, packs.of("other").name) == ("conduct@7", "conduct@1")
    for_all = PromptPacks.read(written(tmp_path, own=own, all=SHIPPED.replace("version: 1", "version: 3")))
    assert (for_all.of("acme").name, for_all.of("other").name) == ("conduct@7", "conduct@3")


def test_the_digest_changes_with_what_the_reader_is_told_and_with_nothing_else(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return PromptPacks.read(written(tmp_path, own=text)).of("acme").digest

    assert digest(SHIPPED) == digest(SHIPPED.replace("owner: callstream", "owner: 质检部"))
    assert digest(SHIPPED) != digest(SHIPPED.replace("资深质检员", "质检员"))
    assert digest(SHIPPED) != digest(SHIPPED.replace("坐席威胁客户", "坐席恐吓客户"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(("id: rude", "id: shirking"), "kind shirking occurs twice", id="a kind twice"),
        pytest.param(("id: rude", "id: Rude"), "kind Rude, field kinds.4.id", id="no slug"),
        pytest.param(("id: rude", f"id: {'r' * 41}"), "at most 40 characters", id="a name too long for a category"),
        pytest.param(("version: 1", "version: one"), "field version", id="no number"),
        pytest.param(("owner: callstream", "ower: callstream"), "field ower", id="an unknown field"),
        pytest.param(("role: customer", "role: unknown"), "field kinds.12.role", id="a role that nobody has"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    with pytest.raises(PromptPackError) as caught:
        PromptPacks.read(written(tmp_path, own=SHIPPED.replace(*change)))
    assert problem in str(caught.value)
    assert "own.yaml" in str(caught.value)


def test_two_packs_for_one_tenant_an_empty_folder_and_none_are_refused(tmp_path: Path) -> None:
    own = SHIPPED.replace("version: 1", "version: 7\ntenants: [acme]")
    with pytest.raises(PromptPackError, match="holds no prompt pack"):
        PromptPacks.read(tmp_path)
    with pytest.raises(PromptPackError, match="tenant acme has two prompt packs"):
        PromptPacks.read(written(tmp_path, one=own, two=own))
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(PromptPackError, match="are both for all tenants"):
        PromptPacks.read(written(tmp_path, one=SHIPPED, two=SHIPPED))
