"""Makes heads from labelled data. Needs scikit-learn (`pip install 'callstream[train]'`); what it makes does not."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from processors.emotion.corpora import (
    DataError,
    LabelledHistory,
    LabelledSound,
    LabelledText,
    SpeakerKey,
    histories,
    read_labelled,
)
from processors.emotion.encoder import StatesEncoder
from processors.emotion.features import PLAIN, FeatureTable, Variation, features_of
from processors.emotion.fusion import Fusion, Witness
from processors.emotion.heads import save_fusion, save_sound_head, save_text_head
from processors.emotion.prosody import PROSODY_FEATURES
from processors.emotion.reading import AGITATED_CLASS, log_odds, probability_of
from processors.emotion.sound_head import SoundFeatures, SoundHead, SoundHeads, SpeakerHistory, SpeakerPrior
from processors.emotion.text_head import GramModel, TextHead, gram_counts, spoken_characters
from schemas.errors import OperatorError

# All of this was chosen by leaving one speaker out (docs/accuracy.md), none of it by looking at a test set.
MEAN_STRENGTH = 300.0
SPREAD_STRENGTH = 100.0
ORDERS = 2
"""How often each speaker's segments are put into another order: a head must cope with any history."""
CALM_OF_AGITATED, CALM_OF_OTHERS = 0.2, 0.8
"""With what weight training counts a segment among its speaker's calm ones: a head at run time is not sure either."""
AGITATED_WEIGHT = 3.0
STATES_PENALTY = 200.0
PROSODY_PENALTY = 50.0
VARIATIONS: Final = (
    PLAIN,
    Variation("packed"),
    Variation("line", seed=2, gain_db=(-13, 7), speed=(0.88, 1.15), snr_db=(12, 28)),
    Variation("short", seed=3, gain_db=(-6, 6), length_ms=(450, 1_200)),
)

TEXT_BUCKETS = 1 << 17
TEXT_MIN_COUNT = 2
TEXT_PENALTY = 0.1
TEXT_AGITATED_WEIGHT = 2.0
HELD_OUT_SHARE = 0.2

BASE_RATE = 0.4
"""Where F1 of speakers who were left out is highest: the middle of a flat top."""
SOUND_SHARE_OF_VALENCE = 0.35
SOUND_WITNESS: Final = Witness(found=0.56, mistaken=0.11)
TEXT_WITNESS: Final = Witness(found=0.32, mistaken=0.04)
"""What sound and words find, and mistake, in corpora that they were not trained with, for a call is another corpus too:
geometric means over both directions, because evidence is a logarithm."""

FOLDS = 5
"""Into so many groups speakers are parted at most, to judge each by heads that never met them."""
MIN_PAIRED = 20
"""As many agitated segments and as many others, with sound and words, are needed to learn the fusion."""
MIN_AGITATED = 5
MIN_REST = 5

TellStep = Callable[[str], None]


class TrainingError(OperatorError):
    """Training cannot be done; the text says what is missing."""

    exit_code = 1


@dataclass(frozen=True)
class Varied:
    """Labelled sounds with their features under one variation."""

    examples: tuple[LabelledSound, ...]
    table: FeatureTable

    def only(self, speakers: Collection[SpeakerKey]) -> "Varied":
        """The sounds of these speakers."""
        return self._of([each.speaker_key in speakers for each in self.examples])

    def without(self, speakers: Collection[SpeakerKey]) -> "Varied":
        """The sounds of all other speakers."""
        return self._of([each.speaker_key not in speakers for each in self.examples])

    def _of(self, kept: Sequence[bool]) -> "Varied":
        examples = tuple(each for each, stays in zip(self.examples, kept, strict=True) if stays)
        rows = np.array(kept, dtype=np.bool_)
        return Varied(examples, FeatureTable(self.table.rows[rows], self.table.heard[rows]))

    def prosody(self) -> "Varied":
        """The same sounds with prosody alone, without encoder states."""
        return replace(self, table=replace(self.table, rows=self.table.rows[:, -len(PROSODY_FEATURES) :]))

    def rows_of_speakers(self) -> list[NDArray[np.float32]]:
        """The features that were heard, one array for each speaker."""
        rows: dict[SpeakerKey, list[int]] = {}
        for row in np.flatnonzero(self.table.heard).tolist():
            rows.setdefault(self.examples[row].speaker_key, []).append(row)
        return [self.table.rows[own] for _key, own in sorted(rows.items())]

    def histories(self) -> list[LabelledHistory]:
        """The rows that were heard, in groups of one speaker."""
        return histories(self.examples, np.flatnonzero(self.table.heard).tolist())


