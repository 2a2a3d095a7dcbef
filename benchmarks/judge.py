"""How fast calls are judged, how that grows with the lexicon, and what matching words costs by other means.

    python benchmarks/judge.py [--repeats 3]

Calls of five minutes are put together from the dialogues of the example calls, and once from the example sentences of
the shipped rules. Times are processor time of one core; every figure is the median over the repeats, and what is
compared is measured in the same run.
"""

import argparse
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from flashtext import KeywordProcessor

from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.examples import check_examples, imagine_call
from processors.rules.rulebook import Rulebooks
from processors.text.normalized_text import normalize
from processors.text.phonetic import Sounds
from processors.text.phrases import STRICT, CompiledPhrase, PhraseIndex
from processors.text.syllables import syllables
from schemas.config.rule_pack import RulePack, load_rule_packs
from schemas.messages.call_ended import Role
from schemas.messages.transcript import AudioFacts, EngineIdentity, Interval, Segment, Transcript, Word

ROOT = Path(__file__).parents[1]
SEED = 7
CALL_MS = 300_000
MS_PER_LETTER = 200
PAUSE_MS = 600
CALLS = 24
WORDS_IN_LEXICON = 10_000
SIZES = (1_000, 10_000, 100_000)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
INDUSTRY = "finance"


Line = tuple[Role, str]


def dialogues() -> list[list[Line]]:
    """What is said in the example calls, turn by turn."""
    truth = json.loads((ROOT / "tests" / "data" / "calls_truth.json").read_text(encoding="utf-8"))
    return [[(turn["channel"], turn["text"]) for turn in call["turns"]] for call in truth.values()]


def demands(packs: Iterable[RulePack]) -> list[list[Line]]:
    """Pairs of sentences out of the examples of the rules: a call that is made of them is full of hits."""
    said = [
        line.partition("：")[2] or line
        for pack in packs
        for section, entry in pack.entries()
        for example in (*getattr(entry, "no_match", ()), *(getattr(entry, "match", ()) if section == "topics" else ()))
        for line in ((example,) if isinstance(example, str) else example)
    ]
    return [[("agent", one), ("customer", other)] for one, other in zip(said, reversed(said), strict=True)]


def five_minutes(source: Sequence[Sequence[Line]], chance: random.Random, number: int) -> Transcript:
    """A call of five minutes put together from dialogues in any order, with words as a recogniser gives them."""
    segments: list[Segment] = []
    at_ms = 300
    while at_ms < CALL_MS:
        for role, text in chance.choice(source):
            segments.append(spoken_segment(len(segments), role, at_ms, text))
            at_ms = segments[-1].end_ms + PAUSE_MS
    call = imagine_call(INDUSTRY, segments, call_id=f"c{number}", tenant_id="bench")
    speech: dict[Role, tuple[Interval, ...]] = {
        who: tuple(Interval(start_ms=s.start_ms, end_ms=s.end_ms) for s in segments if s.role == who)
        for who in ("agent", "customer")
    }
    return Transcript(
        tenant_id="bench",
        call_id=call.call_id,
        call=call,
        language="zh",
        engine=EngineIdentity(name="none", version="1", model="none"),
        audio=AudioFacts(container="wav", codec="pcm_s16le", sample_rate_hz=8_000, channels=2, duration_ms=at_ms),
        segments=tuple(segments),
        speech=speech,
        transcribed_at=NOW,
    )


def spoken_segment(number: int, role: Role, start_ms: int, text: str) -> Segment:
    """One turn, in words of two letters."""
    words = tuple(
        Word(
            start_ms=start_ms + MS_PER_LETTER * place,
            end_ms=start_ms + MS_PER_LETTER * min(place + 2, len(text)),
            text=text[place : place + 2],
            confidence=0.9,
        )
        for place in range(0, len(text), 2)
    )
    return Segment(
        segment_id=number,
        channel=0 if role == "agent" else 1,
        role=role,
        start_ms=start_ms,
        end_ms=start_ms + MS_PER_LETTER * len(text),
        text=text,
        words=words,
        confidence=0.9,
    )


def invented_words(count: int, chance: random.Random) -> list[str]:
    """Words of three to six characters that nobody says, no two alike."""
    characters = sorted(syllables())
    words: set[str] = set()
    while len(words) < count:
        words.add("".join(chance.choices(characters, k=chance.randint(3, 6))))
    return sorted(words)


def lexicon_of(words: Sequence[str]) -> RulePack:
    """A pack of sensitive words of a tenant's own."""
    common = {"category": "own", "severity": "low", "score_delta": 0, "advice": "x", "match": ["x"], "no_match": ["y"]}
    rules = [common | {"id": f"r{at}", "words": words[at : at + 50]} for at in range(0, len(words), 50)]
    return RulePack.model_validate(
        {"pack": "own", "version": 1, "industry": INDUSTRY, "owner": "bench", "sensitive_words": rules}
    )


def processor_s(work: Callable[[], object]) -> float:
    """Processor time of one run."""
    started = time.process_time()
    work()
    return time.process_time() - started


def median_s(work: Callable[[], object], repeats: int) -> float:
    """Of several runs, after one that is not counted."""
    work()
    return statistics.median(processor_s(work) for _ in range(repeats))


