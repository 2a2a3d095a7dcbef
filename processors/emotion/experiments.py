"""One evaluation from folders of labelled data to figures: what `callstream emotion evaluate` does."""

from dataclasses import dataclass
from pathlib import Path

from processors.emotion.corpora import LabelledData, LabelledSound, read_labelled
from processors.emotion.encoder import StatesEncoder
from processors.emotion.evaluation import (
    Figures,
    Order,
    figures_of,
    held_out_texts,
    judge_sounds,
    judge_texts,
    leave_one_speaker_out,
)
from processors.emotion.features import AS_RECORDED, PLAIN, features_of
from processors.emotion.heads import Heads, load_heads
from processors.emotion.sound_head import SoundHeads
from processors.emotion.text_head import TextHead
from processors.emotion.training import (
    DEFAULT_FUSION,
    TellStep,
    TrainingError,
    Varied,
    fit_sounds,
    fit_text,
    varied_features,
)


@dataclass(frozen=True)
class Experiment:
    """What is judged on which data.

    Without more, the heads of the folder `heads` (None: the shipped ones) as they are. With `train_on`, heads that
    are trained on those folders first. With `leave_one_speaker_out`, for every speaker heads that are trained on all
    others (and on `train_on`); texts are judged by a head that is trained on four fifths of them.
    """

    data: tuple[Path, ...]
    heads: Path | None = None
    train_on: tuple[Path, ...] = ()
    leave_one_speaker_out: bool = False
    telephone: bool = True
    order: Order = "shuffled"


def run_experiment(
    experiment: Experiment, encoder: StatesEncoder, *, cache: Path | None = None, say: TellStep = lambda _: None
) -> list[Figures]:
    """The figures of every head for which there is labelled data.

    Raises `DataError`, `HeadsError`, and `TrainingError` where training is asked for and cannot be done.
    """
    if experiment.heads is not None and (experiment.train_on or experiment.leave_one_speaker_out):
        raise TrainingError("--heads names heads that exist, the other options train new ones: give one of them")
    data = _read(experiment.data)
    if experiment.leave_one_speaker_out:
        return _leave_one_out(experiment, data, encoder, cache, say)
    heads = load_heads(experiment.heads)
    if experiment.train_on:
        heads = _train(heads, _read(experiment.train_on), encoder, cache, say)
    return _as_they_are(heads, data, experiment, encoder, cache, say)


def _as_they_are(
    heads: Heads, data: LabelledData, experiment: Experiment, encoder: StatesEncoder, cache: Path | None, say: TellStep
) -> list[Figures]:
    figures: list[Figures] = []
    if data.sounds:
        say(f"features of {len(data.sounds)} sounds")
        table = features_of(data.sounds, PLAIN if experiment.telephone else AS_RECORDED, encoder, cache)
        ways = [("sound, prosody only", SoundHeads(None, heads.prosody))]
        if heads.states.encoder == encoder.name:
            ways.insert(0, ("sound", SoundHeads(heads.states, heads.prosody)))
        for name, sound in ways:
            judged = judge_sounds(data.sounds, table, sound, heads.fusion, order=experiment.order)
            figures.append(figures_of(name, judged))
        if any(each.text for each in data.sounds):
            _, sound = ways[0]
            judged = judge_sounds(data.sounds, table, sound, heads.fusion, heads.text, experiment.order)
            figures.append(figures_of("fused", judged))
    if data.texts:
        figures.append(figures_of("text", judge_texts(data.texts, heads.text, heads.fusion)))
    return figures


def _leave_one_out(
    experiment: Experiment, data: LabelledData, encoder: StatesEncoder, cache: Path | None, say: TellStep
) -> list[Figures]:
    figures: list[Figures] = []
    extra = _read(experiment.train_on) if experiment.train_on else LabelledData((), ())
    if data.sounds:
        judged = tuple(dict.fromkeys(each.corpus for each in data.sounds))
        sounds: tuple[LabelledSound, ...] = (
            *data.sounds,
            *(each for each in extra.sounds if each.corpus not in judged),
        )
        varied = varied_features(sounds, encoder, cache, say)
        if not experiment.telephone:
            varied.insert(0, Varied(sounds, features_of(sounds, AS_RECORDED, encoder, cache)))
        for name, states in (("sound", encoder.name), ("sound, prosody only", None)):
            say(f"leaving one speaker out: {name}")
            left = leave_one_speaker_out(
                varied, states, DEFAULT_FUSION, corpora=judged, order=experiment.order, say=say
            )
            figures.append(figures_of(name, left))
        if any(each.text for each in data.sounds):
            say("leaving one speaker out: fused with words")
            text: TextHead = load_heads().text
            left = leave_one_speaker_out(
                varied, encoder.name, DEFAULT_FUSION, corpora=judged, text=text, order=experiment.order, say=say
            )
            figures.append(figures_of("fused", left))
    if data.texts:
        say("a fifth of the texts held out")
        figures.append(figures_of("text", held_out_texts(data.texts, data.polar, DEFAULT_FUSION)))
    return figures


def _train(heads: Heads, data: LabelledData, encoder: StatesEncoder, cache: Path | None, say: TellStep) -> Heads:
    states, prosody, text = heads.states, heads.prosody, heads.text
    if data.sounds:
        varied = varied_features(data.sounds, encoder, cache, say)
        sound = fit_sounds(varied, encoder.name)
        states, prosody = sound.states or states, sound.prosody
    if data.texts:
        text = fit_text(data.texts, data.polar)
    return Heads(states, prosody, text, DEFAULT_FUSION)


def _read(folders: tuple[Path, ...]) -> LabelledData:
    found = [read_labelled(folder) for folder in folders]
    return LabelledData(
        tuple(each for one in found for each in one.sounds),
        tuple(each for one in found for each in one.texts),
        tuple(each for one in found for each in one.polar),
    )
