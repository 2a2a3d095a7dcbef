"""A chat endpoint that answers by what it is told to look for, and misbehaves where a test wants it to."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.receiver import Receiver, Reply, Request, running_receiver

PLANTED = {
    "包您稳赚不赔": "false_promise",
    "加我私人微信转账": "private_dealing",
    "我要去银保监会投诉": "complaint_threat",
}
"""What it finds, and as what."""


def completion(content: str, *, tokens: int | None = 321, finish: str = "stop") -> Reply:
    """An answer as chat endpoints give it."""
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}],
    }
    if tokens is not None:
        body["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": tokens}
    return Reply(200, {"content-type": "application/json"}, json.dumps(body, ensure_ascii=False).encode())


def found_in(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The planted sentences that were said."""
    return [
        {"kind": kind, "turn": turn["turn"], "quote": words, "confidence": 0.8}
        for turn in turns
        for words, kind in PLANTED.items()
        if words in turn["text"]
    ]


def turns_of(request: Request) -> list[dict[str, Any]]:
    """The transcript as it was sent."""
    content = json.loads(request.body)["messages"][-1]["content"]
    return [json.loads(line) for line in content.splitlines()]


@dataclass
class ChatServer:
    """Answers every question by sense, unless `answer` says otherwise for its turns."""

    receiver: Receiver
    answer: Callable[[list[dict[str, Any]]], Reply | None] = field(default=lambda _turns: None)

    @property
    def url(self) -> str:
        return self.receiver.url("/v1/chat/completions")

    @property
    def asked(self) -> list[list[str]]:
        """What was said in each call that was asked about."""
        return [[turn["text"] for turn in turns_of(request)] for request in self.receiver.requests]

    def choose(self, request: Request) -> Reply:
        turns = turns_of(request)
        return self.answer(turns) or completion(json.dumps({"findings": found_in(turns)}, ensure_ascii=False))


@contextmanager
def running_chat_server() -> Iterator[ChatServer]:
    with running_receiver() as receiver:
        server = ChatServer(receiver)
        receiver.choose = server.choose
        yield server
