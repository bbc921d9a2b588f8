#!/usr/bin/env python3
"""Development time only: writes unicode.json beside this file (pip install tokenizers==0.21.4 xxhash).

What Hugging Face tokenizers makes of every code point there is: per normalizer or pre-tokenizer, the XXH3-128 of the
texts decode(encode(block)) for all blocks of 256 code points, each text followed by a zero byte. The tokenizer is byte-level
without merges, so decoding gives the normalised text, without what a splitter removed.
"""

import json
from pathlib import Path

import xxhash
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers


def blocks(marked):
    for first in range(0, 0x110000, 256):
        codes = [c for c in range(first, first + 256) if not 0xD800 <= c < 0xE000]
        text = "".join(map(chr, codes))
        if marked:      # each between letters and marks, which may join it or change places with it
            text += "".join("a" + chr(c) + "\u0323\u0301\u1161" for c in codes)
        if codes:
            yield text


def main():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    cases = [{"normalizer": {"type": name}} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents")]
    splits = [{"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Removed"},
              {"type": "Whitespace"}, {"type": "WhitespaceSplit"}]
    classes = [r"\p{L}", r"\p{N}", r"\p{M}", r"\p{P}", r"\p{S}", r"\p{Z}", r"\s", r"\S", r"\w", r"\W", r"\d", r"[^\s\p{L}\p{N}]",
               r"[^\r\n\p{L}\p{N}]", r"."] + [r"\p{%s}" % c for c in "Lu Ll Lt Lm Lo Mn Nd Nl Pc Sm".split()] + [
               "(?i:'%s)" % c for c in "stmd"] + [r"\P{Lu}", r"[\p{Lu}\S]"]
    splits += [{"type": "Split", "pattern": {"Regex": c}, "behavior": "Removed", "invert": False} for c in classes]
    for split in splits:
        cases.append({"pre_tokenizer": split})
    for case in cases:
        tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
        data = json.loads(tokenizer.to_str())
        data["normalizer"] = case.get("normalizer")
        steps = [case["pre_tokenizer"]] if "pre_tokenizer" in case else []
        data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps + [
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
        data["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
        tokenizer = Tokenizer.from_str(json.dumps(data))
        state = xxhash.xxh3_128()
        for text in blocks("normalizer" in case):
            # "(?i:'s)" is looked for after each character
            if "(?i:" in json.dumps(case):
                text = "".join("'" + c for c in text)
            state.update(tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids).encode() + b"\0")
        case["hash"] = state.hexdigest()
    data["normalizer"] = None
    path = Path(__file__).with_name("unicode.json")
    path.write_text(json.dumps({"vocab": data["model"]["vocab"], "cases": cases}, indent=0) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
