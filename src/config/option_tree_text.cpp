// The tree as text: resolved YAML, the reference file, the documentation page and --help.
#include <algorithm>
#include <string>
#include <vector>

#include "config/option_state.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr size_t kWidth = 100;

// Appends `text`, broken between words into lines of at most kWidth columns that begin with
// `indent`.
void append_wrapped(std::string* out, const std::string& indent, std::string_view text) {
  std::string line = indent;
  bool empty = true;
  for (const std::string& word : split(text, ' ')) {
    if (word.empty()) continue;
    if (!empty && line.size() + 1 + word.size() > kWidth) {
      *out += line + "\n";
      line = indent;
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
    empty = false;
  }
  *out += line + "\n";
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// --- resolved values
// -------------------------------------------------------------------------------

struct ResolvedPrinter {
  bool with_origins;
  std::string out;

  void line(const std::string& text, const OptionNode* node) {
    out += text;
    if (with_origins && node != nullptr) {
      out += "  # ";
      out += node->origin == Origin::kDefault       ? "default"
             : node->origin == Origin::kCommandLine ? "command line"
                                                    : replaced(node->place, "\n", " ");
    }
    out += "\n";
  }

  void print(const OptionNode& section) {
    if (section.kind == OptionNode::Kind::kValue) {
      return line(section.name + ": " + section.value->text(), &section);
    }
    if (section.children.empty()) return;  // `name:` alone would be a null
    line(section.name + ":", nullptr);
    for (const auto& option : section.children) {
      if (option->kind == OptionNode::Kind::kRecords) {
        print_records(*option);
      } else {
        line("  " + option->name + ": " + option->value->text(), option.get());
      }
    }
  }

  void print_records(const OptionNode& list) {
    line("  " + list.name + (list.children.empty() ? ": []" : ":"), &list);
    for (const auto& record : list.children) {
      std::string lead = "    - ";
      for (const auto& option : record->children) {
        line(lead + option->name + ": " + option->value->text(), option.get());
        lead = "      ";
      }
    }
  }
};

// --- what is declared
// ------------------------------------------------------------------------------

// "start, run" and the like; "" where it decides nothing.
std::string decision(const OptionNode& option) {
  std::vector<std::string> parts;
  for (const Decides what : option.decides) {
    parts.emplace_back(what == Decides::kStart           ? "start"
                       : what == Decides::kRunChangeable ? "run (changeable)"
                                                         : "run");
  }
  return join(parts, ", ");
}

std::string reference_option(const OptionNode& option, const std::string& indent = "  ") {
  std::string text;
  append_wrapped(&text, indent + "# ", option.help);
  const std::string decides = decision(option);
  append_wrapped(&text, indent + "# ",
                 "(" + option.allowed + (decides.empty() ? "" : "; decides: " + decides) + ")");
  if (option.kind == OptionNode::Kind::kRecords) {
    for (const auto& field : option.prototype->children) {
      const std::string lead = field == option.prototype->children.front() ? "- " : "  ";
      text += "  #   " + lead + field->name + ": " + field->default_text + "\n";
      append_wrapped(&text, "  #         ", field->help + " (" + field->allowed + ")");
    }
  }
  return text + indent + option.name + ": " + option.default_text + "\n";
}

std::string table_cell(const std::string& text) {
  return replaced(replaced(replaced(text, "|", "\\|"), "<", "&lt;"), "\n", " ");
}

std::string table_row(const std::string& key, const OptionNode& option, bool with_decision) {
  return "| `" + key + "` | `" + table_cell(option.default_text) + "` | " +
         table_cell(option.allowed) + " | " + (with_decision ? decision(option) + " | " : "") +
         table_cell(option.help) + " |\n";
}

bool decides_anything(const OptionNode& section) {
  return std::any_of(section.children.begin(), section.children.end(),
                     [](const auto& option) { return !option->decides.empty(); });
}

void append_help(std::string* out, const std::string& indent, const std::string& key,
                 const OptionNode& option) {
  *out += indent + key + "=" + option.default_text + "\n";
  append_wrapped(out, indent + "    ", option.help + " (" + option.allowed + ")");
}

}  // namespace

std::string OptionTree::to_yaml(bool with_origins) const {
  ResolvedPrinter printer{with_origins, ""};
  for (const auto& section : state_->root.children) printer.print(*section);
  return printer.out;
}

std::string OptionTree::reference_yaml() const {
  std::string text =
      "# Every option with its default. Generated by `littlebit-train --print-reference yaml`;\n"
      "# do not edit. A configuration file needs only what differs, and any key can be given on\n"
      "# the command line as key.path=value.\n";
  for (const auto& section : state_->root.children) {
    if (section->kind == OptionNode::Kind::kValue) {
      text += "\n" + reference_option(*section, "");
    }
    if (section->children.empty()) continue;
    text += "\n";
    append_wrapped(&text, "# ", section->help);
    text += section->name + ":\n";
    for (const auto& option : section->children) text += reference_option(*option);
  }
  return text;
}

std::string OptionTree::markdown() const {
  std::string text =
      "# Configuration\n\n"
      "Generated by `littlebit-train --print-reference markdown`; do not edit.\n\n"
      "Options come from a YAML file (`--config FILE`) and from overrides `key.path=value` on the "
      "command line, whose\nvalue is parsed as YAML; overrides take precedence. "
      "`littlebit-train --print-config` prints what a run would use and where each value\n"
      "came from; [configs/reference.yaml](../configs/reference.yaml) is a file of all "
      "defaults.\n\n"
      "The column *decides* says what an option decides: the `run`, which resumes from a "
      "checkpoint only with the same value\n(a changeable one may be changed on purpose, "
      "[resume.md](resume.md)), or its `start`, the initial factors. The other\noptions may have "
      "other values when a run resumes.\n";
  for (const auto& section : state_->root.children) {
    if (section->kind == OptionNode::Kind::kValue) {
      text += "\n## " + section->name +
              "\n\n| key | default | values | meaning |\n|---|---|---|---|\n" +
              table_row(section->key, *section, false);
      continue;
    }
    text += "\n## " + section->name + "\n\n" + section->help + "\n\n";
    const bool marked = decides_anything(*section);
    text += marked ? "| key | default | values | decides | meaning |\n|---|---|---|---|---|\n"
                   : "| key | default | values | meaning |\n|---|---|---|---|\n";
    for (const auto& option : section->children) {
      text += table_row(option->key, *option, marked);
      if (option->kind != OptionNode::Kind::kRecords) continue;
      for (const auto& field : option->prototype->children) {
        text += table_row(option->key + "[]." + field->name, *field, marked);
      }
    }
  }
  return text;
}

std::string OptionTree::help_text() const {
  std::string text;
  for (const auto& section : state_->root.children) {
    if (!text.empty()) text += "\n";
    if (section->kind == OptionNode::Kind::kValue) {
      append_help(&text, "", section->key, *section);
      continue;
    }
    append_wrapped(&text, "", section->name + ": " + section->help);
    for (const auto& option : section->children) {
      append_help(&text, "  ", option->key, *option);
      if (option->kind != OptionNode::Kind::kRecords) continue;
      for (const auto& field : option->prototype->children) {
        append_help(&text, "      ", field->name, *field);
      }
    }
  }
  return text;
}

}  // namespace littlebit
