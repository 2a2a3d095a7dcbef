"""Where a call is opened at its second: the console of whoever runs callstream, as a template of links.

`https://console.example/calls/{tenant_id}/{call_id}?t={second}`; without placeholders the text is the beginning of
links that end in `/calls/TENANT/CALL?t=MILLISECONDS`.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

PLACEHOLDERS = ("tenant_id", "call_id", "second", "ms")
"""Of the moment `second` is whole seconds from the beginning of the recording, `ms` milliseconds."""

LINK_COLUMN = "call_url"
"""Of views: the link to the call of the row. What is kept or leaves the house has none: the console may move."""

_ADDRESS = re.compile(r"(?P<scheme>[a-z]+)://(?P<place>[^/?#]*)")
_HOST = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?")
_PLAIN_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PLACEHOLDER = re.compile(r"(\{[^{}]*\})")
_USUAL_CALL = "/calls/{tenant_id}/{call_id}"
_USUAL_MOMENT = "?t={ms}"


@dataclass(frozen=True)
class ConsoleUrl:
    """Links to calls; none where the text is empty. Raises `ValueError` for what is no template of links."""

    text: str = ""

    def __post_init__(self) -> None:
        if not self.text:
            return
        names = {part[1:-1] for part in _PLACEHOLDER.findall(self.text)}
        plain = _PLACEHOLDER.sub("x", self.text)
        if unknown := sorted(names - set(PLACEHOLDERS)):
            raise ValueError(f"there is no placeholder {{{unknown[0]}}}: there are {_listed(PLACEHOLDERS)}")
        if not re.fullmatch(r"[!#-&(-;=?-\[\]_a-z~]+", plain):
            raise ValueError("it must be a URL: no spaces, quotes, < > \\ ^ or `, and braces around placeholders alone")
        address = _ADDRESS.match(self.text)
        scheme, place = address.groups() if address else ("", "")
        host = _HOST.fullmatch(place)
        if scheme not in ("https", "http"):
            raise ValueError("it must begin with https://")
        if "{" in place:
            raise ValueError("placeholders belong behind the host")
        if host is None:
            raise ValueError("it needs a host, and neither a user nor a password")
        if scheme == "http" and not _is_loopback(host["host"].strip("[]")):
            raise ValueError("it must begin with https:// (http:// is for this machine alone: localhost or 127.0.0.1)")
        if names and "call_id" not in names:
            raise ValueError("it must have {call_id}, or else no placeholder at all")

    def __bool__(self) -> bool:
        return bool(self.text)

    def _template(self, *, with_moment: bool) -> str:
        if _PLACEHOLDER.search(self.text):
            return self.text
        return self.text.rstrip("/") + _USUAL_CALL + (_USUAL_MOMENT if with_moment else "")

    def link(self, tenant_id: str, call_id: str, at_ms: int | None = None) -> str:
        """To a call at a moment of its recording, or its beginning; empty without a console."""
        if not self:
            return ""
        values = {"{tenant_id}": _encoded(tenant_id), "{call_id}": _encoded(call_id)}
        values |= {"{second}": str((at_ms or 0) // 1000), "{ms}": str(at_ms or 0)}
        template = self._template(with_moment=at_ms is not None)
        return "".join(values.get(part, part) for part in _PLACEHOLDER.split(template))

    def sql(self, tenant: str, call: str, at_ms: str | None = None) -> str:
        """The same as SQL over these columns, which may be null: without a call there is no link."""
        if not self:
            return "''"
        values = {"{tenant_id}": f"encodeURLComponent(toString({tenant}))"}
        values |= {"{call_id}": f"encodeURLComponent(toString(assumeNotNull({call})))"}
        ms = "0" if at_ms is None else f"assumeNotNull(ifNull({at_ms}, 0))"
        values |= {"{second}": f"toString(intDiv({ms}, 1000))", "{ms}": f"toString({ms})"}

        def joined(template: str) -> str:
            parts = [values.get(part, _quoted(part)) for part in _PLACEHOLDER.split(template) if part]
            return f"concat({', '.join(parts)})"

        begin, moment = (joined(self._template(with_moment=is_told)) for is_told in (False, True))
        link = begin if at_ms is None or begin == moment else f"if(isNull({at_ms}), {begin}, {moment})"
        return f"if(isNull({call}), '', {link})"


NO_CONSOLE = ConsoleUrl()
"""No links at all."""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _encoded(text: str) -> str:
    """For any part of a URL."""
    return "".join(
        letter if letter in _PLAIN_LETTERS else "".join(f"%{byte:02X}" for byte in letter.encode()) for letter in text
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