@dataclass(frozen=True)
class Trained:
    """The files that training has written, and how much data they are based on."""

    files: tuple[Path, ...]
    sounds: int
    speakers: int
    agitated_sounds: int
    texts: int
    agitated_texts: int
    polar_texts: int


def train(
    data: Sequence[Path],
    out: Path,
    encoder: StatesEncoder,
    *,
    cache: Path | None = None,
    say: TellStep = lambda _: None,
) -> Trained:
    """Train every head for which there is labelled data in the folders and write it to `out`.

    A head without data is not written: `load_heads` then takes the shipped one. Raises `DataError` where the data
    cannot be used or is too little, `TrainingError` without scikit-learn.
    """
    require_scikit_learn()
    found = [read_labelled(folder) for folder in data]
    sounds = tuple(each for one in found for each in one.sounds)
    texts = tuple(each for one in found for each in one.texts)
    polar = tuple(each for one in found for each in one.polar)
    if not sounds and not texts:
        raise DataError("texts that are negative or positive do not say who is agitated: add sounds or texts that do")
    _check_enough("sounds", [each.is_agitated for each in sounds])
    _check_enough("texts", [each.is_agitated for each in texts])
    files: list[Path] = []
    fusion = DEFAULT_FUSION
    if sounds:
        varied = varied_features(sounds, encoder, cache, say)
        say("fitting the sound heads")
        heads = fit_sounds(varied, encoder.name)
        files.extend(save_sound_head(head, out) for head in (heads.states, heads.prosody) if head)
        if _are_paired(sounds):
            say("learning how far to believe sound and words")
            fusion = fit_fusion(varied, encoder.name)
    if texts:
        say("fitting the text head")
        files.append(save_text_head(fit_text(texts, polar), out))
    files.append(save_fusion(fusion, out))
    return Trained(
        files=tuple(files),
        sounds=len(sounds),
        speakers=len({each.speaker_key for each in sounds}),
        agitated_sounds=sum(each.is_agitated for each in sounds),
        texts=len(texts),
        agitated_texts=sum(each.is_agitated for each in texts),
        polar_texts=len(polar),
    )


DEFAULT_FUSION: Final = Fusion(
    sound=SOUND_WITNESS,
    text=TEXT_WITNESS,
    base_rate=BASE_RATE,
    sound_share_of_valence=SOUND_SHARE_OF_VALENCE,
    words_may_calm=False,
)


