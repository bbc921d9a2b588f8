#!/usr/bin/env python3
"""Development time only: writes components.json beside this file (pip install tokenizers==0.21.4).

One small tokenizer.json, trained on the text below, and cases that change parts of it: each normalizer, pre-tokenizer,
model setting, post-processor, decoder and added token, with the ids and texts that Hugging Face tokenizers gives.

{"base": {...}, "texts": [...], "cases": [{"name", "patch", "ids": [[...]], "ids_with_special": ..., "decoded": ...}]}

"patch" replaces whole top-level parts; in "model" single keys. "decoded" is of the first 64 ids of each text and the
ids 0 to 31; "streamed" the pieces of DecodeStream for the same ids, joined by "|".
"""

import copy
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CORPUS = ["the cat sat on the mat and the hat", "don't you're I'll HELLO World 123 4567 89.5", "\u2581the\u2581cat",
          "caf\u00e9 na\u00efve \u00fcber stra\u00dfe \u00c5ngstr\u00f6m", "hello  world   again\n\nnew\tline",
          "a-b-c--d (x) [y] {z} a_b", "aaaa aaab aabb abab", "\u0433\u043e\u0440\u043e\u0434 \u4e2d\u6587 \u65e5\u672c"] * 20
TEXTS = ["", " ", "the cat", " the cat ", "  the  cat  ", "the\u2581cat", "don't stop, you're here!", "HELLO World",
         "123 4567 89.5 \u00bd\u00b2\u2167\u0663", "a-b--c---d", "caf\u00e9 cafe\u0301 na\u00efve", "e\u0323\u0307 \u1e69",
         "\u212b\ufb01\u2460\u3000\u00a0x", "\uac00\uac01 \u1100\u1161\u11a8", "hello\r\nworld\n\n\n x\t\ty", "(a)[b]{c}<d>",
         "\u00a1hola! \u00bfqu\u00e9? \u2026 \u2014 \u300c\u300d", "a_b __c__ _", "\u4e2d\u6587\u65e5\u672c \u0433\u043e\u0440\u043e\u0434",
         "\U0001f600\U0001f600 \U0001f468\u200d\U0001f469", "\u0130stanbul \u0394\u03a3 \u1e9e \u01c5", "aaaaabbbb abab",
         "<s>the</s> cat<s>", " <s> x </s> ", "[X]the[X] [X]", "xthe[W]cat [W] a[W]", "THE <s>", "\x00\x01\x7f\ufffd",
         "a\u0300b\u0301\u0302 \u0345", "'\u017f 's'S", "x\u200by\u200cz\u200d", "the " * 12, "<0x41><0xFF>"]


def trained():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return json.loads(tokenizer.to_str())


