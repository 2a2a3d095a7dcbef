"""How the proof's calls get in: recordings over HTTP as telephony sends them, transcripts as `publish` does."""

import base64
import json
from dataclasses import dataclass

import urllib3

from schemas.errors import EmbeddedStackError, RetryableError
from schemas.messages.topics import TRANSCRIPTS_RECEIVED
from streams.adapters.object_store.received import ReceivedStore
from streams.ports import PublisherPort
from streams.proof.secrets import ProofCall

ANSWER_WITHIN_S = 10.0


class EntranceRefusedError(EmbeddedStackError):
    """The stack does not take a call of the proof in; `status` is that of HTTP."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"serve refused a recording of the proof with status {status}")


@dataclass(frozen=True)
class HttpEntrance:
    """`url` is that of `serve`, `api_key` one of the tenant of the proof. May be used by several threads at once."""

    url: str
    api_key: str
    http: urllib3.PoolManager
    originals: ReceivedStore
    publisher: PublisherPort

    def require_answer(self) -> None:
        """Whether `serve` answers, whatever it says: to be asked once before hundreds of uploads try again for a while.

        Raises `RetryableError`.
        """
        try:
            self.http.request("GET", f"{self.url}/v1/health/live", retries=False, timeout=ANSWER_WITHIN_S)
        except urllib3.exceptions.HTTPError as error:
            raise self._unanswered(error) from None

    def take_in(self, call: ProofCall) -> None:
        """See `streams.proof.custody.Entrance`."""
        if call.transcript is not None:
            self.publisher.publish([TRANSCRIPTS_RECEIVED.record(self.originals.put(call.transcript))])
            return
        event = call.facts | {"customer": {"number": call.phone_number}}
        try:
            answer = self.http.request(
                "POST",
                f"{self.url}/v1/recordings",
                body=call.recording,
                headers={
                    "Authorization": f"Bearer {self.api_key}",
                    "Content-Type": "audio/wav",
                    "X-Callstream-Event": base64.urlsafe_b64encode(json.dumps(event).encode()).decode(),
                },
                retries=urllib3.Retry(8, status_forcelist=(429, 503), allowed_methods=None, backoff_factor=0.2),
            )
        except urllib3.exceptions.HTTPError as error:
            raise self._unanswered(error) from None
        if answer.status not in (200, 201):
            raise EntranceRefusedError(answer.status)

    def _unanswered(self, error: urllib3.exceptions.HTTPError) -> RetryableError:
        return RetryableError(
            f"serve does not answer at {self.url}: {type(error).__name__}; start it, or say with --url where it listens"
        )
