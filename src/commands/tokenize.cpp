// The command `tokenize`: token ids of given strings, for comparisons.
#include "littlebit/commands/tokenize.h"

#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "output_guard.h"

namespace littlebit {

int run_tokenize(const TokenizeOptions& options) {
  const NamedPath input_path = {"--input", options.input},
                  output_path = {"--output", options.output};
  require_paths({{"--model", options.model}, input_path, output_path});
  check_outputs(options.model, {input_path}, {output_path});
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(options.model);
  const std::string source = options.input.string();
  const Json texts = read_json_file(options.input);
  if (!texts.is_array())
    throw InputError(source + ": expected a list of strings",
                     "for instance [\"Once upon a time\", \"there was\"]");
  std::vector<std::string> lines;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!texts[i].is_string()) {
      throw InputError(source + ": entry " + std::to_string(i) + " is not a string",
                       "expected a list of strings");
    }
    const std::string& text = texts[i].get_ref<const std::string&>();
    lines.push_back(to_json_line({{"ids", tokenizer->encode(text, false)},
                                  {"ids_with_special", tokenizer->encode(text, true)}}));
  }
  write_file(options.output, lines.empty() ? "[]\n" : "[\n" + join(lines, ",\n") + "\n]\n");
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace littlebit
