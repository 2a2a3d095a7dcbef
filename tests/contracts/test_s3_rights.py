"""The policies of deploy/s3 on a server that enforces them: each worker can do what it must, and nothing else."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.object_store.s3.client import S3Store
from streams.ports import ObjectMissingError, ObjectStore, StoreAccessError
from tests.contracts.versitygw_server import Versitygw

pytestmark = pytest.mark.versitygw

POLICIES = Path(__file__).parents[2] / "deploy" / "s3"
BUCKET = "callstream"
RECORDING = "recordings/acme/2026/01/02/c1.0123456789abcdef.wav"
PEAKS = "renditions/acme/2026/01/02/c1.0123456789abcdef.peaks"
TRANSCRIPT = "transcripts/acme/2026/01/02/c1.1"
DAY = "call_days/acme/0a1/c1"
ARCHIVED = "archive/acme/2026/01/02/c1.0123456789abcdef.opus"
ORIGINAL = "received/acme/2026/01/02/c1.0123456789abcdef"
IN_PARTS = bytes(12_000_000)

Stores = dict[str, S3Store]


@pytest.fixture(scope="module")
def stores(versitygw: Versitygw) -> Iterator[Stores]:
    """For each worker the store as its own user sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(versitygw.certificate))
        versitygw.remove_bucket(BUCKET)
        versitygw.store(BUCKET).apply()
        statements: list[dict[str, Any]] = []
        stores = {}
        for worker in ("listen", "capture", "receive", "replay", "keep", "archive"):
            user = versitygw.make_user()
            for statement in json.loads((POLICIES / f"{worker}.json").read_text())["Statement"]:
                statements.append(statement | {"Principal": {"AWS": [user.access_key]}})
            stores[worker] = user.store(BUCKET)
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        versitygw.client().put_bucket_policy(Bucket=BUCKET, Policy=policy)
        stores["root"] = versitygw.store(BUCKET)
        yield stores
        versitygw.remove_bucket(BUCKET)


@pytest.fixture(autouse=True)
def stored(stores: Stores) -> None:
    for key in (RECORDING, PEAKS, TRANSCRIPT, DAY, ARCHIVED, ORIGINAL):
        stores["root"].put(key, b"sealed")


def left_in_the_middle(store: ObjectStore, key: str) -> None:
    with store.writer(key) as writer:
        writer.write(IN_PARTS)


@pytest.mark.parametrize(
    ("worker", "use"),
    [
        pytest.param("listen", lambda store: store.read(RECORDING), id="listen reads recordings"),
        pytest.param("listen", lambda store: store.read(TRANSCRIPT), id="listen reads transcripts"),
        pytest.param("listen", lambda store: store.put(TRANSCRIPT, b"new"), id="listen writes transcripts"),
        pytest.param("listen", lambda store: store.put(PEAKS, b"p"), id="listen writes peaks"),
        pytest.param("listen", lambda store: store.size(PEAKS), id="listen sees whether there are peaks"),
        pytest.param("capture", lambda store: store.put(RECORDING, IN_PARTS), id="capture writes recordings in parts"),
        pytest.param("capture", lambda store: left_in_the_middle(store, RECORDING), id="capture ends an upload"),
        pytest.param("capture", lambda store: list(store.entries()), id="capture lists"),
        pytest.param("listen", lambda store: store.put(DAY, store.read(DAY)), id="listen notes days of calls"),
        pytest.param("capture", lambda store: store.put(ORIGINAL, b"new"), id="capture writes originals"),
        pytest.param("receive", lambda store: store.read(ORIGINAL), id="receive reads originals"),
        pytest.param("receive", lambda store: store.delete(ORIGINAL), id="receive deletes originals"),
        pytest.param("receive", lambda store: store.put(TRANSCRIPT, store.read(TRANSCRIPT)), id="receive writes them"),
        pytest.param("receive", lambda store: store.put(DAY, store.read(DAY)), id="receive notes days of calls"),
        pytest.param("receive", lambda store: list(store.entries("received/")), id="receive lists"),
        pytest.param("replay", lambda store: store.read(TRANSCRIPT), id="replay reads transcripts"),
        pytest.param("replay", lambda store: list(store.entries("transcripts/")), id="replay lists"),
        pytest.param("keep", lambda store: store.delete(RECORDING), id="keep deletes recordings"),
        pytest.param("keep", lambda store: store.delete(TRANSCRIPT), id="keep deletes transcripts"),
        pytest.param("keep", lambda store: list(store.entries()), id="keep lists"),
        pytest.param("archive", lambda store: store.read(RECORDING), id="archive reads recordings"),
        pytest.param("archive", lambda store: store.put(ARCHIVED, IN_PARTS), id="archive writes into the archive"),
        pytest.param("archive", lambda store: store.read(ARCHIVED), id="archive reads it back"),
        pytest.param("archive", lambda store: store.delete(RECORDING), id="archive deletes recordings"),
        pytest.param("archive", lambda store: store.delete(ARCHIVED), id="archive deletes what is archived"),
        pytest.param("archive", lambda store: store.read(DAY), id="archive reads days of calls"),
    ],
)
def test_a_worker_can_do_what_it_must(stores: Stores, worker: str, use: Callable[[ObjectStore], object]) -> None:
    use(stores[worker])


