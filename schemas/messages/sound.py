"""How a call sounded: pace, and how far the recording can be trusted."""

from typing import Literal

from pydantic import Field

from schemas.messages.call_ended import Role
from schemas.messages.message import Record

QualityDoubt = Literal["clipped", "noisy", "quiet", "little_speech"]
"""Why measures of a channel may be wrong: cut-off peaks, speech less than 10 dB above the noise, speech below
−45 dBFS, or less than 3 s of speech."""

LEAST_DBFS = -96.0
"""What digital silence counts as: the level of half a step of 16-bit samples."""


class AudioQuality(Record):
    """What can be known of the quality of one channel, measured before crosstalk is muted.

    Levels are mean energies in dB relative to full scale. A value is null where there was nothing to measure: the
    speech level without speech, the noise floor where nobody pauses or pauses are digital silence.
    """

    clipped_share: float = Field(ge=0, le=1, description="share of the speech samples that lie on a flat top")
    speech_level_dbfs: float | None = Field(default=None, ge=LEAST_DBFS, le=0)
    noise_floor_dbfs: float | None = Field(
        default=None, ge=LEAST_DBFS, le=0, description="level that three quarters of the pauses of the call exceed"
    )
    snr_db: float | None = Field(default=None, description="speech without noise over the noise floor; an estimate")
    doubts: tuple[QualityDoubt, ...] = ()


class ChannelMeasures(Record):
    """One channel: how long somebody speaks on it, the pace, the quality of the sound."""

    channel: int = Field(ge=0)
    role: Role
    speech_ms: int = Field(ge=0)
    characters_per_minute: float | None = Field(
        default=None,
        ge=0,
        description="Chinese characters, digits and words of other scripts per minute of the speech that was "
        "understood; null without any, or when the channel holds both speakers",
    )
    quality: AudioQuality


class CallSound(Record):
    """The sound of a call that was heard."""

    channels: tuple[ChannelMeasures, ...]