def characters():
    """BPE over characters, with bytes to fall back on, as Llama's."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    special = ["<unk>"] + ["<0x%02X>" % b for b in range(256)]
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = []
    return data


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = []
    return data["model"]


def token(i, content, **kw):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": False, **kw}


def cases(base):
    def byte_level(**kw):
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **kw}

    def then_bytes(*steps):
        return {"type": "Sequence", "pretokenizers": [*steps, byte_level(use_regex=False)]}

    def split(pattern, behavior, invert=False):
        return then_bytes({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert})

    yield "as trained", {}
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        yield form, {"normalizer": {"type": form}}
    for left in (False, True):
        for right in (False, True):
            yield f"Strip {left} {right}", {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    yield "Prepend", {"normalizer": {"type": "Prepend", "prepend": "ab"}}
    for pattern in ({"String": "a"}, {"String": "  "}, {"Regex": "[aeiou]+"}, {"Regex": " {2,}"}, {"Regex": "x+"}):
        for content in ("", "zz", " "):
            yield f"Replace {pattern} by {content!r}", {
                "normalizer": {"type": "Replace", "pattern": pattern, "content": content}}
    yield "normalizers in sequence", {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": " "}]}}
    yield "ByteLevel normalizer", {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": None}
    yield "no pre-tokenizer", {"pre_tokenizer": None}
    for prefix in (False, True):
        for regex in (False, True):
            yield f"ByteLevel {prefix} {regex}", {
                "pre_tokenizer": byte_level(add_prefix_space=prefix, use_regex=regex)}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            for pattern in ({"String": "-"}, {"String": " "}, {"Regex": r"\s+"}, {"Regex": r"\p{L}*"}):
                yield f"Split {pattern} {behavior} {invert}", {"pre_tokenizer": split(pattern, behavior, invert)}
        yield f"Punctuation {behavior}", {
            "pre_tokenizer": then_bytes({"type": "Punctuation", "behavior": behavior})}
    for pattern in (r"\w+|\W", r"\d{1,2}", r"[^\s\w]+|[\w]+", r"\S+", r"[\S]+",
                    r"(?i:[sdmt]|ll|ve|re)", r"^\w+|\w+$", r"(?<=a)b|(?<!a)c", r"a+?b|a{2,3}?", r"[\x61-\x{66}\u0433]+",
                    r".", r"(?>a+)b|(?:ab)++", r"\p{Lu}\p{Ll}+|\P{L}+", r"[a\-z\]]+|[b-]+", r"\A\s|\z|\s\Z", r"\p{^N}+",
                    r"[\p{Nd}\p{P}\p{Sm}]+", r"a{,2}b"):
        yield f"Regex {pattern}", {"pre_tokenizer": split({"Regex": pattern}, "Isolated")}
    for individual in (False, True):
        yield f"Digits {individual}", {
            "pre_tokenizer": then_bytes({"type": "Digits", "individual_digits": individual})}
    yield "Whitespace", {"pre_tokenizer": then_bytes({"type": "Whitespace"})}
    yield "WhitespaceSplit", {"pre_tokenizer": then_bytes({"type": "WhitespaceSplit"})}
    yield "ByteLevel in the middle", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        byte_level(), {"type": "Split", "pattern": {"String": "\u0120"}, "behavior": "MergedWithNext", "invert": False}]}}
    yield "ignore_merges", {"model": {"ignore_merges": True}}
    yield "no merges", {"model": {"merges": []}}
    yield "half of the merges, as text", {"model": {"merges": [" ".join(m) for m in base["model"]["merges"][::2]]}}

    llama = characters()
    mark = "\u2581"
    metaspace = {"type": "Metaspace", "replacement": mark, "prepend_scheme": "always", "split": True}
    llama_decoder = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": mark}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    yield "characters", {"model": llama["model"], "pre_tokenizer": metaspace, "decoder": llama_decoder}
    for scheme in ("always", "first", "never"):
        for cut in (False, True):
            for added in ([], [token(420, "[X]"), token(421, "<s>", normalized=True)]):
                yield f"Metaspace {scheme} {cut} {len(added)}", {
                    "model": llama["model"], "pre_tokenizer": {**metaspace, "prepend_scheme": scheme, "split": cut},
                    "added_tokens": added, "decoder": {**metaspace, "prepend_scheme": scheme, "split": cut}}
    yield "Metaspace first after Strip", {
        "normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}, "model": llama["model"],
        "pre_tokenizer": {**metaspace, "prepend_scheme": "first"}, "decoder": {"type": "Fuse"}}
    some_bytes = {k: v for k, v in llama["model"]["vocab"].items() if not k.startswith("<0x") or v % 2}
    for name, change in (("no byte fallback", {"byte_fallback": False}), ("unknown not fused", {
            "byte_fallback": False, "fuse_unk": False}), ("no unknown", {"byte_fallback": False, "unk_token": None}),
            ("some bytes", {"vocab": some_bytes}), ("some bytes, not fused", {"vocab": some_bytes, "fuse_unk": False})):
        yield name, {"model": {**llama["model"], **change}, "pre_tokenizer": metaspace, "decoder": llama_decoder}
    affixed = {"a": 0, "##a": 1, "a</w>": 2, "##a</w>": 3, "##b": 4, "b": 5, "##b</w>": 6, "aa": 7, "##ab</w>": 8, "ab": 9,
               "b</w>": 10, "aba": 11}
    yield "prefix and suffix", {
        "model": {"vocab": affixed, "merges": [["a", "##a"], ["##a", "##b</w>"], ["a", "##b"], ["ab", "##a"]],
                  "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"},
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": {"type": "BPEDecoder", "suffix": "</w>"}}
    single = unigram()
    for fallback in (False, True):
        vocab = single["vocab"] + [["<0x%02X>" % b, -20.0] for b in range(256)] * fallback
        yield f"Unigram {fallback}", {
            "model": {**single, "vocab": vocab, "byte_fallback": fallback, "replace": True}, "pre_tokenizer": metaspace,
            "decoder": {"type": "Sequence", "decoders": [metaspace, {"type": "ByteFallback"}]} if fallback else metaspace}
    size = max(base["model"]["vocab"].values()) + 1
    for flags in ({}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True},
                  {"normalized": True}, {"special": True}):
        known = base["model"]["vocab"]["the"]
        yield f"added tokens {flags}", {"normalizer": {"type": "Lowercase"}, "added_tokens": [
            token(size, "[X]", **flags), token(known, "the", **flags), token(size + 1, "[W]", **flags),
            token(size + 2, "<s>", **{**flags, "special": True}), token(size + 3, "</s>"), token(size + 4, "  "),
            token(size + 5, "\u4e2d", **flags)]}
    special = {"<s>": {"id": "<s>", "ids": [1, 2], "tokens": ["a", "b"]}, "</s>": {"id": "</s>", "ids": [3], "tokens": ["c"]}}
    text_a, text_b = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    template = {"type": "TemplateProcessing", "special_tokens": special, "pair": [text_a, text_b], "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}}, text_a, {"SpecialToken": {"id": "</s>", "type_id": 0}}]}
    yield "template", {"post_processor": template}
    yield "template with the text twice", {"post_processor": {**template, "single": template["single"] + [text_a]}}
    yield "post-processors in sequence", {"post_processor": {"type": "Sequence", "processors": [byte_level(), template]}}
    for decoder in (None, {"type": "Fuse"}, {"type": "ByteFallback"}, {"type": "Strip", "content": "t", "start": 2, "stop": 1},
                    {"type": "Replace", "pattern": {"Regex": "[a-e]"}, "content": "_"}, metaspace,
                    {"type": "BPEDecoder", "suffix": "e"}):
        yield f"decoder {decoder}", {"decoder": decoder}


def patched(base, patch):
    data = copy.deepcopy(base)
    for key, value in patch.items():
        if key != "model":
            data[key] = value
        elif value.get("type") == "BPE" or value.pop("replace", False):
            data["model"] = value
        else:
            data["model"].update(value)
    return data


def encoded(tokenizer, text, special):
    """The ids, or None where tokenizers itself panics (it does on some texts that a normalizer shortens)."""
    try:
        return tokenizer.encode(text, add_special_tokens=special).ids
    except BaseException as error:
        print(type(error).__name__, error)
        return None


def main():
    base = trained()
    out = []
    for name, patch in cases(base):
        data = patched(base, copy.deepcopy(patch))
        patch = {k: (data["model"] if k == "model" else v) for k, v in patch.items()}
        tokenizer = Tokenizer.from_str(json.dumps(data))
        plain = [encoded(tokenizer, t, False) for t in TEXTS]
        case = {"name": name, "patch": patch, "ids": plain}
        full = [encoded(tokenizer, t, True) for t in TEXTS]
        if full != plain:
            case["ids_with_special"] = full
        sample = [ids[:64] for ids in plain if ids] + [list(range(min(32, tokenizer.get_vocab_size())))]
        case["decoded"] = [tokenizer.decode(ids, skip_special_tokens=False) for ids in sample]
        case["streamed"] = []
        for ids in sample:
            stream, pieces = decoders.DecodeStream(skip_special_tokens=False), []
            try:
                pieces = [stream.step(tokenizer, i) for i in ids]
            except Exception:
                pieces = ["failed"]
            case["streamed"].append("|".join(p for p in pieces if p is not None))
        out.append(case)
    models_seen = []
    for case in out:                # a model stands in the file once
        model = case["patch"].get("model")
        if model is not None:
            if model not in models_seen:
                models_seen.append(model)
            case["patch"]["model"] = models_seen.index(model)
    whole = {"base": base, "texts": TEXTS, "models": models_seen, "cases": out}
    path = Path(__file__).with_name("components.json")
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in out)
    head = json.dumps({k: v for k, v in whole.items() if k != "cases"}, separators=(",", ":"))
    path.write_text(head[:-1] + ',"cases":[\n' + lines + "\n]}\n", encoding="ascii")
    print(len(out), "cases", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
