"""Calls that carry secrets: numbers that nobody else has, in words and in sound, to be looked for afterwards.

Not one of them may lie in clear in anything that a stack writes. Beside them each call carries a mark that is no
secret: where that is not found, the search is blind. And each has an order, and words if it is told, that nobody else
has: they lie in clear until the customer is erased.
"""

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.listening.audio import DecodeLimits, Recording, decode
from processors.listening.renditions import render
from schemas.messages.call_ended import CallFacts
from schemas.messages.transcript_received import ReceivedUtterance, TranscriptReceived

TENANT = "custody-proof"
CALL_SECONDS = 7
SAMPLE_BYTES = 48
SAMPLES_PER_RECORDING = 6
_NOISE = 40
"""So loud, of 32,767: nobody hears it, and no two recordings have a sample in common."""

_NOUNS = (
    "苹果钥匙窗帘铅笔雨伞积木风筝饼干手套帽子电池拖鞋毛巾茶杯口琴吉他沙发台灯"
    "枕头相机手表贝壳松果蘑菇土豆番茄葡萄西瓜香蕉牛奶面包蛋糕糖果剪刀镜子地毯书包橡皮"
)
"""Of two letters each."""

_NOUNS_OF_A_PHRASE = 6
"""So that no two phrases are alike; and nothing in them that masking takes for a name or a place."""

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"


@dataclass(frozen=True)
class PlantedSecret:
    """What must not be found, as bytes; `what` says what it is, and never which."""

    what: str
    call_id: str
    content: bytes


@dataclass(frozen=True)
class ProofCall:
    """A call to be taken in: with a recording, or with what was said. `phrases` are said in it and nowhere else."""

    facts: dict[str, Any]
    secrets: tuple[PlantedSecret, ...]
    phone_number: str
    recording: bytes = b""
    transcript: TranscriptReceived | None = None
    phrases: tuple[str, ...] = ()

    @property
    def call_id(self) -> str:
        return str(self.facts["call_id"])


