// Builds the tree from yaml-cpp's events, so that limits hold while parsing and aliases stay
// references.
#include "config/yaml_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxNodes = 1 << 20;
constexpr uint64_t kMaxWeight = 32 << 20;  // above what 16 MiB of text without aliases can reach

class Builder : public YAML::EventHandler {
 public:
  YamlDocument document;

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (started_) fail(mark, "a second document begins here; expected one");
    started_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    attach(add(mark, anchor, YamlNode::Kind::kNull));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool is_text = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!is_text) check_tag(mark, tag);
    const uint32_t index = add(mark, anchor, YamlNode::Kind::kScalar);
    document.nodes[index].text = value;
    document.nodes[index].quoted = is_text;
    document.nodes[index].weight += value.size();
    attach(index);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const uint32_t index = anchors_.at(anchor);
    for (const uint32_t open : open_) {
      if (open == index) fail(mark, "this alias lies inside the value that it refers to");
    }
    at_ = mark;
    attach(index);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override {
    check_keys(document.nodes[open_.back()]);
    end();
  }

 private:
  [[noreturn]] static void fail(const YAML::Mark& mark, const std::string& message) {
    throw YamlError(message, mark.line + 1, mark.column + 1);
  }

  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      fail(mark, "tags such as `" + tag + "` are not supported; leave it out");
    }
  }

  uint32_t add(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (document.nodes.size() >= kMaxNodes) {
      fail(mark, "more than " + format_count(kMaxNodes) + " values");
    }
    const auto index = static_cast<uint32_t>(document.nodes.size());
    document.nodes.emplace_back().kind = kind;
    document.nodes.back().line = mark.line + 1;
    if (anchor != 0) anchors_[anchor] = index;
    at_ = mark;
    return index;
  }

  // Makes a finished value the next child of what is open.
  void attach(uint32_t index) {
    if (open_.empty()) {
      document.root = index;
      return;
    }
    YamlNode& parent = document.nodes[open_.back()];
    parent.children.push_back(index);
    parent.weight += document.nodes[index].weight;
    if (parent.weight > kMaxWeight) {
      fail(at_, "the aliases expand to more than " + format_bytes(kMaxWeight));
    }
  }

  void begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
             YamlNode::Kind kind) {
    check_tag(mark, tag);
    if (open_.size() >= kMaxDepth) {
      fail(mark, "nested more than " + std::to_string(kMaxDepth) + " deep");
    }
    open_.push_back(add(mark, anchor, kind));
  }

  void end() {
    const uint32_t index = open_.back();
    open_.pop_back();
    attach(index);
  }

  void check_keys(const YamlNode& map) {
    std::unordered_map<std::string_view, int> lines;
    for (size_t i = 0; i < map.children.size(); i += 2) {
      const YamlNode& key = document.at(map.children[i]);
      if (key.kind != YamlNode::Kind::kScalar) {
        throw YamlError("a key that is not text; expected `key: value`", key.line, 0);
      }
      const auto [known, is_new] = lines.emplace(key.text, key.line);
      if (!is_new) document.duplicates.push_back({key.text, key.line, known->second});
    }
  }

  bool started_ = false;
  std::vector<uint32_t> open_;  // lists and maps begun and not ended, outermost first
  std::map<YAML::anchor_t, uint32_t> anchors_;
  YAML::Mark at_;
};

// Control characters are no YAML; yaml-cpp would take some of them for the end of the text.
void check_characters(std::string_view text) {
  size_t bad = invalid_utf8_at(text);
  const bool is_utf8 = bad == std::string_view::npos;
  if (is_utf8) {
    for (size_t i = 0; i < text.size() && bad == std::string_view::npos; ++i) {
      const unsigned char byte = static_cast<unsigned char>(text[i]);
      if (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') bad = i;
    }
  }
  if (bad == std::string_view::npos) return;
  int line = 1, column = 1;
  for (size_t i = 0; i < bad; ++i) {
    const bool line_ends = text[i] == '\n';
    line += line_ends;
    column = line_ends ? 1 : column + 1;
  }
  throw YamlError(is_utf8 ? "a control character" : "not UTF-8 text", line, column);
}

}  // namespace

YamlDocument literal_document(std::string_view text) {
  check_characters(text);
  YamlDocument document;
  YamlNode& node = document.nodes.emplace_back();
  node.kind = text.empty() ? YamlNode::Kind::kNull : YamlNode::Kind::kScalar;
  node.text = text;
  node.line = 1;
  node.weight += text.size();
  return document;
}

bool has_yaml_comment(std::string_view text) {
  char before = ' ';        // the character in front
  char last_but_space = 0;  // the last one that is no white space: where a value may begin
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool begins = std::string_view("\0[{,:-", 6).find(last_but_space) != std::string::npos;
    if ((c == '"' || c == '\'') && begins) {
      for (++i; i < text.size() && text[i] != c; ++i) {
        if (c == '"' && text[i] == '\\') ++i;
      }
      before = last_but_space = c;
      continue;
    }
    if (c == '#' && (before == ' ' || before == '\t' || before == '\n')) return true;
    before = c;
    if (c != ' ' && c != '\t' && c != '\n') last_but_space = c;
  }
  return false;
}

YamlDocument parse_yaml(std::string_view text) {
  check_characters(text);
  Builder builder;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw YamlError("not YAML: " + error.msg, error.mark.line + 1, error.mark.column + 1);
  }
  if (builder.document.nodes.empty()) builder.document.nodes.emplace_back();
  return std::move(builder.document);
}

}  // namespace littlebit
