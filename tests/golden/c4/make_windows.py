#!/usr/bin/env python3
"""Makes windows.json: the windows that Python's random module draws from documents.jsonl with
seed 0, tokenised by the shipped teacher's tokenizer (transformers 4.51.3).

    make_windows.py --tokenizer ../../../data/wiki-llama-5m
"""
import argparse
import array
import hashlib
import json
import pathlib
import random

import transformers

HERE = pathlib.Path(__file__).parent


def windows(documents, length, count):
    random.seed(0)
    places, ids = [], []
    while len(places) < count:
        document = random.randint(0, len(documents) - 1)
        if len(documents[document]) <= length:
            continue
        start = random.randint(0, len(documents[document]) - length - 1)
        places.append([document, start])
        ids += documents[document][start:start + length]
    return {"length": length, "places": places,
            "sha256": hashlib.sha256(array.array("I", ids).tobytes()).hexdigest()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(parser.parse_args().tokenizer)
    lines = (HERE / "documents.jsonl").read_text().splitlines()
    documents = [tokenizer(json.loads(line)["text"]).input_ids for line in lines]
    result = [windows(documents, length, 256) for length in (32, 500)]
    (HERE / "windows.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
