"""From a folder in the documented format to heads that judge unseen speakers, end to end."""

from pathlib import Path

import pytest

from processors.emotion.corpora import DataError, read_labelled
from processors.emotion.experiments import Experiment, run_experiment
from processors.emotion.features import PLAIN, features_of
from processors.emotion.heads import FUSION_FILE, PROSODY_FILE, STATES_FILE, TEXT_FILE, load_heads
from processors.emotion.training import DEFAULT_FUSION, TrainingError, Varied, fit_sound, split_texts, train
from tests.processors.emotion.voices import SpectrumEncoder, write_labelled_calls

pytest.importorskip("sklearn", reason="training needs callstream[train]")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled calls of six customers."""
    return write_labelled_calls(tmp_path_factory.mktemp("calls"), calls=6, turns=8)


@pytest.fixture(scope="module")
def trained(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads that were trained on them."""
    out = tmp_path_factory.mktemp("heads")
    train([calls], out, SpectrumEncoder())
    return out


def test_every_head_with_labels_is_written(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == sorted(
        [STATES_FILE, PROSODY_FILE, TEXT_FILE, FUSION_FILE]
    )
    assert load_heads(trained).states.encoder == "spectrum@1"


def test_trained_heads_judge_speakers_they_never_met(trained: Path, tmp_path: Path) -> None:
    others = write_labelled_calls(tmp_path / "others", calls=8, turns=6)

    figures = {each.name: each for each in run_experiment(Experiment((others,), heads=trained), SpectrumEncoder())}

    assert set(figures) == {"sound", "sound, prosody only", "fused", "text"}
    for each in figures.values():
        assert each.segments == 48
        assert each.accuracy.value >= 0.9, each.name
        assert each.accuracy.low <= each.accuracy.value <= each.accuracy.high


def test_leaving_one_speaker_out_gives_figures_for_every_speaker(calls: Path) -> None:
    experiment = Experiment((calls,), leave_one_speaker_out=True)

    sound, *_ = run_experiment(experiment, SpectrumEncoder())

    assert len(sound.by_speaker) == 6
    assert sound.f1.value >= 0.9
    assert sound.majority == 0.5


def test_training_twice_gives_the_same_heads(calls: Path, trained: Path, tmp_path: Path) -> None:
    train([calls], tmp_path, SpectrumEncoder())

    for name in (STATES_FILE, PROSODY_FILE, TEXT_FILE, FUSION_FILE):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def test_calls_without_words_leave_the_shipped_text_head_in_use(tmp_path: Path) -> None:
    data = write_labelled_calls(tmp_path / "data", text=False)

    done = train([data], tmp_path / "heads", SpectrumEncoder())

    assert done.texts == 0
    assert not (tmp_path / "heads" / TEXT_FILE).exists()
    assert load_heads(tmp_path / "heads").fusion == DEFAULT_FUSION


def test_enough_calls_with_words_teach_how_far_to_believe_both(trained: Path) -> None:
    fusion = load_heads(trained).fusion

    assert fusion != DEFAULT_FUSION
    assert fusion.sound.weight > 0
    assert fusion.text.weight > 0


def test_too_few_agitated_segments_are_refused(tmp_path: Path) -> None:
    data = write_labelled_calls(tmp_path / "data", calls=1, turns=8)

    with pytest.raises(DataError, match="4 of 8 labelled sounds are agitated"):
        train([data], tmp_path / "heads", SpectrumEncoder())


def test_evidence_is_set_right_by_speakers_that_the_head_did_not_meet(calls: Path) -> None:
    sounds = read_labelled(calls).sounds
    varied = [Varied(sounds, features_of(sounds, PLAIN, SpectrumEncoder()))]
    one_speaker = [each.only({sounds[0].speaker_key}) for each in varied]

    assert fit_sound(varied, "spectrum@1").slope != 1
    assert fit_sound(one_speaker, "spectrum@1").slope == 1, "nobody is left to learn it from"


def test_texts_of_which_only_the_sign_is_known_are_not_enough(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("labels,text\nnegative,我要投诉\n", encoding="utf-8")

    with pytest.raises(DataError, match="do not say who is agitated"):
        train([tmp_path], tmp_path / "heads", SpectrumEncoder())


def test_existing_heads_and_new_training_exclude_each_other(calls: Path, trained: Path) -> None:
    with pytest.raises(TrainingError, match="give one of them"):
        run_experiment(Experiment((calls,), heads=trained, leave_one_speaker_out=True), SpectrumEncoder())


def test_held_out_texts_are_not_in_training(calls: Path) -> None:
    texts = read_labelled(calls).texts

    kept, held_out = split_texts(texts)

    assert len(held_out) == len(texts) // 5
    assert len(kept) + len(held_out) == len(texts)
    assert not {id(each) for each in kept} & {id(each) for each in held_out}
