// Documents of a text source with the progress made through its file. for_each_document() is the
// public form.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/data/options.h"

namespace littlebit {

// As for_each_document; `bytes_done` counts bytes of the file on disk. A document's view holds
// during the call only.
using DocumentSink = std::function<void(std::string_view document, uint64_t bytes_done)>;

// Records that were left out: their number, what was wrong with the first.
struct SkippedRecords {
  int64_t count = 0, read = 0;  // read: the others
  std::vector<std::string> first;
};

// With `skipped`, records that for_each_document would refuse are left out and put there; a file
// with none but such is an InputError.
void read_documents(const SourceOptions& source, const DocumentSink& sink,
                    SkippedRecords* skipped = nullptr);

const char* format_name(SourceFormat format);  // as in the configuration

}  // namespace littlebit
