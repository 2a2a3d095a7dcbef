"""Which variables of our environment child processes are given: what the system needs, and no secret by chance."""

from collections.abc import Iterable, Mapping

from streams.settings import PREFIX

_NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "COLUMNS", "NO_COLOR"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "JAVA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    )
)
_BEGINNINGS = (
    *("LC_", "XDG_", "PYTHON", "MALLOC_"),
    *("OTEL_", "CUDA_", "NVIDIA_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "CT2_"),
)


def handed_on(environ: Mapping[str, str], beginnings: Iterable[str] = ()) -> dict[str, str]:
    """The variables of the system, and those that begin in one of these ways; settings never, a child gets its own."""
    wanted = (*_BEGINNINGS, *beginnings)
    return {
        name: value
        for name, value in environ.items()
        if not name.upper().startswith(PREFIX) and (name.upper() in _NAMES or name.startswith(wanted))
    }
