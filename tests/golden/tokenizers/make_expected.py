#!/usr/bin/env python3
"""Development time only: what Hugging Face gives for the fixtures, written beside this file.

    pip install transformers==4.51.3 tokenizers==0.21.4 sentencepiece protobuf xxhash unicodedata2==16.0.0
    make_expected.py FOLDER_OF_FAMILIES WIKI.TEST.RAW C4.JSONL [WIKI_LLAMA_FOLDER]

nasty.json    strings meant to go wrong, and per family the hashes of all their ids and decoded texts
corpora.json  per family, number and hash of the ids of WikiText-2's test split and of a C4 sample
wiki_llama/expected.json   ids of the strings of strings.json, by the folder as it is

A hash is XXH3-128 of the ids as little-endian int32 (all texts' ids in a row, each list followed by -1), or of the
decoded texts, each followed by a zero byte.
"""

import json
import os
import random
import struct
import sys
from pathlib import Path

import unicodedata2
import xxhash

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from transformers import AutoTokenizer, logging  # noqa: E402

HERE = Path(__file__).parent
SPACES = ["\t", "\n", "\r", "\v", "\f", " ", "\x85", "\xa0", "\u1680", "\u2000", "\u2003", "\u2028", "\u2029",
          "\u202f", "\u205f", "\u3000", "\u180e", "\u200b", "\u200d", "\ufeff", "\x1c"]
PARTS = ["'s", "'S", "'\u017f", "'re", "'RE", "'ll", "\u2019s", "'t", "'m", "'d", "\u2581", "\u2581\u2581", "<0x0A>",
         "<0xE2>", "\u0120", "\u010a", "1", "12", "1234567", "\u00bd", "\u00b2", "\u2167", "\u0663", "e\u0301",
         "a\u0323\u0307", "\uac00", "\u1100\u1161\u11a8", "\u0344", "\u212b", "\ufb01", "\u0130", "\u0131", "\u00df",
         "\u4e2d\u6587", "\u65e5\u672c", "\u0e44\u0e17\u0e22", "\U0001f600", "\U0001f468\u200d\U0001f469", "\x00",
         "\x7f", "\ufffd", "\U0010ffff", "a", "A", " the", "The", "ABC", "camelCase", "HTTPServer", "_", "--", "...",
         "\r\n", "\n\n", "\n\n\n", "  ", "    ", "\t\t", " \n", "\n ", "\U0001d49c", "\u1c89", "\ua7cb",
         "\U00010d50", "\U00031350", "\U0002ebf0", "\u0897", "\u01c5", "\u02b0", "\u3007", "\u0cf3", "<s>", "</s>",
         "<unk>", "<pad>", "<bos>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|end|>",
         "<|begin_of_text|>", "<|eot_id|>", "[INST]", "[/INST]", "<think>", "<start_of_turn>", "<|end"]


def nasty_strings(count, seed=20):
    draw = random.Random(seed)
    kinds = {}
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            kinds.setdefault(unicodedata2.category(chr(code)), []).append(code)
    names = sorted(kinds)
    strings = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randrange(1, 14)):
            kind = draw.random()
            if kind < 0.45:
                parts.append(draw.choice(PARTS))
            elif kind < 0.62:
                parts.append(draw.choice(SPACES) * draw.choice([1, 1, 1, 2, 3, 7]))
            elif kind < 0.82:
                parts.append(chr(draw.choice(kinds[draw.choice(names)])))
            elif kind < 0.88:
                parts.append(chr(draw.randrange(32, 127)) * draw.choice([1, 1, 2, 5, 40]))
            else:
                parts.append("".join(chr(draw.randrange(97, 123)) for _ in range(draw.randrange(1, 12))))
        strings.append("".join(parts))
    return strings


def hash_ids(lists):
    state = xxhash.xxh3_128()
    for ids in lists:
        state.update(struct.pack("<%di" % (len(ids) + 1), *ids, -1))
    return state.hexdigest()


def hash_texts(texts):
    state = xxhash.xxh3_128()
    for text in texts:
        state.update(text.encode() + b"\0")
    return state.hexdigest()


def load(folder):
    # stories260K's model trims spaces, which only the Python tokenizer honours.
    return AutoTokenizer.from_pretrained(folder, use_fast="stories260k" not in folder.name)


def wiki_text(path):
    rows = path.read_text(encoding="utf-8").split("\n")
    assert rows[-1] == ""
    text = "\n\n".join(row + "\n" if row.strip() else "" for row in rows[:-1])
    assert len(text) == 1294336
    return text


def dump(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="ascii")


def main():
    logging.set_verbosity_error()
    families = {folder.name: folder for folder in sorted(Path(sys.argv[1]).iterdir()) if folder.is_dir()}
    strings = nasty_strings(400)
    wiki = wiki_text(Path(sys.argv[2]))
    documents = [json.loads(line)["text"] for line in Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()]
    if len(sys.argv) > 4:
        folder = Path(sys.argv[4])
        families["wiki_llama"] = folder
        tokenizer, cases = load(folder), []
        for text in json.loads((Path(sys.argv[1]) / "strings.json").read_text()):
            ids = tokenizer.encode(text, add_special_tokens=False)
            case = {"text": text, "ids": ids, "ids_with_special": tokenizer.encode(text)}
            decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            cases.append(case if decoded == text else {**case, "decoded": decoded})
        lines = ",\n".join(json.dumps(case) for case in cases)
        (HERE / "wiki_llama/expected.json").write_text('{"family": "wiki_llama", "cases": [\n%s\n]}\n' % lines)
    nasty, corpora = {}, {}
    for name, folder in families.items():
        tokenizer = load(folder)
        plain = [tokenizer.encode(s, add_special_tokens=False) for s in strings]
        nasty[name] = {
            "ids": hash_ids(plain),
            "ids_with_special": hash_ids([tokenizer.encode(s) for s in strings]),
            "decoded": hash_texts([tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in plain])}
        wiki_ids = tokenizer.encode(wiki)
        c4_ids = [tokenizer.encode(document) for document in documents]
        corpora[name] = {"wikitext2_test": {"ids": len(wiki_ids), "hash": hash_ids([wiki_ids])},
                         "c4": {"ids": sum(map(len, c4_ids)), "hash": hash_ids(c4_ids)}}
        print(name, corpora[name], flush=True)
    dump(HERE / "nasty.json", {"strings": strings, "families": nasty})
    dump(HERE / "corpora.json", {"c4_documents": len(documents), "families": corpora})


if __name__ == "__main__":
    main()