def judged(judge: Judge, calls: Iterable[Transcript]) -> None:
    """Each call, as an object."""
    for call in calls:
        judge.judge(call, NOW)


def judged_from_bytes(judge: Judge, encoded: Iterable[bytes]) -> None:
    """Each call as it comes from the topic, and its judgement as it goes to one."""
    for raw in encoded:
        judge.judge(Transcript.decode(raw), NOW).encode()


def throughput(repeats: int) -> None:
    """Calls judged per second and core, with all packs and a large lexicon of one's own."""
    packs = load_rule_packs()
    own = lexicon_of(invented_words(WORDS_IN_LEXICON, random.Random(SEED)))  # noqa: S311 - an example, not a secret
    judge = Judge(JudgeSettings(), rulebooks=Rulebooks((*packs, own)))
    rules = sum(1 for pack in packs for _ in pack.entries())
    print(f"{rules} rules and {WORDS_IN_LEXICON} more words; {CALLS} calls of five minutes")
    for name, source in (("of the example dialogues", dialogues()), ("of nothing but demands", demands(packs))):
        chance = random.Random(SEED)  # noqa: S311 - an example, not a secret
        calls = [five_minutes(source, chance, number) for number in range(CALLS)]
        encoded = [call.encode() for call in calls]
        letters = statistics.mean(sum(len(segment.text) for segment in call.segments) for call in calls)
        alone = median_s(partial(judged, judge, calls), repeats)
        whole = median_s(partial(judged_from_bytes, judge, encoded), repeats)
        print(f"  {name}, {letters:.0f} letters each")
        print(f"    judged:                  {CALLS / alone:6.0f} calls per second and core")
        print(f"    decoded, judged, encoded:{CALLS / whole:6.0f} calls per second and core")


def loading(repeats: int) -> None:
    """Reading the shipped packs, making them ready, running their examples."""
    packs = load_rule_packs()
    books = Rulebooks(packs)
    print("shipped packs")
    print(f"  read and checked:          {median_s(load_rule_packs, repeats):6.2f} s")
    print(f"  made ready:                {median_s(lambda: Rulebooks(packs), repeats):6.2f} s")
    print(f"  examples run:              {median_s(lambda: check_examples(books), repeats):6.2f} s")


def growth(repeats: int) -> None:
    """The time to look for sensitive words in the same calls, as the lexicon grows."""
    chance = random.Random(SEED)  # noqa: S311 - an example, not a secret
    source = dialogues()
    texts = [segment.text for n in range(CALLS) for segment in five_minutes(source, chance, n).segments]
    print("growth with the size of the lexicon")
    first = 0.0
    for size in SIZES:
        book = Rulebooks([lexicon_of(invented_words(size, random.Random(SEED)))]).book("bench", "zh", INDUSTRY)  # noqa: S311
        assert book is not None  # noqa: S101

        def look(book: object = book) -> None:
            for text in texts:
                normalized = normalize(text)
                book.words.find(normalized, book.index.places(normalized.letters))  # type: ignore[attr-defined]

        seconds = median_s(look, repeats)
        first = first or seconds
        ms_per_call = seconds / CALLS * 1000
        print(f"  {size:>7} words:             {ms_per_call:6.2f} ms per call, {seconds / first:.2f} × the first")


def other_means(repeats: int) -> None:
    """The same words in the same calls, as written only, by what else one would use."""
    chance = random.Random(SEED)  # noqa: S311 - an example, not a secret
    source = dialogues()
    texts = [
        normalize(segment.text).letters for n in range(CALLS) for segment in five_minutes(source, chance, n).segments
    ]
    # One word in twenty is really said.
    said = [text[2:6] for text in texts if len(text) > 6][: WORDS_IN_LEXICON // 20]
    words = sorted({*said, *invented_words(WORDS_IN_LEXICON - len(said), chance)})
    index = PhraseIndex([one for word in words for one in CompiledPhrase.of(word, None)], Sounds())
    by_sound = PhraseIndex([one for word in words for one in CompiledPhrase.of(word, STRICT)], Sounds())
    pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    flash = KeywordProcessor()
    flash.non_word_boundaries = set()
    flash.add_keywords_from_list(words)

    def with_find() -> int:
        return sum(text.find(word) >= 0 for text in texts for word in words)

    ours = median_s(lambda: [index.places(text) for text in texts], repeats)
    rows = {
        "ours, as written": ours,
        "ours, also by sound": median_s(lambda: [by_sound.places(text) for text in texts], repeats),
        "flashtext": median_s(lambda: [flash.extract_keywords(text) for text in texts], repeats),
        "re alternation": median_s(lambda: [pattern.findall(text) for text in texts], 1),
        "str.find in a loop": median_s(with_find, 1),
    }
    print(f"{len(words)} words in the same calls")
    for name, seconds in rows.items():
        print(f"  {name:<26} {seconds / CALLS * 1000:8.2f} ms per call, {seconds / ours:8.1f} × ours")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    throughput(repeats)
    loading(repeats)
    growth(repeats)
    other_means(repeats)


if __name__ == "__main__":
    main()
