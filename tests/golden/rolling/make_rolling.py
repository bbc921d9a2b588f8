#!/usr/bin/env python3
"""Makes rolling.json: rolling log-likelihoods of the shipped teacher on the pages of WikiText-2's
test split, computed with the functions of lm-evaluation-harness 0.4.8 (windows, detokenisation,
word count) and transformers 4.51.3 in fp32.

    pip install lm_eval==0.4.8 --no-deps; pip install torch==2.11.0 transformers==4.51.3 jinja2 pyyaml numpy
    make_rolling.py --data ../../../data --out rolling.json [--pages 4]
"""
import argparse
import hashlib
import importlib.util
import json
import pathlib
import re

import torch
import transformers


def module(name):
    """A file of the package without the package's own imports."""
    root = pathlib.Path(importlib.util.find_spec("lm_eval").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location(pathlib.Path(name).stem, root / name)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def pages(text):
    """As the data set EleutherAI/wikitext_document_level cuts the file."""
    page = []
    for line in text.split("\n"):
        title = line.replace("= = =", "===").replace("= =", "==").strip()
        if title.startswith("= ") and title.endswith(" ="):
            if "\n".join(page).strip():
                yield "\n".join(page)
            page = []
        page.append(line)
    yield "\n".join(page)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pages", type=int, default=4)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 1024])
    args = parser.parse_args()
    utils, wikitext = module("utils.py"), module("tasks/wikitext/preprocess_wikitext.py")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.data / "wiki-llama-5m", torch_dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.data / "wiki-llama-5m")
    documents = list(pages((args.data / "wikitext2" / "wiki.test.raw").read_text()))
    texts = [wikitext.wikitext_detokenizer({"page": page}) for page in documents]
    result = {
        "pages": len(documents),
        "sha256_of_texts": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        "words": [len(re.split(r"\s+", page)) for page in documents],
        "bytes": [len(page.encode()) for page in documents],
        "loglikelihoods": {},
    }
    torch.set_grad_enabled(False)
    for length in args.lengths:
        scores = []
        for text in texts[:args.pages]:
            ids = tokenizer(text, add_special_tokens=False).input_ids
            windows = map(utils.make_disjoint_window, utils.get_rolling_token_windows(
                token_list=ids, prefix_token=tokenizer.bos_token_id, max_seq_len=length,
                context_len=1))
            total = 0.0
            for context, continuation in windows:
                whole = context + continuation
                log_p = model(torch.tensor([whole[:-1]])).logits[0].log_softmax(-1)
                log_p = log_p[-len(continuation):]
                total += log_p.gather(1, torch.tensor(continuation)[:, None]).double().sum().item()
            scores.append(total)
        result["loglikelihoods"][str(length)] = scores
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
