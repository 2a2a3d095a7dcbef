"""A system of one's own: the transcript in, findings out, signed like the webhooks of alerts."""

import json
from collections.abc import Mapping

from processors.alerts.signatures import standard_webhooks_key, standard_webhooks_signature
from processors.second_reading.question import NotReadError, Question
from processors.second_reading.verification import NO_JSON
from schemas.messages.classes import FindingSource
from streams.adapters.second_readers.exchange import Exchange
from streams.ports import Clock, ReadAnswer
from streams.settings import Settings


class HookReader:
    """Posts `{"type", "timestamp", "data"}` after Standard Webhooks, and reads `{"findings": […]}` (`SecondReader`)."""

    def __init__(self, settings: Settings, exchange: Exchange, clock: Clock) -> None:
        self.model = settings.second_reader_model or "hook"
        self.source: FindingSource = "hook"
        self._key = standard_webhooks_key(settings.second_reader_secret_key)
        self._exchange = exchange
        self._clock = clock

    def estimate(self, question: Question) -> int:
        """One for each character: tokens are what a system of one's own does not tell."""
        return question.characters

    def ask(self, question: Question) -> ReadAnswer:
        """See `SecondReader.ask`."""
        transcript = question.context.transcript
        # Of what was said and what is asked: whoever gets it twice may answer as before.
        message_id = f"msg_{question.digest[:32]}_{question.pack.digest}"
        content = {
            "type": "transcript.read",
            "timestamp": self._clock.now().isoformat(),
            "data": {
                "tenant_id": transcript.tenant_id,
                "call_id": transcript.call_id,
                "language": transcript.language,
                "prompt": question.pack.name,
                "kinds": [kind.model_dump() for kind in question.pack.kinds],
                "turns": [
                    {
                        "turn": passage.number,
                        "speaker": passage.role,
                        "start_ms": passage.start_ms,
                        "text": passage.utterance.text,
                    }
                    for passage in question.passages
                ],
            },
        }
        body = json.dumps(content, ensure_ascii=False).encode()

        def headers() -> Mapping[str, str]:
            timestamp_s = int(self._clock.now().timestamp())
            return {
                "Content-Type": "application/json; charset=utf-8",
                "webhook-id": message_id,
                "webhook-timestamp": str(timestamp_s),
                "webhook-signature": standard_webhooks_signature([self._key], message_id, timestamp_s, body),
            }

        raw = self._exchange.ask(body, headers)
        try:
            return ReadAnswer(raw.decode("utf-8"), None)
        except UnicodeDecodeError:
            raise NotReadError(NO_JSON) from None
