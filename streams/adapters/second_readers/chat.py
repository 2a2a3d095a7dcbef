"""`/v1/chat/completions`, as OpenAI defined it and vLLM, llama.cpp and cloud providers speak it."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from processors.second_reading.question import NotReadError, Question
from processors.second_reading.verification import WRONG_SCHEMA, answer_schema
from schemas.messages.classes import FindingSource
from streams.adapters.second_readers.exchange import Exchange
from streams.ports import ReadAnswer
from streams.settings import Settings

CUT = "answer_cut"


class _Tolerant(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _ChatMessage(_Tolerant):
    content: str


class _Choice(_Tolerant):
    message: _ChatMessage
    finish_reason: str | None = None


class _Usage(_Tolerant):
    total_tokens: int = Field(ge=0, le=100_000_000)


class _Completion(_Tolerant):
    choices: tuple[_Choice, ...] = Field(min_length=1)
    usage: _Usage | None = None


class ChatReader:
    """A language model behind a chat endpoint (`SecondReader`)."""

    def __init__(self, settings: Settings, exchange: Exchange) -> None:
        self.model = settings.second_reader_model
        self.source: FindingSource = "second_reader"
        self._key = settings.second_reader_secret_key.get_secret_value()
        self._most_tokens = settings.second_reader_max_tokens
        self._format = settings.second_reader_format
        self._exchange = exchange

    def estimate(self, question: Question) -> int:
        """Tokens at most: one for each character that is sent, and the answer."""
        return question.characters + len(_compact(question)) + self._most_tokens

    def ask(self, question: Question) -> ReadAnswer:
        """See `SecondReader.ask`."""
        body = json.dumps(self._request(question), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        raw = self._exchange.ask(body, lambda: headers)
        try:
            completion = _Completion.model_validate_json(raw)
        except ValidationError:
            raise NotReadError(WRONG_SCHEMA) from None
        choice = completion.choices[0]
        if choice.finish_reason == "length":
            raise NotReadError(CUT)
        return ReadAnswer(choice.message.content, completion.usage.total_tokens if completion.usage else None)

    def _request(self, question: Question) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": f"{question.instructions}\n\nJSON Schema:\n{_compact(question)}"},
                {"role": "user", "content": question.turns},
            ],
            "temperature": 0,
            "max_tokens": self._most_tokens,
            "stream": False,
        }
        if self._format == "json_schema":
            schema = {"name": "findings", "strict": True, "schema": answer_schema(question)}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self._format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request


def _compact(question: Question) -> str:
    return json.dumps(answer_schema(question), ensure_ascii=False, separators=(",", ":"))
