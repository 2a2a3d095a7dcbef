"""What a telephone line does to a voice, and the other variations of training sounds."""

from fractions import Fraction

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from processors.listening.audio import ChannelSound, Pcm

TELEPHONE_RATE_HZ = 8_000

# ITU-T G.711: µ-law works on 14 bits with a bias of 33; here on 16 bits, so with 132.
_BIAS = 132
_CLIP = 32_635


def through_telephone(sound: ChannelSound) -> ChannelSound:
    """The sound as a telephone recording: 8 kHz, coded and decoded with µ-law."""
    pcm = _filter(sound, f"aresample={TELEPHONE_RATE_HZ}") if sound.sample_rate_hz != TELEPHONE_RATE_HZ else sound.pcm
    return ChannelSound(mu_law_round_trip(pcm), TELEPHONE_RATE_HZ)


def mu_law_round_trip(pcm: Pcm) -> Pcm:
    """What is left of 16-bit samples after µ-law (ITU-T G.711): 8 bits, finer for quiet sounds."""
    biased = np.minimum(np.abs(pcm.astype(np.int32)), _CLIP) + _BIAS
    exponent = np.floor(np.log2(biased)).astype(np.int32) - 7
    mantissa = (biased >> (exponent + 3)) & 0x0F
    decoded = (((mantissa << 3) + _BIAS) << exponent) - _BIAS
    result: Pcm = (np.sign(pcm) * decoded).astype(np.int16)
    return result


def amplify(sound: ChannelSound, gain_db: float) -> ChannelSound:
    """The sound louder or quieter; what becomes too loud is clipped."""
    return ChannelSound(_to_pcm(sound.pcm * 10 ** (gain_db / 20)), sound.sample_rate_hz)


def with_noise(sound: ChannelSound, snr_db: float, random: np.random.Generator) -> ChannelSound:
    """The sound with white noise at a level below its own."""
    level = np.sqrt(np.mean(sound.pcm.astype(np.float64) ** 2)) * 10 ** (-snr_db / 20)
    return ChannelSound(_to_pcm(sound.pcm + random.normal(0, level, len(sound.pcm))), sound.sample_rate_hz)


def at_speed(sound: ChannelSound, speed: float) -> ChannelSound:
    """The sound faster or slower at the same pitch; 0.5–2."""
    return ChannelSound(_filter(sound, f"atempo={speed:.4f}"), sound.sample_rate_hz)


def _to_pcm(values: NDArray[np.floating]) -> Pcm:
    pcm: Pcm = np.clip(np.rint(values), -32_768, 32_767).astype(np.int16)
    return pcm


def _filter(sound: ChannelSound, filters: str) -> Pcm:
    graph = av.filter.Graph()
    nodes = [graph.add_abuffer(format="s16", sample_rate=sound.sample_rate_hz, layout="mono", time_base=_tick(sound))]
    for each in filters.split(","):
        name, arguments = each.split("=")
        nodes.append(graph.add(name, arguments))
    nodes.append(graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"))
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes).configure()
    frame = av.AudioFrame.from_ndarray(sound.pcm[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = sound.sample_rate_hz
    frame.pts = 0
    frame.time_base = _tick(sound)
    graph.push(frame)
    graph.push(None)
    pieces: list[Pcm] = []
    while True:
        try:
            pieces.append(graph.pull().to_ndarray()[0])
        except (av.error.EOFError, av.error.BlockingIOError):
            break
    return np.concatenate([np.zeros(0, dtype=np.int16), *pieces])


def _tick(sound: ChannelSound) -> Fraction:
    return Fraction(1, sound.sample_rate_hz)
