#!/usr/bin/env python3
"""Our tokenizers against Hugging Face's, one thread, per family. Development time only.

    pip install transformers==4.51.3 tokenizers==0.21.4 sentencepiece protobuf
    tokenizer_speed.py BUILD/bin/littlebit-bench FOLDER_OF_FAMILIES TEXT_FILE

TEXT_FILE: 10 MB of WikiText or C4. Both sides encode it as one document and cut at its headings.
"""

import json
import os
import subprocess
import tempfile
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from transformers import AutoTokenizer, logging  # noqa: E402


def best_of_three(run):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def cut(text):
    at, out = 0, []
    while at < len(text):
        end = text.find("\n = ", at + 1)
        end = len(text) if end < 0 else end
        out.append(text[at:end])
        at = end
    return out


def main():
    logging.set_verbosity_error()
    program, families, file = sys.argv[1:4]
    text = Path(file).read_text(encoding="utf-8")
    size = len(text.encode()) / 1e6
    documents = cut(text)
    print(f"{'family':13} {'ours':>8} {'theirs':>8} {'ours':>8} {'theirs':>8}   MB/s: whole text, then per document")
    for folder in sorted(p for p in Path(families).iterdir() if p.is_dir()):
        with tempfile.NamedTemporaryFile(suffix=".json") as output:
            words = [f"case.tokenizer={folder}", f"case.text={file}", f"bench.output={output.name}"]
            subprocess.run([program, "tokenizer", *words], check=True, capture_output=True)
            ours = json.loads(Path(output.name).read_text())["cases"]["tokenizer"]["rows"][0]
        backend = AutoTokenizer.from_pretrained(folder).backend_tokenizer
        whole = size / best_of_three(lambda: backend.encode(text))
        per_document = size / best_of_three(lambda: [backend.encode(d) for d in documents])
        print(f"{folder.name:13} {ours['whole_mb_per_s']:8.2f} {whole:8.2f} {ours['documents_mb_per_s']:8.2f} "
              f"{per_document:8.2f}   {ours['documents_threads_mb_per_s']:.2f} on {ours['threads']} threads", flush=True)


if __name__ == "__main__":
    main()
