"""Makes heads from labelled data. Needs scikit-learn (`pip install 'callstream[train]'`); what it makes does not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from processors.emotion.corpora import DataError, LabelledSound, LabelledText, read_labelled
from processors.emotion.encoder import StatesEncoder
from processors.emotion.features import PLAIN, FeatureTable, Variation, features_of
from processors.emotion.fusion import Fusion
from processors.emotion.heads import save_fusion, save_sound_head, save_text_head
from processors.emotion.prosody import PROSODY_FEATURES
from processors.emotion.reading import AGITATED_CLASS
from processors.emotion.sound_head import SoundFeatures, SoundHead, SpeakerHistory, SpeakerPrior
from processors.emotion.text_head import TextHead, gram_counts, spoken_characters
from schemas.errors import OperatorError

# All of this was chosen by leaving one speaker out (docs/accuracy-emotion.md), none of it by looking at a test set.
MEAN_STRENGTH = 8.0
SPREAD_STRENGTH = 20.0
ORDERS = 2
"""How often each speaker's segments are put into another order: a head must cope with any history."""
CALM_OF_AGITATED, CALM_OF_OTHERS = 0.2, 0.8
"""With what weight training counts a segment among its speaker's calm ones: a head at run time is not sure either."""
AGITATED_WEIGHT = 3.0
STATES_PENALTY = 200.0
PROSODY_PENALTY = 10.0
VARIATIONS: Final = (
    PLAIN,
    Variation("packed"),
    Variation("line", seed=2, gain_db=(-13, 7), speed=(0.88, 1.15), snr_db=(12, 28)),
)

TEXT_BUCKETS = 1 << 17
TEXT_MIN_COUNT = 2
TEXT_PENALTY = 1 / 3

BASE_RATE = 0.35
SOUND_SHARE_OF_VALENCE = 0.35
DEFAULT_SOUND_WEIGHT = 1.0
DEFAULT_TEXT_WEIGHT = 0.5

MIN_AGITATED = 5
MIN_REST = 5

Say = Callable[[str], None]


class TrainingError(OperatorError):
    """Training cannot be done; the text says what is missing."""

    exit_code = 1


@dataclass(frozen=True)
class Varied:
    """Labelled sounds with their features under one variation."""

    examples: tuple[LabelledSound, ...]
    table: FeatureTable

    def of(self, keep: Callable[[LabelledSound], bool]) -> "Varied":
        """Those that are kept."""
        kept = np.array([keep(each) for each in self.examples], dtype=np.bool_)
        examples = tuple(each for each, stays in zip(self.examples, kept, strict=True) if stays)
        return Varied(examples, FeatureTable(self.table.rows[kept], self.table.heard[kept]))

    def prosody(self) -> "Varied":
        """The same without encoder states."""
        return replace(self, table=replace(self.table, rows=self.table.rows[:, -len(PROSODY_FEATURES) :]))

    def speakers(self) -> dict[tuple[str, str], list[int]]:
        """The rows that were heard, by corpus and speaker."""
        rows: dict[tuple[str, str], list[int]] = {}
        for row in np.flatnonzero(self.table.heard).tolist():
            rows.setdefault((self.examples[row].corpus, self.examples[row].speaker), []).append(row)
        return rows


@dataclass(frozen=True)
class Trained:
    """What training has written, and from how much."""

    files: tuple[Path, ...]
    sounds: int
    speakers: int
    agitated_sounds: int
    texts: int
    agitated_texts: int


def train(
    data: Sequence[Path], out: Path, encoder: StatesEncoder, *, cache: Path | None = None, say: Say = lambda _: None
) -> Trained:
    """Train every head for which there is labelled data in the folders and write it to `out`.

    A head without data is not written: `load_heads` then takes the shipped one. Raises `DataError` where the data
    cannot be used or is too little, `TrainingError` without scikit-learn.
    """
    require_scikit_learn()
    found = [read_labelled(folder) for folder in data]
    sounds = tuple(each for one in found for each in one.sounds)
    texts = tuple(each for one in found for each in one.texts)
    _check_enough("sounds", [each.is_agitated for each in sounds])
    _check_enough("texts", [each.is_agitated for each in texts])
    files: list[Path] = []
    if sounds:
        varied = varied_features(sounds, encoder, cache, say)
        say("fitting the sound heads")
        files.append(save_sound_head(fit_sound(varied, encoder.name), out))
        files.append(save_sound_head(fit_sound([each.prosody() for each in varied], None), out))
    if texts:
        say("fitting the text head")
        files.append(save_text_head(fit_text(texts), out))
    files.append(save_fusion(DEFAULT_FUSION, out))
    return Trained(
        files=tuple(files),
        sounds=len(sounds),
        speakers=len({(each.corpus, each.speaker) for each in sounds}),
        agitated_sounds=sum(each.is_agitated for each in sounds),
        texts=len(texts),
        agitated_texts=sum(each.is_agitated for each in texts),
    )


