// Options given by key (eval.limit=3) or by a flag that stands for one (--limit 3): passed to the
// option tree in the order of the command line, so that the last value wins in either spelling.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "command_line.h"
#include "littlebit/commands/read_options.h"
#include "littlebit/core/strings.h"

namespace littlebit {

// Options that are another spelling of a key. Texts and lists (divided at commas) are quoted, so
// that no character in them is read as YAML.
enum class Value { kYaml, kText, kList };
struct Shorthand {
  const char* option;
  const char* key;
  const char* name;  // of the value, in --help
  Value value;
  const char* help;
};

// Words that mean keys: those of shorthands, and key=value as they are.
struct KeyArguments {
  CLI::App* app = nullptr;
  std::string config;
  std::vector<std::string> key_values;  // without the shorthands between them
  std::map<const CLI::Option*, Shorthand> shorthands;
};

inline void declare_keys(CLI::App& app, std::span<const Shorthand> common,
                         std::span<const Shorthand> own, KeyArguments& arguments) {
  arguments.app = &app;
  a_path(app.add_option("--config", arguments.config, "YAML file with options"))->type_name("FILE");
  const auto declare = [&](const Shorthand& shorthand) {
    CLI::Option* option = app.add_option(shorthand.option)->description(shorthand.help);
    option->type_name(shorthand.name);
    arguments.shorthands.emplace(option, shorthand);
  };
  for (const Shorthand& shorthand : common) declare(shorthand);
  for (const Shorthand& shorthand : own) declare(shorthand);
  app.add_option("key=value", arguments.key_values,
                 "Options by key, as listed below, and a FILE.yaml")
      ->type_name("");
}

inline std::string key_word(const Shorthand& shorthand, const std::string& value) {
  if (shorthand.value == Value::kList) return quoted_override(shorthand.key, split(value, ','));
  if (shorthand.value == Value::kText) return quoted_override(shorthand.key, value);
  return shorthand.key + ("=" + value);
}

// In the order in which they were given, so that later ones win.
template <class Command>
int run_keys(const Command& command, const KeyArguments& arguments) {
  std::vector<std::string> words;
  std::map<const CLI::Option*, size_t> read;
  for (const CLI::Option* option : arguments.app->parse_order()) {
    const std::string& value = option->results().at(read[option]++);
    const auto shorthand = arguments.shorthands.find(option);
    if (option->get_positional()) words.push_back(listed_word(value));
    if (shorthand == arguments.shorthands.end()) continue;
    words.push_back(key_word(shorthand->second, value));
  }
  std::string config = arguments.config;
  take_config_word(words, config);
  return command(config, words);
}

}  // namespace littlebit
