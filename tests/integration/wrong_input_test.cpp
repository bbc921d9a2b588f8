// Every wrong input of the table, through the programs: exit code, one error with a hint, nothing
// left that a reader would take for whole, older results untouched. docs/errors.md is what was
// seen; LITTLEBIT_WRITE_DOCS=1 in the environment writes it anew.
#include "integration/wrong_input.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>

#include "littlebit/core/parallel.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarker = "<!-- written by tests/integration/wrong_input_test.cpp -->\n";

// What one row led to.
struct Seen {
  int code = -1;
  std::string message, hint;          // of the error, or of the warnings
  std::vector<std::string> problems;  // what the row's run did not keep to
};

bool starts(std::string_view line, std::string_view word) { return line.starts_with(word); }

// Without what changes while the thing said stays the same: hashes, and lists that grow with the
// tasks and architectures there are.
std::string neutral(const std::string& text) {
  static const std::regex kHash("[0-9a-f]{32}"), kList("(wikitext2|llama)(, (?!or )[a-z0-9_]+)+");
  return std::regex_replace(std::regex_replace(text, kHash, "HASH"), kList, "$1, ...");
}

// Takes the words after `error: ` (with their further lines) and after `hint: ` out of what a
// program said.
void read_messages(const std::string& err, Seen& seen) {
  std::string* open = nullptr;
  int errors = 0;
  for (const std::string& line : split(err, '\n')) {
    if (starts(line, "error: ") || starts(line, "warning: ")) {
      const bool is_error = starts(line, "error: ");
      errors += is_error;
      if (is_error) seen.message.clear();  // it counts more than warnings before it
      if (!seen.message.empty()) seen.message += "\n";
      seen.message += line.substr(line.find(' ') + 1);
      open = &seen.message;
    } else if (starts(line, "hint: ")) {
      seen.hint = line.substr(6);
      open = nullptr;
    } else if (open != nullptr && errors > 0 && !line.empty()) {
      *open += "\n" + std::string(trim(line));
    } else {
      open = nullptr;
    }
  }
  if (seen.code == 0) return;
  if (errors != 1) seen.problems.push_back(std::to_string(errors) + " errors");
  if (seen.hint.empty()) seen.problems.push_back("no hint");
  for (const char* inside : {"internal error", "frame #", "std::", "basic_string", "c10",
                             "nlohmann", "yaml-cpp", "[json.exception", "Exception raised from"}) {
    if (err.find(inside) != std::string::npos) {
      seen.problems.push_back("shows its inside: " + std::string(inside));
    }
  }
}

bool is_whole(const fs::path& file) {
  try {
    if (file.extension() == ".safetensors") SafetensorsFile{file};
    if (file.extension() == ".json") read_json_file(file);
    if (file.extension() == ".jsonl") {
      const std::string text = read_file(file);
      if (!text.empty() && text.back() != '\n') return false;
      for (const std::string& line : split(trim(text), '\n')) {
        if (!line.empty()) parse_json(line, file.string());
      }
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

void check_files(const Workshop& shop, const WrongInput& row, Seen& seen) {
  const bool left_run = row.leaves == WrongInput::Leaves::kRun || row.code == ExitCode::kDone;
  const auto may_change = [&](const std::string& name) {
    return name.ends_with("log.txt") || (left_run && starts(name, "out"));
  };
  const auto may_appear = [&](const std::string& name) {
    return may_change(name) || starts(name, "out/cache/") || row.code == ExitCode::kDone;
  };
  const Workshop::Files after = shop.files();
  for (const auto& [name, content] : shop.files_before()) {
    const auto now = after.find(name);
    if (now == after.end()) {
      if (!may_change(name)) seen.problems.push_back("removed " + name);
    } else if (now->second != content && !may_change(name)) {
      seen.problems.push_back("changed " + name);
    }
  }
  for (const auto& [name, content] : after) {
    if (shop.files_before().contains(name)) continue;
    if (name.find(".partial") != std::string::npos) seen.problems.push_back("left " + name);
    if (!may_appear(name)) seen.problems.push_back("wrote " + name);
    if (!is_whole(shop / name)) seen.problems.push_back("left a damaged " + name);
  }
}

Seen see(const WrongInput& row) {
  Seen seen;
  try {
    const Workshop shop;
    const Outcome outcome = row.run(shop);
    seen.code = outcome.code;
    read_messages(neutral(outcome.err), seen);
    if (outcome.code != static_cast<int>(row.code)) {
      seen.problems.push_back("exit code " + std::to_string(outcome.code) + ", expected " +
                              std::to_string(static_cast<int>(row.code)) + "\n" + outcome.err);
    }
    check_files(shop, row, seen);
  } catch (const std::exception& error) {
    seen.problems.push_back(error.what());
  }
  return seen;
}

// Text in a cell of a Markdown table, as code.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "<br>";
    } else if (c == '|') {
      out += "\\|";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '*' || c == '_' || c == '[' || c == ']') {
      out += std::string("\\") + c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string table(const WrongInputs& inputs, const std::vector<Seen>& seen) {
  std::string text = "## " + inputs.title + "\n\n";
  text += "| what is wrong | exit code | message | hint |\n|---|---|---|---|\n";
  for (size_t i = 0; i < seen.size(); ++i) {
    text += "| " + cell(inputs.rows[i].what) + " | " + std::to_string(seen[i].code) + " | " +
            cell(seen[i].message) + " | " + cell(seen[i].hint) + " |\n";
  }
  return text + "\n";
}

}  // namespace

TEST_CASE("wrong input ends as docs/errors.md says") {
  std::string page;
  for (const WrongInputs& inputs :
       {wrong_model_folders(), wrong_tensors(), wrong_tokenizers(), wrong_texts(), wrong_options(),
        wrong_outputs(), wrong_resumes(), odd_but_right()}) {
    std::vector<Seen> seen(inputs.rows.size());
    parallel_for(static_cast<int64_t>(seen.size()), hardware_threads(),
                 [&](int64_t i) { seen[size_t(i)] = see(inputs.rows[size_t(i)]); });
    for (size_t i = 0; i < seen.size(); ++i) {
      for (const std::string& problem : seen[i].problems) {
        FAIL_CHECK(inputs.title << ": " << inputs.rows[i].what << ": " << problem
                                << "\n  said: " << seen[i].message << "\n  hint: " << seen[i].hint);
      }
    }
    page += table(inputs, seen);
  }
  page.pop_back();  // one newline at the end

  const fs::path file = fs::path(kSourceDir) / "docs" / "errors.md";
  const std::string text = read_file(file);
  const size_t made = text.find(kMarker);
  REQUIRE(made != std::string::npos);
  const std::string head = text.substr(0, made + kMarker.size()) + "\n";
  if (std::getenv("LITTLEBIT_WRITE_DOCS") != nullptr) {
    write_file(file, head + page);
  } else {
    INFO(
        "docs/errors.md is out of date: LITTLEBIT_WRITE_DOCS=1 build/bin/integration_tests "
        "'wrong input*' writes it");
    CHECK(text == head + page);
  }
}

}  // namespace littlebit::test
