"""Commands of rules and replay on a broker in memory."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.config.rule_pack import RulePack, parse_rule_pack
from schemas.messages.records import ProducerRecord
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import CALLS_TRANSCRIBED, RULES_PUBLISHED
from schemas.messages.transcript import Transcript
from streams.adapters.memory.broker import MemoryBroker, MemoryReader
from streams.settings import Settings

PUBLISHED_AT = datetime(2026, 3, 2, 10, 15, tzinfo=UTC)

PACK = """\
pack: desk
version: {version}
industry: finance
owner: 合规部
sensitive_words:
  - id: golden_key
    category: forbidden_promise
    severity: {severity}
    score_delta: -60
    words: [金钥匙名单]
    advice: 不得提及金钥匙名单。
    match: [{match}]
    no_match: [请您走官方渠道]
"""


def pack_text(version: int = 1, severity: str = "high", match: str = "我帮您进金钥匙名单") -> str:
    """A pack as a person writes it; with another `match`, one whose example does not hold."""
    return PACK.format(version=version, severity=severity, match=match)


def pack(version: int = 1, severity: str = "high", match: str = "我帮您进金钥匙名单") -> RulePack:
    """The same, read."""
    return parse_rule_pack("desk.yaml", pack_text(version, severity, match))


class Broker(MemoryBroker):
    """Stands in for Kafka in commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        broker = self

        class Publisher:
            def __init__(self, _settings: Settings, again: str = "") -> None: ...

            def publish(self, outputs: Iterable[ProducerRecord]) -> None:
                broker.publish(outputs)

            def close(self) -> None: ...

        def reader(_settings: Settings, topic: str, since: datetime | None = None) -> MemoryReader:
            return MemoryReader(broker, topic, since)

        monkeypatch.setattr("streams.adapters.kafka.by_hand.publisher_by_hand", Publisher)
        monkeypatch.setattr("streams.adapters.kafka.client.TopicReader", reader)

    def publish_rules(self, *packs: RulePack | bytes, by: str = "tests") -> None:
        """Past the command, as anybody may who reaches the topic."""
        for one in packs:
            if isinstance(one, bytes):
                self.publish([ProducerRecord(RULES_PUBLISHED.name, b"x", one)])
                continue
            message = RulesPublished(pack=one, published_at=PUBLISHED_AT, published_by=by)
            self.publish([RULES_PUBLISHED.record(message)])

    def hear(self, calls: Sequence[Transcript]) -> None:
        """Transcripts as `listen` writes them."""
        self.publish(CALLS_TRANSCRIBED.record(one) for one in calls)

    def messages(self, topic: Any) -> list[Any]:
        """What stands in a topic, decoded."""
        return [topic.decode(record.value) for record in self.records[topic.name]]
