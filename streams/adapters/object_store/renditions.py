"""What is made of recordings, beside them: `renditions/<tenant>/<yyyy>/<mm>/<dd>/<call_id>.<version>.<what>`.

Sealed like the recording, under the same key, so that they are destroyed with it.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from processors.custody.ports import ObjectRole
from schemas.config.tenants import RecordingFormat
from schemas.messages.call_ended import CallEnded
from streams.adapters.object_store.recordings import RecordingSeal, day_folder, seal_of
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import ObjectMissingError, ObjectStore

if TYPE_CHECKING:  # who only reads them needs no codecs
    from processors.listening.renditions import Renditions

_PEAKS = "peaks"
_SEEK_INDEX = "seek"


@dataclass(frozen=True)
class RenditionStore:
    """Renditions of sealed recordings; of others there are none.

    Every method may raise what store and keys raise, and `UnreadableRecordingError` for a seal that is not ours.
    """

    store: ObjectStore
    sealed: SealedStore
    """Over the same store."""

    def is_complete(self, call: CallEnded) -> bool:
        """Whether everything that was to be made of the recording has been, or it is none of which anything is."""
        seal = seal_of(call)
        if seal is None:
            return True
        try:
            return self.store.size(_key(call, seal, _PEAKS)) > 0
        except ObjectMissingError:
            return False

    def save(self, call: CallEnded, made: "Renditions", convert_to: RecordingFormat | None) -> None:
        """Durable when this returns. The peaks come last: where they are, everything is. `convert_to` is the format of
        `made.converted`. Raises `ValueError` for a recording that is not sealed.
        """
        seal = seal_of(call)
        if seal is None:
            raise ValueError("nothing is kept beside a recording that lies in clear")
        if made.converted is not None:
            self._put(call, seal, "converted", f"converted.{convert_to}", made.converted)
        if made.seek_index is not None:
            self._put(call, seal, "seek_index", _SEEK_INDEX, made.seek_index)
        self._put(call, seal, "peaks", _PEAKS, made.peaks)

    def peaks(self, call: CallEnded) -> bytes:
        """The waveform (`processors.listening.renditions.read_peaks`).

        Raises `ObjectMissingError`, `KeyGoneError` and `SealBrokenError`.
        """
        return self._read(call, "peaks", _PEAKS)

    def seek_index(self, call: CallEnded) -> bytes:
        """Where to seek (`processors.listening.renditions.Renditions`). Raises as `peaks` does."""
        return self._read(call, "seek_index", _SEEK_INDEX)

    def converted(self, call: CallEnded, wanted: RecordingFormat) -> bytes:
        """The recording in that format. Raises as `peaks` does."""
        return self._read(call, "converted", f"converted.{wanted}")

    def _put(self, call: CallEnded, seal: RecordingSeal, role: ObjectRole, what: str, data: bytes) -> None:
        self.sealed.put(_key(call, seal, what), replace(seal.identity, role=role), seal.day, data)

    def _read(self, call: CallEnded, role: ObjectRole, what: str) -> bytes:
        seal = seal_of(call)
        if seal is None:
            raise ObjectMissingError("nothing is kept beside a recording that lies in clear")
        return self.sealed.read(_key(call, seal, what), replace(seal.identity, role=role), seal.day)


def _key(call: CallEnded, seal: RecordingSeal, what: str) -> str:
    return f"renditions/{day_folder(call.tenant_id, call.ended_at)}/{call.call_id}.{seal.identity.version}.{what}"