def require_scikit_learn() -> None:
    """Raises `TrainingError` where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401 - only to know whether it is there
    except ModuleNotFoundError:
        raise TrainingError("training needs scikit-learn: run `pip install 'callstream[train]'`") from None


def varied_features(
    sounds: Sequence[LabelledSound],
    encoder: StatesEncoder | None,
    cache: Path | None = None,
    say: TellStep = lambda _: None,
) -> list[Varied]:
    """The sounds under every variation that training uses; the first one is `PLAIN`."""
    result = []
    for number, variation in enumerate(VARIATIONS, start=1):
        say(f"features of {len(sounds)} sounds, variation {number} of {len(VARIATIONS)} ({variation.name})")
        result.append(Varied(tuple(sounds), features_of(sounds, variation, encoder, cache)))
    return result


def fit_sound(varied: Sequence[Varied], encoder: str | None) -> SoundHead:
    """A sound head from labelled sounds under any number of variations, its evidence set right by speakers that it was
    not fitted to (Platt scaling, as in `fit_text`). The head that is returned is fitted to all of them.
    """
    head = _fit_sound(varied, encoder)
    plain = varied[0]
    evidence: list[float] = []
    labels: list[bool] = []
    for apart in _folds({each.speaker_key for each in plain.examples}):
        others, own = [each.without(apart) for each in varied], plain.only(apart)
        if not _has_both(others[0].examples):
            continue
        unmet = _fit_sound(others, encoder)
        random = np.random.default_rng(0)
        for group in own.histories():
            ear = unmet.of_speaker()
            for row in group.order(random):
                evidence.append(ear.read(own.table.rows[row]).evidence)
                labels.append(own.examples[row].is_agitated)
    if not any(labels) or all(labels):
        return head
    slope, offset = _platt(evidence, labels)
    return replace(head, slope=slope, offset=slope * head.offset + offset)


def fit_sounds(varied: Sequence[Varied], encoder: str | None) -> SoundHeads:
    """The sound head with encoder states (none without an encoder) and the one without them."""
    states = fit_sound(varied, encoder) if encoder is not None else None
    return SoundHeads(states, fit_sound([each.prosody() for each in varied], None))


def _folds(speakers: Collection[SpeakerKey]) -> list[frozenset[SpeakerKey]]:
    """The speakers in groups of about the same size; none where there is only one."""
    ordered, folds = sorted(speakers), min(FOLDS, len(speakers))
    return [frozenset(ordered[fold::folds]) for fold in range(folds)] if folds > 1 else []


def _has_both(examples: Sequence[LabelledSound]) -> bool:
    agitated = sum(each.is_agitated for each in examples)
    return 0 < agitated < len(examples)


def _platt(evidence: Sequence[float], labels: Sequence[bool]) -> tuple[float, float]:
    """Slope and offset that make true log likelihood ratios of evidence.

    J. Platt, Probabilistic outputs for support vector machines, 1999: log odds = a + b · score. With the share of
    agitated examples as its base, the evidence is b · score + a − ln(share / (1 − share)).
    """
    model = _logistic_regression(1e-3, None).fit([[each] for each in evidence], labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0]) - log_odds(sum(labels) / len(labels))


def _fit_sound(varied: Sequence[Varied], encoder: str | None) -> SoundHead:
    """A sound head whose evidence holds for the speakers that it is fitted to.

    Every speaker's segments pass through the same `SpeakerHistory` as at run time, in random orders.
    """
    prior = _prior(varied)
    random = np.random.default_rng(0)
    rows: list[SoundFeatures] = []
    labels: list[str] = []
    for each in varied:
        for group in each.histories():
            for _ in range(ORDERS):
                history = SpeakerHistory(prior)
                for row in group.order(random):
                    features, example = each.table.rows[row], each.examples[row]
                    rows.append(history.relative(features))
                    labels.append(class_of(example.label))
                    history.remember(features, CALM_OF_AGITATED if example.is_agitated else CALM_OF_OTHERS)
    weight = {name: AGITATED_WEIGHT if name == AGITATED_CLASS else 1.0 for name in set(labels)}
    penalty = PROSODY_PENALTY if encoder is None else STATES_PENALTY
    model = _logistic_regression(penalty, weight).fit(np.stack(rows), labels)
    classes, weights, biases = _softmax_rows(model)
    agitated = labels.count(AGITATED_CLASS)
    share = AGITATED_WEIGHT * agitated / (AGITATED_WEIGHT * agitated + len(labels) - agitated)
    return SoundHead(encoder, classes, weights, biases, prior, slope=1.0, offset=-log_odds(share))


def class_of(label: str) -> str:
    """The class that a label is trained as."""
    return AGITATED_CLASS if label == "agitated" else label


def split_texts(texts: Sequence[LabelledText]) -> tuple[list[LabelledText], list[LabelledText]]:
    """Four fifths of the texts and the rest, at random but always the same."""
    order = np.random.default_rng(0).permutation(len(texts))
    held_out = set(order[: int(len(texts) * HELD_OUT_SHARE)].tolist())
    kept = [each for row, each in enumerate(texts) if row not in held_out]
    return kept, [each for row, each in enumerate(texts) if row in held_out]


def fit_text(texts: Sequence[LabelledText], polar: Sequence[LabelledText] = ()) -> TextHead:
    """A text head from labelled texts, its evidence set right by texts that it was not fitted to (Platt scaling).

    The head that is returned is fitted to all of them. `polar` are texts of which no more is known than whether they
    are negative or positive.
    """
    kept, held_out = split_texts(texts)
    negativity = _fit_grams(polar) if polar else None
    head = TextHead(_fit_grams(texts), negativity, slope=1.0, offset=0.0)
    if not any(each.is_agitated for each in held_out) or all(each.is_agitated for each in held_out):
        return head
    partial = TextHead(_fit_grams(kept), None, slope=1.0, offset=0.0)
    pairs = [
        (reading.evidence, each.is_agitated) for each in held_out for reading in (partial.read(each.text),) if reading
    ]
    slope, offset = _platt([evidence for evidence, _ in pairs], [label for _, label in pairs])
    return replace(head, slope=slope, offset=offset)


def _fit_grams(texts: Sequence[LabelledText]) -> GramModel:
    from scipy.sparse import csr_matrix

    usable = [each for each in texts if spoken_characters(each.text)]
    labels = [class_of(each.label) for each in usable]
    counts = [gram_counts(each.text, TEXT_BUCKETS) for each in usable]
    columns = np.concatenate([np.fromiter(each.keys(), dtype=np.int64) for each in counts])
    ends = np.cumsum([0, *(len(each) for each in counts)])
    seen_in = np.bincount(columns, minlength=TEXT_BUCKETS)
    idf = np.where(seen_in >= TEXT_MIN_COUNT, np.log((1 + len(counts)) / (1 + seen_in)) + 1, 0).astype(np.float16)
    values = np.concatenate([1 + np.log(np.fromiter(each.values(), dtype=np.float32)) for each in counts])
    values = values * idf[columns]
    lengths = np.sqrt(np.maximum(np.add.reduceat(values**2, ends[:-1]), 1e-12))
    matrix = csr_matrix((values / np.repeat(lengths, np.diff(ends)), columns, ends), shape=(len(counts), TEXT_BUCKETS))
    known = np.flatnonzero(idf)
    weight = {name: TEXT_AGITATED_WEIGHT if name == AGITATED_CLASS else 1.0 for name in set(labels)}
    model = _logistic_regression(TEXT_PENALTY, weight).fit(matrix[:, known], labels)
    classes, weights, biases = _softmax_rows(model)
    scales = np.abs(weights).max(axis=1) / 127
    whole = np.zeros((len(classes), TEXT_BUCKETS), dtype=np.int8)
    whole[:, known] = np.rint(weights / scales[:, None]).astype(np.int8)
    return GramModel(classes, whole, scales.astype(np.float32), biases, idf)


def _logistic_regression(penalty: float, class_weight: Mapping[str, float] | None) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1 / penalty, class_weight=class_weight, max_iter=500)


def _are_paired(sounds: Sequence[LabelledSound]) -> bool:
    """Whether enough segments of calls have sound, words and a label to learn how to put the two together."""
    paired = [each for each in sounds if each.is_of_call and each.text]
    agitated = sum(each.is_agitated for each in paired)
    speakers = {each.speaker_key for each in paired}
    return min(agitated, len(paired) - agitated) >= MIN_PAIRED and len(speakers) >= FOLDS


def fit_fusion(varied: Sequence[Varied], encoder: str | None) -> Fusion:
    """How far sound and words are to be believed, from segments of calls that have both.

    Logistic regression over the two pieces of evidence, each from heads that never met the speaker. It has seen how
    often people are angry in calm words, so calm words may speak against anger.
    """
    plain = varied[0]
    paired = [
        row for row, each in enumerate(plain.examples) if each.is_of_call and each.text and plain.table.heard[row]
    ]
    speakers = sorted({plain.examples[row].speaker_key for row in paired})
    evidence: list[tuple[float, float]] = []
    labels: list[bool] = []
    for apart in _folds(speakers):
        sound = fit_sounds([each.without(apart) for each in varied], encoder)
        text = fit_text(
            [
                LabelledText(each.corpus, each.text, each.label)
                for each in plain.examples
                if each.is_of_call and each.text and each.speaker_key not in apart
            ]
        )
        for group in histories(plain.examples, [row for row in paired if plain.examples[row].speaker_key in apart]):
            ear = sound.of_speaker()
            for row in group.rows:
                heard, said = ear.read(plain.table.rows[row]), text.read(plain.examples[row].text or "")
                words = TEXT_WITNESS.weigh(said.evidence) if said else 0.0
                evidence.append((SOUND_WITNESS.weigh(heard.evidence), words))
                labels.append(plain.examples[row].is_agitated)
    model = _logistic_regression(1.0, None).fit(evidence, labels)
    sound_weight, text_weight = (max(0.0, float(weight)) for weight in model.coef_[0])
    base_rate = probability_of(float(model.intercept_[0]))
    return replace(
        DEFAULT_FUSION,
        sound=replace(SOUND_WITNESS, weight=sound_weight),
        text=replace(TEXT_WITNESS, weight=text_weight),
        base_rate=base_rate,
        words_may_calm=True,
    )


def _prior(varied: Sequence[Varied]) -> SpeakerPrior:
    """The mean of the speakers and the spread of segments around their own, every speaker counting the same."""
    groups = [rows.astype(np.float64) for each in varied for rows in each.rows_of_speakers()]
    mean = np.mean([group.mean(axis=0) for group in groups], axis=0)
    spread = np.sqrt(np.mean([group.var(axis=0) for group in groups], axis=0)) + 1e-6
    return SpeakerPrior(mean.astype(np.float32), spread.astype(np.float32), MEAN_STRENGTH, SPREAD_STRENGTH)


def _softmax_rows(model: Any) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float32]]:
    """Classes, weights and biases with one row for each class, also where there are only two."""
    weights, biases = model.coef_, model.intercept_
    if len(weights) == 1:
        weights, biases = np.concatenate([-weights / 2, weights / 2]), np.concatenate([-biases / 2, biases / 2])
    return tuple(str(name) for name in model.classes_), weights.astype(np.float32), biases.astype(np.float32)


def _check_enough(what: str, agitated: Sequence[bool]) -> None:
    if agitated and (sum(agitated) < MIN_AGITATED or len(agitated) - sum(agitated) < MIN_REST):
        raise DataError(
            f"{sum(agitated)} of {len(agitated)} labelled {what} are agitated: at least {MIN_AGITATED} agitated and "
            f"{MIN_REST} others are needed"
        )