DEFAULT_FUSION: Final = Fusion(DEFAULT_SOUND_WEIGHT, DEFAULT_TEXT_WEIGHT, BASE_RATE, SOUND_SHARE_OF_VALENCE)


def require_scikit_learn() -> None:
    """Raises `TrainingError` where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401 - only to know whether it is there
    except ModuleNotFoundError:
        raise TrainingError("training needs scikit-learn: run `pip install 'callstream[train]'`") from None


def varied_features(
    sounds: Sequence[LabelledSound], encoder: StatesEncoder | None, cache: Path | None = None, say: Say = lambda _: None
) -> list[Varied]:
    """The sounds under every variation that training uses; the first one is `PLAIN`."""
    result = []
    for number, variation in enumerate(VARIATIONS, start=1):
        say(f"features of {len(sounds)} sounds, variation {number} of {len(VARIATIONS)} ({variation.name})")
        result.append(Varied(tuple(sounds), features_of(sounds, variation, encoder, cache)))
    return result


def fit_sound(varied: Sequence[Varied], encoder: str | None) -> SoundHead:
    """A sound head from labelled sounds under any number of variations.

    Every speaker's segments pass through the same `SpeakerHistory` as at run time, in random orders.
    """
    from sklearn.linear_model import LogisticRegression

    prior = _prior(varied)
    random = np.random.default_rng(0)
    rows: list[SoundFeatures] = []
    labels: list[str] = []
    for each in varied:
        for _speaker, own in sorted(each.speakers().items()):
            for _ in range(ORDERS):
                history = SpeakerHistory(prior)
                for row in random.permutation(own).tolist():
                    features, example = each.table.rows[row], each.examples[row]
                    rows.append(history.relative(features))
                    labels.append(class_of(example.label))
                    history.remember(features, CALM_OF_AGITATED if example.is_agitated else CALM_OF_OTHERS)
    weight = {name: AGITATED_WEIGHT if name == AGITATED_CLASS else 1.0 for name in set(labels)}
    penalty = PROSODY_PENALTY if encoder is None else STATES_PENALTY
    model = LogisticRegression(C=1 / penalty, class_weight=weight, max_iter=500).fit(np.stack(rows), labels)
    classes, weights, biases = _softmax_rows(model)
    agitated = AGITATED_WEIGHT * labels.count(AGITATED_CLASS)
    share = agitated / (agitated + len(labels) - labels.count(AGITATED_CLASS))
    return SoundHead(encoder, classes, weights, biases, prior, share)


def class_of(label: str) -> str:
    """The class that a label is trained as."""
    return AGITATED_CLASS if label == "agitated" else label


def fit_text(texts: Sequence[LabelledText]) -> TextHead:
    """A text head from labelled texts."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

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
    model = LogisticRegression(C=1 / TEXT_PENALTY, class_weight="balanced", max_iter=300).fit(matrix[:, known], labels)
    classes, weights, biases = _softmax_rows(model)
    scales = np.abs(weights).max(axis=1) / 127
    whole = np.zeros((len(classes), TEXT_BUCKETS), dtype=np.int8)
    whole[:, known] = np.rint(weights / scales[:, None]).astype(np.int8)
    return TextHead(classes, whole, scales.astype(np.float32), biases, idf, 1 / len(classes))


def _prior(varied: Sequence[Varied]) -> SpeakerPrior:
    """The mean of the speakers and the spread of segments around their own, every speaker counting the same."""
    groups = [each.table.rows[own].astype(np.float64) for each in varied for own in each.speakers().values()]
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
