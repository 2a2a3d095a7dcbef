"""llama.cpp's server with a model of noise: `llama_program.py MODEL CONTEXT PORT KEY`, run by the interpreter of
.venv-llama. It ends with SIGTERM.

The weights are random but for one dimension, which is the same wherever the model is in a text. By it the model never
says half a character, and closes quotes and braces: else all noise is cut off. Text without a form has no end.
"""

import signal
import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from xllamacpp import CommonParams, Server

WIDTH, INNER, HEADS, LAYERS = 64, 128, 4, 2
PHRASE = "稳赚不赔"
CHARACTERS = [*map(chr, range(33, 127)), "▁", *"您好包稳赚不赔请问有什么可以帮的", PHRASE]
BYTES = range(256)
OFTEN = {"{": 1.8, "]": 0.9, ",": -0.5, "}": 1.0, '"': 2.5, PHRASE: 2.0, "0": 1.0, "1": 1.0}
OFTEN |= {"</s>": -5.0, "▁": -1.0, "\\": -3.0}
"""By how much more likely than another, as a share of the constant dimension."""


def write_model(path: Path) -> None:
    """A llama of two layers, half a megabyte, with a vocabulary of bytes and a few characters."""
    noise = np.random.default_rng(20)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in BYTES), *CHARACTERS]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    kinds += [TokenType.BYTE] * len(BYTES) + [TokenType.NORMAL] * len(CHARACTERS)
    model = GGUFWriter(path, "llama")
    model.add_context_length(32_768)
    model.add_embedding_length(WIDTH)
    model.add_feed_forward_length(INNER)
    model.add_block_count(LAYERS)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_rope_dimension_count(WIDTH // HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_tokenizer_model("llama")
    model.add_vocab_size(len(tokens))
    model.add_token_list(tokens)
    model.add_token_scores([0.0] * len(tokens))
    model.add_token_types(kinds)
    model.add_unk_token_id(0)
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)

    def random(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return (noise.standard_normal(shape) / 4).astype(np.float32)

    said, heard = random(len(tokens), WIDTH), random(len(tokens), WIDTH)
    heard[:, 0] = 1.0
    said[:, 0] = [-10.0 if name.startswith("<0x") else OFTEN.get(name, 0.0) for name in tokens]
    model.add_tensor("token_embd.weight", heard)
    model.add_tensor("output.weight", said)
    model.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for number in range(LAYERS):
        for name, shape in (
            *((f"attn_{part}", (WIDTH, WIDTH)) for part in ("q", "k", "v", "output")),
            *(("ffn_gate", (INNER, WIDTH)), ("ffn_up", (INNER, WIDTH)), ("ffn_down", (WIDTH, INNER))),
        ):
            weights = random(*shape)
            if name in ("attn_output", "ffn_down"):
                weights /= 8
                weights[0] = 0.0  # no layer adds to the constant
            model.add_tensor(f"blk.{number}.{name}.weight", weights)
        for name in ("attn_norm", "ffn_norm"):
            model.add_tensor(f"blk.{number}.{name}.weight", np.ones(WIDTH, dtype=np.float32))
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


def main() -> None:
    path, context, port, key = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    write_model(path)
    asked_to_end = {signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked_to_end)  # also of the threads that the server starts
    wanted = CommonParams()
    wanted.model.path = str(path)
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = port
    wanted.api_keys = [key]
    wanted.n_ctx = context
    wanted.n_parallel = 2
    wanted.cpuparams.n_threads = 1
    wanted.warmup = False
    server = Server(wanted)
    signal.sigwait(asked_to_end)
    del server


if __name__ == "__main__":
    main()
