#!/usr/bin/env python3
"""A Llama of TinyLlama-1.1B's shape with random weights and another model's tokenizer: something to time packed and
dense models of a usual size on, where none can be fetched. Its text is noise. Development time only; needs numpy and
safetensors (torch for bf16).

    make_random_llama.py --tokenizer MODEL_DIR --out DIR [--hidden 2048] [--intermediate 5632] [--layers 22]
"""
import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--intermediate", type=int, default=5632)
    parser.add_argument("--layers", type=int, default=22)
    args = parser.parse_args()
    source = json.loads((args.tokenizer / "config.json").read_text())
    head, kv_heads = 64, 4
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": args.hidden, "intermediate_size": args.intermediate, "num_hidden_layers": args.layers,
        "num_attention_heads": args.hidden // head, "num_key_value_heads": kv_heads, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 2048, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        **{key: source[key] for key in ("vocab_size", "bos_token_id", "eos_token_id")}}
    generator = torch.Generator().manual_seed(1)

    def matrix(rows, columns):
        return torch.randn(rows, columns, generator=generator).mul_(columns**-0.5).bfloat16()

    tensors = {"model.embed_tokens.weight": matrix(config["vocab_size"], args.hidden),
               "model.norm.weight": torch.ones(args.hidden, dtype=torch.bfloat16)}
    for layer in range(args.layers):
        name = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[name + norm + ".weight"] = torch.ones(args.hidden, dtype=torch.bfloat16)
        for part, rows, columns in (
                ("self_attn.q_proj", args.hidden, args.hidden), ("self_attn.k_proj", kv_heads * head, args.hidden),
                ("self_attn.v_proj", kv_heads * head, args.hidden), ("self_attn.o_proj", args.hidden, args.hidden),
                ("mlp.gate_proj", args.intermediate, args.hidden), ("mlp.up_proj", args.intermediate, args.hidden),
                ("mlp.down_proj", args.hidden, args.intermediate)):
            tensors[name + part + ".weight"] = matrix(rows, columns)
    args.out.mkdir(parents=True)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, args.out / "model.safetensors", metadata={"format": "pt"})
    for file in args.tokenizer.glob("tokenizer*"):
        shutil.copy(file, args.out)


if __name__ == "__main__":
    main()
