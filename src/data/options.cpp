// The options of section `data`, as docs/config.md shows them.
#include "littlebit/data/options.h"

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"

namespace littlebit {

void SourceOptions::declare(OptionGroup& group) {
  group.path("path", &path,
             "A file; a folder, for the files in it and its subfolders whose names end as text "
             "files do (.txt, .jsonl, .ndjson, .json, .parquet) or, with format tokens, as files "
             "of ids do (.bin, .safetensors); or a glob such as shards/*.jsonl.gz. Several files "
             "are taken in the order of their names, "
             "as one source. Text may be compressed: the name then ends in .gz or .zst.");
  group.choice(
      "format", &format, {"auto", "text", "lines", "wikitext", "jsonl", "parquet", "tokens"},
      "auto: jsonl where a file's name ends in .jsonl, .ndjson or .json (before .gz or "
      ".zst), parquet where it ends in .parquet, else text; text: the file is one document; lines: "
      "each line that is not blank is a document; wikitext: rows joined to one document; "
      "jsonl: a document per record; parquet: a document per row; tokens: a token file of this "
      "program, or safetensors with input_ids [N, sequence_length] int32 or int64, where each "
      "row is a block.");
  group.text("field", &field,
             "jsonl, parquet: the key or column whose value is the document; meta.text is the key "
             "text of the object in key meta.");
  group.number("weight", &weight, {.min = 0, .max = 1000, .min_open = true},
               "Passes over the source per epoch. A fraction takes its first part: of the tokens, "
               "or with blocking: reference of the documents.");
}

void DataOptions::declare(OptionGroup& group) {
  group.records("train", &train, "path",
                "The sources of training text, in order: one or more of {path, format, field, "
                "weight}. A bare string is a path: a file, a folder or a glob.",
                {Decides::kRunResolved});
  group.integer("sequence_length", &sequence_length, {.min = 2, .max = 1 << 20},
                "Tokens per block. Training sees whole blocks only, without padding.",
                {Decides::kRun});
  group.choice("blocking", &blocking, {"contiguous", "reference"},
               "Sequence packing: how token streams are cut into blocks. contiguous: each source "
               "as one stream; "
               "reference: groups of 1000 documents running across the sources, as the authors "
               "do. A remainder that fills no block is dropped, per source or per group.",
               {Decides::kRunResolved});
  group.flag("shuffle", &shuffle,
             "true: each epoch takes the blocks in another random order; false: in file order.",
             {Decides::kRun});
  group.text(
      "separator", &separator,
      "What is put after each document of a text source: none; a text of your own, for "
      "instance \"\\n\\n\"; auto: with blocking: contiguous and a tokenizer that puts nothing "
      "around a text (Qwen's, GPT-2's) its end-of-text token, so that the model sees where "
      "a document ends; otherwise none.",
      {Decides::kRunResolved});
  group.choice("on_bad_record", &on_bad_record, {"fail", "skip"},
               "What happens at a record without text, which includes one that is not valid JSON "
               "or not UTF-8: fail ends the run at the first one; skip leaves them out and reports "
               "their number and the first places.",
               {Decides::kRunResolved});
  group.path("cache_dir", &cache_dir,
             "Cache of tokenised sources, reused while text and tokenizer stay the same. Empty: "
             "`cache` in output.dir.");
}

}  // namespace littlebit