@pytest.mark.parametrize(
    ("worker", "use"),
    [
        pytest.param("listen", lambda store: store.put(RECORDING, b"x"), id="listen changes no recording"),
        pytest.param("listen", lambda store: store.delete(RECORDING), id="listen deletes no recording"),
        pytest.param("listen", lambda store: store.put(f"{RECORDING}.peaks", b"x"), id="listen writes to renditions"),
        pytest.param("listen", lambda store: store.delete(TRANSCRIPT), id="listen deletes no transcript"),
        pytest.param("capture", lambda store: store.read(RECORDING), id="capture reads no recording"),
        pytest.param("capture", lambda store: store.read(TRANSCRIPT), id="capture reads no transcript"),
        pytest.param("capture", lambda store: store.put(TRANSCRIPT, b"x"), id="capture writes no transcript"),
        pytest.param("capture", lambda store: store.delete(RECORDING), id="capture deletes no recording"),
        pytest.param("listen", lambda store: store.read(ORIGINAL), id="listen reads no original"),
        pytest.param("capture", lambda store: store.read(ORIGINAL), id="capture reads no original"),
        pytest.param("receive", lambda store: store.read(RECORDING), id="receive reads no recording"),
        pytest.param("receive", lambda store: store.delete(TRANSCRIPT), id="receive deletes no transcript"),
        pytest.param("replay", lambda store: store.read(RECORDING), id="replay reads no recording"),
        pytest.param("replay", lambda store: store.read(ORIGINAL), id="replay reads no original"),
        pytest.param("replay", lambda store: store.put(TRANSCRIPT, b"x"), id="replay writes no transcript"),
        pytest.param("replay", lambda store: store.delete(TRANSCRIPT), id="replay deletes no transcript"),
        pytest.param("keep", lambda store: store.read(RECORDING), id="keep reads no recording"),
        pytest.param("keep", lambda store: store.put(RECORDING, b"x"), id="keep writes no recording"),
        pytest.param("archive", lambda store: store.read(TRANSCRIPT), id="archive reads no transcript"),
        pytest.param("archive", lambda store: store.put(RECORDING, b"x"), id="archive writes no recording"),
    ],
)
def test_a_worker_can_do_nothing_else(stores: Stores, worker: str, use: Callable[[ObjectStore], object]) -> None:
    with pytest.raises(StoreAccessError, match="forbids this to the access key: grant it"):
        use(stores[worker])

    assert stores["root"].read(RECORDING) == b"sealed"
    assert stores["root"].read(TRANSCRIPT) == b"sealed"
    assert stores["root"].read(ORIGINAL) == b"sealed"


@pytest.mark.parametrize("worker", ["listen", "capture", "receive", "replay", "keep", "archive"])
def test_a_worker_that_may_not_set_the_rules_of_the_bucket_leaves_them(stores: Stores, worker: str) -> None:
    before = {rule.name: rule.state for rule in stores["root"].rules()}

    stores[worker].apply()

    assert {rule.name: rule.state for rule in stores["root"].rules()} == before


def test_what_is_missing_is_missing_and_not_forbidden(stores: Stores) -> None:
    with pytest.raises(ObjectMissingError):
        stores["listen"].read("recordings/acme/2026/01/02/other.wav")