@dataclass
class ProofCalls:
    """Makes calls, no two alike, from a seed; `speech` is what their recordings sound like, of any format.

    `customer_fields` makes of a phone number what an event of a call that is told says of its customer. Calls of the
    first `remember_customers` customers are kept in `remembered`, and of the others the last one.
    """

    seed: str
    now: datetime
    speech: Sequence[bytes]
    customer_fields: Callable[[str], Mapping[str, object]] = lambda _number: {}
    remember_customers: int = 0
    mark: str = ""
    """Stands in every event as its queue, in clear."""
    remembered: list[ProofCall] = field(default_factory=list, init=False)
    another: ProofCall | None = field(default=None, init=False)
    _chance: random.Random = field(init=False)
    _used: set[str] = field(default_factory=set, init=False)
    _sounds: list[Recording] = field(default_factory=list, init=False)
    _phone_numbers: dict[int, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - to be repeated, and nobody's secret
        self.mark = f"mark-{self._chance.getrandbits(64):016x}"
        self._sounds = [decode(one, DecodeLimits(600_000)) for one in self.speech]

    @property
    def since(self) -> datetime:
        """All of them ended later."""
        return self.now - timedelta(days=2)

    def make(self, number: int, *, with_recording: bool, customer: int | None = None) -> ProofCall:
        """The call of that number, of the customer of that number; each call has one of its own where none is named."""
        customer = number if customer is None else customer
        if customer not in self._phone_numbers:
            self._phone_numbers[customer] = self._new(self._phone_number)
        ended_at = self.now - timedelta(minutes=1, seconds=self._chance.randrange(86_400))
        call_id = f"{self.mark}-{number:06d}"
        facts: dict[str, Any] = {
            "tenant_id": TENANT,
            "call_id": call_id,
            "direction": self._chance.choice(("inbound", "outbound")),
            "started_at": (ended_at - timedelta(seconds=CALL_SECONDS)).isoformat(),
            "ended_at": ended_at.isoformat(),
            "agent": {"id": f"proof-{number % 20}"},
            "queue": self.mark,
            "order_id": f"order-{self._chance.getrandbits(64):016x}",
        }
        phone = self._phone_numbers[customer]
        call = self._recorded(facts, number, phone) if with_recording else self._told(facts, phone)
        if customer < self.remember_customers:
            self.remembered.append(call)
        else:
            self.another = call
        return call

    def _recorded(self, facts: dict[str, Any], number: int, phone: str) -> ProofCall:
        wav = self._recording(number)
        secrets = [PlantedSecret("a phone number of a customer", facts["call_id"], phone.encode())]
        # Some bytes behind the header, which all recordings share.
        places = [self._chance.randrange(100, len(wav) - SAMPLE_BYTES) for _ in range(SAMPLES_PER_RECORDING)]
        secrets += [PlantedSecret("a recording", facts["call_id"], wav[at : at + SAMPLE_BYTES]) for at in places]
        peaks = render(wav, DecodeLimits(600_000)).peaks
        stretches = [peaks[at : at + SAMPLE_BYTES] for at in range(24, len(peaks) - SAMPLE_BYTES, SAMPLE_BYTES)]
        # The liveliest: the waveform of a silence looks like that of any other.
        liveliest = max(stretches, key=lambda one: len(set(one)))
        secrets.append(PlantedSecret("a waveform", facts["call_id"], liveliest))
        return ProofCall(facts, tuple(secrets), phone, recording=wav)

    def _recording(self, number: int) -> bytes:
        """Speech with a noise of its own, as WAV."""
        sound = self._sounds[number % len(self._sounds)]
        count = CALL_SECONDS * sound.channels[0].sample_rate_hz
        noise = np.random.default_rng(self._chance.getrandbits(64))
        channels = [
            np.clip(
                np.resize(one.pcm, count).astype(np.int32) + noise.integers(-_NOISE, _NOISE + 1, count), -32768, 32767
            )
            for one in sound.channels
        ]
        return wav_of(np.stack(channels).astype(np.int16), sound.channels[0].sample_rate_hz)

    def _told(self, facts: dict[str, Any], customer_number: str) -> ProofCall:
        phone, identity, card = (
            self._new(one) for one in (self._phone_number, self._identity_number, self._card_number)
        )
        told, quoted = self._new(self._phrase), self._new(self._phrase)
        said = (
            ("agent", "您好，很高兴为您服务，请问有什么可以帮您？"),
            ("customer", f"你好，我想改一下登记的信息，我的手机号是{phone}。"),
            ("agent", "好的，请您报一下身份证号码。"),
            ("customer", f"身份证号码是{identity}。"),
            ("agent", "请问您的银行卡号是多少？"),
            ("customer", f"银行卡号是{card}，麻烦您核对一下。"),
            ("customer", f"还有，我买的是{told}。"),
            ("agent", f"您都说了几遍了，{quoted}，我记下了。"),
            ("agent", "好的，已经为您登记，感谢您的来电，再见。"),
        )
        transcript = TranscriptReceived(
            call=CallFacts.model_validate(facts | {"customer": self.customer_fields(customer_number)}),
            utterances=tuple(ReceivedUtterance.model_validate({"role": role, "text": text}) for role, text in said),
        )
        kinds = (("a phone number", phone), ("a resident ID", identity), ("a bank card", card))
        secrets = tuple(PlantedSecret(what, facts["call_id"], text.encode()) for what, text in kinds)
        return ProofCall(facts, secrets, customer_number, transcript=transcript, phrases=(told, quoted))

    def _new(self, make: Callable[[], str]) -> str:
        """One that was not given out before."""
        while True:
            text = make()
            if text not in self._used:
                self._used.add(text)
                return text

    def _digits(self, count: int) -> str:
        return "".join(str(self._chance.randrange(10)) for _ in range(count))

    def _phrase(self) -> str:
        starts = (2 * self._chance.randrange(len(_NOUNS) // 2) for _ in range(_NOUNS_OF_A_PHRASE))
        return "".join(_NOUNS[start : start + 2] for start in starts)

    def _phone_number(self) -> str:
        return self._chance.choice(("138", "139", "150", "186", "177")) + self._digits(8)

    def _identity_number(self) -> str:
        year, month, day = (self._chance.randrange(*span) for span in ((1950, 2005), (1, 13), (1, 29)))
        born = f"{year}{month:02d}{day:02d}"
        body = self._chance.choice(("110101", "310104", "440305", "330106")) + born + self._digits(3)
        check = sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11
        return body + _CHECKS[check]

    def _card_number(self) -> str:
        """Sixteen digits that end as Luhn (US patent 2,950,048) says."""
        body = "6222" + self._digits(11)
        doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(body)]
        return body + str(-sum(one - 9 if one > 9 else one for one in doubled) % 10)


def wav_of(samples: NDArray[np.int16], rate_hz: int) -> bytes:
    """A WAV file of samples of the shape (channels, n)."""
    channels, data = samples.shape[0], samples.T.tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate_hz, rate_hz * 2 * channels, 2 * channels, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data))
    return head + data
