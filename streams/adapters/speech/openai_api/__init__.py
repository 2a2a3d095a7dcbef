"""A service with OpenAI's `/audio/transcriptions`: its settings. The client is imported by who chooses it alone."""

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from processors.listening.engine_port import EngineSettings

if TYPE_CHECKING:
    from streams.adapters.speech.openai_api.engine import OpenAiApiEngine


class OpenAiApiSettings(EngineSettings):
    """Where the service is, and what is asked of it."""

    kind: ClassVar[str] = "openai-api"
    hears_several: ClassVar[bool] = True

    speech_api_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#@]+(/[^\s?#@]*)?)?$",
        description="openai-api: base URL of the service, such as https://speech.example.com/v1; it gets recordings",
    )
    speech_api_model: str = Field(
        default="", max_length=200, description="openai-api: the model, by the name that the service has for it"
    )
    speech_api_key: SecretStr = Field(
        default=SecretStr(""), description="openai-api: sent as a bearer token; empty: none is sent"
    )
    speech_api_allow_http: bool = Field(
        default=False, description="openai-api: send recordings to another machine without TLS"
    )
    speech_api_language: str = Field(
        default="",
        pattern=r"^([a-z]{2,3})?$",
        description="openai-api: the language of all calls, such as zh; empty: as the event says, else detected",
    )
    speech_api_timeout_s: float = Field(
        default=60, gt=0, le=600, description="openai-api: how long the answer to one turn may take"
    )
    speech_api_attempts: int = Field(
        default=4, ge=1, le=10, description="openai-api: how often a turn is sent before the call has to wait"
    )
    speech_api_parallel: int = Field(default=4, ge=1, le=64, description="openai-api: turns that are sent at once")

    @model_validator(mode="after")
    def _is_encrypted_or_stays_here(self) -> Self:
        url = urlsplit(self.speech_api_url)
        if url.scheme == "http" and not self.speech_api_allow_http and not _is_this_machine(url.hostname or ""):
            raise ValueError(
                "speech_api_url sends recordings to another machine in clear: use https://, or set "
                "speech_api_allow_http"
            )
        return self

    def lacking(self) -> str | None:
        """See `EngineSettings.lacking`."""
        if not self.speech_api_url:
            return "speech_api_url, the base URL of the service"
        return None if self.speech_api_model else "speech_api_model, the name of a model"

    def build(self, cache_dir: Path) -> "OpenAiApiEngine":  # noqa: ARG002 - nothing is fetched
        """See `EngineSettings.build`. Nothing is sent yet. Raises `WeightsError`."""
        from processors.listening.engines.weights import WeightsError
        from streams.adapters.speech.openai_api.engine import OpenAiApiEngine

        if lacking := self.lacking():
            raise WeightsError(f"speech_engine {self.kind} needs {lacking}")
        return OpenAiApiEngine(
            url=self.speech_api_url,
            model=self.speech_api_model,
            key=self.speech_api_key,
            language=self.speech_api_language,
            timeout_s=self.speech_api_timeout_s,
            attempts=self.speech_api_attempts,
            parallel=self.speech_api_parallel,
        )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
