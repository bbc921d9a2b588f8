// Documents of a text source with the progress made through its file. for_each_document() is the
// public form.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "littlebit/data/options.h"

namespace littlebit {

// As for_each_document; `bytes_done` counts bytes of the file on disk. A document's view holds
// during the call only.
using DocumentSink = std::function<void(std::string_view document, uint64_t bytes_done)>;
void read_documents(const SourceOptions& source, const DocumentSink& sink);

const char* format_name(SourceFormat format);  // as in the configuration

}  // namespace littlebit
