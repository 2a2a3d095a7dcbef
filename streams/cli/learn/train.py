"""`callstream learn train`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.cli.learn.data import LearnDataOption, LearnTenantOption, labelled_calls, load_reader

if TYPE_CHECKING:
    from processors.reading.adapting import HeadReport
    from processors.reading.transformers_encoder import FineTuning

EPOCHS, LEARNING_RATE = 4, 3e-5


def train(
    out: Annotated[Path, typer.Option("--out", help="Folder to write the heads to; new or empty.")],
    tenant: LearnTenantOption = None,
    data: LearnDataOption = None,
    split: Annotated[
        Literal["time", "agent"],
        typer.Option(help="Which calls are frozen and never learned from: the newest, or those of some agents."),
    ] = "time",
    frozen: Annotated[float, typer.Option(min=0.1, max=0.9, help="Share of the labelled calls that is frozen.")] = 0.3,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a Hugging Face encoder to fine-tune beside the heads; needs callstream[transformers]."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Where the encoder learns: cuda, cuda:1 …, or cpu, which takes hours. By default the GPU."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=100, help=f"How often at most the encoder sees each sentence, by default {EPOCHS}."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-7, max=0.1, help=f"How fast the encoder learns, by default {LEARNING_RATE:g}."),
    ] = None,
) -> None:
    """Adapt the shipped reading heads to labelled calls.

    What is learned is a correction of two heads: whether a call is worth hearing, and whether an utterance of the agent
    is a violation. How strong it is, cross-validation chooses; where it helps nothing, a head stays as it is. With
    --encoder a checkpoint is fine-tuned for the same two, and reads beside them where that helps. Nothing is put into
    force: see `evaluate` and `publish`.
    """
    from processors.reading.learned import how_it_helps, learn, learn_with_encoder, save_learned

    refuse_filled(out)
    tuning = _tuning(encoder, device, epochs, learning_rate)
    found = labelled_calls(tenant, data)
    name = tenant or "data"
    if tuning is None:
        adapted, record = learn(load_reader(None), found.calls, name, split, frozen)
        save_learned(out, adapted.reader, record)
    else:
        # Not in `out`, where half a model would lie if the command were interrupted.
        with TemporaryDirectory(prefix="callstream-encoder-") as folder:
            adapted, record = learn_with_encoder(
                load_reader(None), found.calls, name, split, frozen, tuning, Path(folder), _tell
            )
            save_learned(out, adapted.reader, record)
    for one in adapted.reports:
        typer.echo(f"{one.head}: {one.examples} labelled examples, {one.positive} positive; {_became(one)}")
    if record.encoder is not None:
        for each in record.encoder.heads:
            typer.echo(f"{each.head}: {how_it_helps(each)}")
        if not any(each.helps for each in record.encoder.heads):
            typer.echo("the encoder helps no head: the folder has the small heads alone, without it")
    typer.echo(f"learned from {len(record.trained_on)} calls, {len(record.frozen)} are frozen; wrote {out}")


def _tuning(
    encoder: Path | None, device: str | None, epochs: int | None, learning_rate: float | None
) -> "FineTuning | None":
    """How to fine-tune, if that is wanted. Raises `EncoderError` for what cannot be begun."""
    if encoder is None:
        given = {"--device": device, "--epochs": epochs, "--learning-rate": learning_rate}
        for option, value in given.items():
            if value is not None:
                raise typer.BadParameter("belongs to --encoder: small heads do not need it", param_hint=option)
        return None
    from processors.reading.transformers_encoder import FineTuning, require_trainable

    place = require_trainable(encoder, device)
    return FineTuning(encoder, place, epochs or EPOCHS, learning_rate or LEARNING_RATE)


def _tell(progress: str) -> None:
    typer.echo(progress, err=True)


def _became(head: "HeadReport") -> str:
    if head.loss_before is None or head.loss_after is None:
        return "too few of one kind: left as it is"
    if head.penalty is None:
        return f"no correction helps (log loss {head.loss_before:.3f}): left as it is"
    return f"log loss in cross-validation {head.loss_before:.3f} → {head.loss_after:.3f}"


def refuse_filled(folder: Path) -> None:
    """Raises `LabelledDataError` where a folder holds something: a worker may be reading it."""
    from processors.reading.labels import LabelledDataError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LabelledDataError(f"{folder} holds something already: name a new folder")
