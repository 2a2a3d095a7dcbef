"""What a second reader is asked about a call, as YAML (`docs/second-reader.md`).

`prompt_packs/` beside this file is shipped; a setting names a folder with one's own, for a tenant or for all.
"""

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.config.yaml_files import Location, YamlFileError, find_repeated, read_yaml_file
from schemas.messages.message import Record, ShortText, Slug, TenantId

PROMPT_PACK_FOLDER = Path(__file__).parent / "prompt_packs"
"""The packs that are shipped."""

MAX_INSTRUCTIONS = 20_000


class PromptPackError(YamlFileError):
    """A prompt pack cannot be used; `problems` are sentences that name file, line, entry and field."""


class PromptKind(Record):
    """One kind of thing to look for. A quote counts only where the speaker of that role said it."""

    id: Slug = Field(max_length=40, description="findings are of the category second_reader_<id>")
    role: Literal["agent", "customer"] = "agent"
    means: str = Field(min_length=1, max_length=1_000, description="what the reader is told about it")


class PromptPack(Record):
    """The instructions, and the closed list of kinds that an answer may name.

    The pack of a tenant takes the place of the one for all. Raise `version` with every change: calls that are replayed
    are then read again, and earlier answers stay valid for the version that they were given to.
    """

    id: Slug
    version: int = Field(ge=1, le=1_000_000)
    tenants: tuple[TenantId, ...] = Field(default=(), description="whose calls; none: all that have no other pack")
    languages: tuple[str, ...] = Field(default=("zh", "yue"), min_length=1, description="of calls that are read")
    owner: ShortText
    instructions: str = Field(min_length=1, max_length=MAX_INSTRUCTIONS)
    kinds: tuple[PromptKind, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _names_each_kind_once(self) -> Self:
        if repeated := find_repeated(kind.id for kind in self.kinds):
            raise ValueError("; ".join(f"kind {name} occurs twice" for name in repeated))
        return self

    @property
    def name(self) -> str:
        """`conduct@1`, as findings name it."""
        return f"{self.id}@{self.version}"

    @cached_property
    def digest(self) -> str:
        """Changes with whatever the reader is told, also where somebody forgot to raise the version."""
        return sha256(self.model_dump_json(exclude={"tenants", "owner"}).encode()).hexdigest()[:16]


class PromptPacks:
    """Which pack is for whom."""

    def __init__(self, packs: Mapping[TenantId, PromptPack], for_all: PromptPack) -> None:
        self._packs = dict(packs)
        self._for_all = for_all

    def of(self, tenant_id: str) -> PromptPack:
        """The pack of a tenant, or the one for all."""
        return self._packs.get(tenant_id, self._for_all)

    @classmethod
    def read(cls, folder: Path | None = None) -> Self:
        """The shipped pack, and those of a folder in its place. Raises `PromptPackError`."""
        (for_all,) = _read_folder(PROMPT_PACK_FOLDER)
        packs: dict[TenantId, PromptPack] = {}
        own_for_all: PromptPack | None = None
        problems: list[str] = []
        for pack in _read_folder(folder) if folder is not None else ():
            if not pack.tenants:
                if own_for_all is not None:
                    problems.append(f"{folder}: {own_for_all.id} and {pack.id} are both for all tenants: name some")
                own_for_all = pack
            for tenant in pack.tenants:
                if tenant in packs:
                    problems.append(f"{folder}: tenant {tenant} has two prompt packs, {packs[tenant].id} and {pack.id}")
                packs[tenant] = pack
        if problems:
            raise PromptPackError(problems)
        return cls(packs, own_for_all or for_all)


def _read_folder(folder: Path) -> list[PromptPack]:
    files = sorted(path for path in folder.glob("*") if path.suffix in (".yaml", ".yml"))
    if not files:
        raise PromptPackError([f"{folder}: holds no prompt pack (*.yaml)"])
    problems: list[str] = []
    packs: list[PromptPack] = []
    for file in files:
        try:
            packs.append(read_yaml_file(file, PromptPack, _kind_of).content)
        except YamlFileError as error:
            problems += error.problems
    if problems:
        raise PromptPackError(problems)
    return packs


def _kind_of(content: Mapping[Any, Any], location: Location) -> str:
    if len(location) < 2 or location[0] != "kinds" or not isinstance(location[1], int):
        return ""
    kind = content["kinds"][location[1]]
    name = kind.get("id") if isinstance(kind, dict) else None
    return f"kind {name if isinstance(name, str) else location[1] + 1}"
