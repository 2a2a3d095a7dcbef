"""How findings are made, with an identity that every delivery gives again."""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from schemas.call_ended import Role
from schemas.finding import Finding, Severity
from schemas.transcript import Transcript

Attributes = dict[str, str | int | float | bool]


def finding_id(transcript: Transcript, detector: str, rule_id: str, rule_version: str, place: str) -> str:
    """uuid5 of call, detector, rule, rule version and place: the same on every delivery and after every replay.

    `place` is whatever tells apart the findings of one rule in one call, such as segment and characters, or a stretch
    of time.
    """
    parts = (transcript.tenant_id, transcript.call_id, detector, rule_id, rule_version, place)
    return str(uuid5(NAMESPACE_URL, "callstream:finding/" + "/".join(parts)))


@dataclass(frozen=True)
class CodeRule:
    """What a detector finds by code instead of by a lexicon. `version` rises with each change of what is found."""

    detector: str
    category: str
    version: str

    def finding(
        self,
        transcript: Transcript,
        place: str,
        *,
        role: Role,
        start_ms: int,
        end_ms: int,
        severity: Severity,
        attributes: Attributes,
        quote: str = "",
        matched: str = "",
    ) -> Finding:
        """A finding of this rule, whose id is `<detector>.<category>`; `place` as in `finding_id`."""
        rule_id = f"{self.detector}.{self.category}"
        return Finding(
            finding_id=finding_id(transcript, self.detector, rule_id, self.version, place),
            detector=self.detector,
            rule_id=rule_id,
            rule_version=self.version,
            category=self.category,
            role=role,
            start_ms=start_ms,
            end_ms=end_ms,
            quote=quote,
            matched=matched,
            severity=severity,
            attributes=attributes,
        )
