"""The life of an API key, without a register."""

from datetime import UTC, datetime, timedelta

import pytest

from processors.custody.api_keys import (
    LONGEST_OVERLAP,
    ApiKey,
    ApiKeyCommand,
    ApiKeyError,
    ApiScope,
    IssueKey,
    RevokeKey,
    RotateKey,
    after,
    decide,
    digest_of,
    is_key,
    parts_of,
    written,
)

NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
SECRET = "A" * 43
WRITE: frozenset[ApiScope] = frozenset({"recordings:write"})
ISSUE = IssueKey("aaaaaaaaaaaa", "acme", "exchange", WRITE, digest_of(SECRET), NOW + timedelta(days=365))
ROTATE = RotateKey("aaaaaaaaaaaa", "bbbbbbbbbbbb", digest_of("B" * 43), timedelta(hours=24), None)


def lived(*commands: ApiKeyCommand, now: datetime = NOW) -> dict[str, ApiKey]:
    """Every key that there is after these commands, at one moment."""
    keys: dict[str, ApiKey] = {}
    for command in commands:
        for event in decide(command, keys.get(command.key_id), now):
            named = after(event, keys.get(getattr(event, "key_id", "")))
            keys[named.key_id] = named
    return keys


def test_a_key_holds_from_its_issue_to_its_end() -> None:
    key = lived(ISSUE)["aaaaaaaaaaaa"]
    assert is_key(key, SECRET, NOW)
    assert is_key(key, SECRET, NOW + timedelta(days=365) - timedelta(microseconds=1))
    assert not is_key(key, SECRET, NOW + timedelta(days=365))


def test_a_key_without_an_end_holds_for_ever() -> None:
    key = lived(IssueKey("aaaaaaaaaaaa", "acme", "", WRITE, digest_of(SECRET), None))["aaaaaaaaaaaa"]
    assert is_key(key, SECRET, NOW + timedelta(days=36_500))


def test_another_secret_is_not_that_of_the_key_and_no_key_has_none() -> None:
    key = lived(ISSUE)["aaaaaaaaaaaa"]
    assert not is_key(key, "B" * 43, NOW)
    assert not is_key(key, "", NOW)
    assert not is_key(None, "", NOW)


def test_a_rotated_key_and_the_one_in_its_place_hold_together_for_the_overlap() -> None:
    keys = lived(ISSUE, ROTATE)
    former, fresh = keys["aaaaaaaaaaaa"], keys["bbbbbbbbbbbb"]
    assert (fresh.tenant_id, fresh.scopes, fresh.label) == ("acme", WRITE, "exchange")
    later = NOW + timedelta(hours=23)
    assert is_key(former, SECRET, later)
    assert is_key(fresh, "B" * 43, later)
    assert not is_key(former, SECRET, NOW + timedelta(hours=24))
    assert is_key(fresh, "B" * 43, NOW + timedelta(hours=24))


def test_rotation_never_lengthens_the_life_of_the_former_key() -> None:
    soon = NOW + timedelta(minutes=5)
    issue = IssueKey("aaaaaaaaaaaa", "acme", "exchange", WRITE, digest_of(SECRET), soon)
    assert lived(issue, ROTATE)["aaaaaaaaaaaa"].expires_at == soon


def test_a_revoked_key_ends_at_once_and_revoking_it_again_changes_nothing() -> None:
    revoked = lived(ISSUE, RevokeKey("aaaaaaaaaaaa"))["aaaaaaaaaaaa"]
    assert not is_key(revoked, SECRET, NOW)
    assert decide(RevokeKey("aaaaaaaaaaaa"), revoked, NOW + timedelta(days=1)) == ()


def test_revoking_the_former_key_leaves_the_one_in_its_place() -> None:
    keys = lived(ISSUE, ROTATE, RevokeKey("aaaaaaaaaaaa"))
    assert is_key(keys["bbbbbbbbbbbb"], "B" * 43, NOW)


@pytest.mark.parametrize(
    ("before", "command", "why"),
    [
        pytest.param((), RevokeKey("aaaaaaaaaaaa"), "there is no key", id="revoking what was never issued"),
        pytest.param((), ROTATE, "there is no key", id="rotating what was never issued"),
        pytest.param((ISSUE,), ISSUE, "already", id="an id that is in use"),
        pytest.param((ISSUE, RevokeKey("aaaaaaaaaaaa")), ROTATE, "revoked", id="a revoked key has no heir"),
        pytest.param((ISSUE, ROTATE), ROTATE, "rotated already", id="a second heir beside the first"),
        pytest.param(
            (ISSUE,),
            RotateKey("aaaaaaaaaaaa", "b" * 12, "", LONGEST_OVERLAP + timedelta(seconds=1), None),
            "overlap",
            id="an overlap without end",
        ),
        pytest.param(
            (ISSUE,),
            RotateKey("aaaaaaaaaaaa", "b" * 12, "", -timedelta(1), None),
            "overlap",
            id="an overlap in the past",
        ),
        pytest.param((), IssueKey("a" * 12, "acme", "", frozenset(), "", None), "scope", id="a key for nothing"),
        pytest.param((), IssueKey("a" * 12, "acme", "", WRITE, "", NOW), "future", id="a key that has expired"),
    ],
)
def test_what_cannot_be_done_is_said(before: tuple[ApiKeyCommand, ...], command: ApiKeyCommand, why: str) -> None:
    keys = lived(*before)
    with pytest.raises(ApiKeyError, match=why):
        decide(command, keys.get(command.key_id), NOW)


def test_a_key_is_written_and_read_again() -> None:
    assert parts_of(written("aaaaaaaaaaaa", SECRET)) == ("aaaaaaaaaaaa", SECRET)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("cs_aaaaaaaaaaaa", id="an id alone"),
        pytest.param("cs_aaaaaaaaaaaa_" + "A" * 42, id="a secret that is cut"),
        pytest.param("cs_aaaaaaaaaaaa_" + "A" * 44, id="a secret that is too long"),
        pytest.param("cs_AAAAAAAAAAAA_" + SECRET, id="an id of another alphabet"),
        pytest.param("cs_aaaaaaaaaaaa_" + SECRET + "\n", id="a line break behind it"),
        pytest.param("cs_../../../../a_" + SECRET, id="a path in place of the id"),
    ],
)
def test_what_is_no_key_is_not_looked_up(text: str) -> None:
    assert parts_of(text) is None


def test_an_event_of_another_key_is_refused() -> None:
    keys = lived(ISSUE, ROTATE)
    (event,) = decide(RevokeKey("aaaaaaaaaaaa"), keys["aaaaaaaaaaaa"], NOW)
    with pytest.raises(ValueError, match="another key"):
        after(event, keys["bbbbbbbbbbbb"])
