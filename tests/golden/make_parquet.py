#!/usr/bin/env python3
"""Write tests/golden/parquet: small Parquet files by pyarrow, and what is in them as jsonl.

    make_parquet.py DIR
"""
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
rows = [{"id": i, "text": f"Row {i}: " + "a few words, é, 你好\n" * (i % 7), "kind": "ab"[i % 2],
         "meta": {"body": f"inner {i * i}"}, "tags": ["x", "y"]} for i in range(230)]
table = pa.Table.from_pylist(rows)
(out / "rows.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
for name, options in {
    "plain_snappy": dict(use_dictionary=False, compression="snappy"),
    "dictionary_zstd": dict(use_dictionary=True, compression="zstd", data_page_version="2.0"),
    "plain_none": dict(use_dictionary=False, compression="none"),
    "delta_gzip": dict(use_dictionary=False, compression="gzip",
                       column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY", "meta.body": "DELTA_BYTE_ARRAY",
                                        "kind": "PLAIN", "id": "PLAIN", "tags.list.element": "PLAIN"}),
}.items():
    pq.write_table(table, out / f"{name}.parquet", row_group_size=90, data_page_size=512, **options)
pq.write_table(pa.table({"text": pa.array(["one", None, "", "two"], pa.large_string()), "number": [1, 2, 3, 4],
                         "bytes": [b"a", b"b\xff", b"c", b"d"]}), out / "nulls.parquet")
pq.write_table(pa.table({"text": ["", " = Robert = \n", "", " An actor . \n", " He acts . \n", ""]}),
               out / "wikitext.parquet")
records = pa.table({
    "question": ["Why?", "Who \u00e9\u4f60?", ""], "answerKey": ["B", "A", None],
    "choices": pa.array([{"text": ["a", "b"], "label": ["A", "B"]}, {"text": ["c", ""], "label": ["A", "B"]},
                         {"text": [], "label": []}]),
    "int": pa.array([1, -2, 3], pa.int32()), "big": pa.array([2 ** 63, 1, 0], pa.uint64()),
    "half": pa.array([0.5, -1e-3, None]), "flag": [True, False, None], "nothing": pa.nulls(3),
    "word": pa.array(["x", "y", "x"]).dictionary_encode(), "large": pa.array(["l", None, "m"], pa.large_string()),
    "pair": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2)),
    "nested": pa.array([[{"n": 1, "b": b"x"}], [], None]),
    "bytes": [b"a", b"\xff", b""], "time": pa.array([1, 2, 3], pa.timestamp("s")),
})
pq.write_table(records, out / "records.parquet", row_group_size=2, write_statistics=False,
               compression="zstd")
