// How the programs read their command lines: arguments must be UTF-8, and an argument that no
// command uses is an error. Every mistake is a UsageError.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/commands/read_options.h"
#include "littlebit/core/error.h"
#include "littlebit/core/home.h"
#include "littlebit/core/strings.h"

namespace littlebit {

// An argument that is not UTF-8 would reach the options as other text than was given.
inline void require_utf8(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const size_t at = invalid_utf8_at(argv[i]);
    if (at == std::string::npos) continue;
    throw UsageError("argument " + std::to_string(i) + " is not UTF-8: byte " +
                         std::to_string(at + 1) + " of its " +
                         std::to_string(std::string_view(argv[i]).size()),
                     "write it in UTF-8; use a link to reach a file whose name is not UTF-8");
  }
}

// The value of this option is a path: `~` in front of it is the home folder.
inline CLI::Option* a_path(CLI::Option* option) {
  return option->transform([](std::string path) { return expand_home(path).string(); });
}

// Options of the program itself are not read where a command is given.
inline void refuse_misplaced(const CLI::App& app) {
  if (app.get_subcommands().empty() || app.parse_order().empty()) return;
  const std::string command = app.get_subcommands().front()->get_name();
  const CLI::Option* option = app.parse_order().front();
  const std::string word =
      option->get_positional() ? option->results().front() : option->get_name();
  throw UsageError(word + " is given before `" + command + "`, which does not use it",
                   "put the command's options after its name; " + app.get_name() + " " + command +
                       " --help lists its options");
}

// Of options that each decide what the program does, one may be given.
inline void refuse_together(const std::vector<CLI::Option*>& options) {
  const CLI::Option* first = nullptr;
  for (const CLI::Option* option : options) {
    if (option->empty()) continue;
    if (first != nullptr) {
      throw UsageError(first->get_name() + " and " + option->get_name() + " were given",
                       "give one of them");
    }
    first = option;
  }
}

// A YAML file among the words is what --config gives. UsageError where there are two.
inline void take_config_word(std::vector<std::string>& words, std::string& config) {
  for (auto word = words.begin(); word != words.end();) {
    const bool is_file = word->find('=') == std::string::npos &&
                         (word->ends_with(".yaml") || word->ends_with(".yml"));
    if (!is_file) {
      ++word;
      continue;
    }
    if (!config.empty()) {
      throw UsageError("two configurations were given: " + config + " and " + *word,
                       "give one file; single options follow it as key.path=value");
    }
    config = expand_home(*word).string();
    word = words.erase(word);
  }
}

// A word that gives names with commas between them to an option that takes a list of names, read as
// `--tasks a,b` is.
inline std::string listed_word(const std::string& word) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos || equals + 1 == word.size()) return word;
  const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
  const bool is_plain = value.find_first_of("[]{}'\"") == std::string::npos;
  if ((key != "eval.tasks" && key != "export.formats") || !is_plain) return word;
  return quoted_override(key, split(value, ','));
}

inline std::vector<std::string> listed_words(std::vector<std::string> words) {
  for (std::string& word : words) word = listed_word(word);
  return words;
}

// Parses. The exit code where nothing more is to be done: --help, --version.
inline std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv) {
  require_utf8(argc, argv);
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    throw UsageError(error.what(), app.get_name() + " --help lists the options");
  }
  refuse_misplaced(app);
  return std::nullopt;
}

}  // namespace littlebit
