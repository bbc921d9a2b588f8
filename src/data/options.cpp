// The options of section `data`, as docs/config.md shows them.
#include "littlebit/data/options.h"

#include "littlebit/config/option_tree.h"

namespace littlebit {

void SourceOptions::declare(OptionGroup& group) {
  group.path("path", &path, "The file. Text formats may be gzipped: the name then ends in .gz.");
  group.choice("format", &format, {"auto", "text", "lines", "wikitext", "jsonl", "tokens"},
               "auto: jsonl where the name ends in .jsonl or .json (before .gz), else text; "
               "text: the file is one document; lines: each line that is not blank is a document; "
               "wikitext: rows joined to one document; jsonl: a document per record; tokens: a "
               "token file of ours, or safetensors with input_ids [N, sequence_length] int32 or "
               "int64, where each row is a block.");
  group.text("field", &field, "jsonl: the key whose value is the document.");
  group.number("weight", &weight, {.min = 0, .max = 1000, .min_open = true},
               "Passes over the source per epoch. A fraction takes its first part: of the tokens, "
               "or with blocking: reference of the documents.");
}

void DataOptions::declare(OptionGroup& group) {
  group.records("train", &train, "path",
                "The sources of training text, in order: one or more of {path, format, field, "
                "weight}. A bare string is a path.",
                {Decides::kRunResolved});
  group.integer("sequence_length", &sequence_length, {.min = 2, .max = 1 << 20},
                "Tokens per block. Training sees whole blocks only, without padding.",
                {Decides::kRun});
  group.choice("blocking", &blocking, {"contiguous", "reference"},
               "How token streams are cut into blocks. contiguous: each source as one stream; "
               "reference: groups of 1000 documents running across the sources, as the authors "
               "do. What fills no whole block is dropped, per source or per group.",
               {Decides::kRunResolved});
  group.flag("shuffle", &shuffle,
             "Whether each epoch takes the blocks in an order of its own; false: in file order.",
             {Decides::kRun});
  group.path("cache_dir", &cache_dir,
             "Folder of tokenised sources, used again while text and tokenizer stay the same. "
             "Empty: `cache` in output.dir.");
}

}  // namespace littlebit
