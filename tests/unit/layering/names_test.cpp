// One name, one room: two rooms that define a type or a function of the same name in the same
// namespace are linked into one program, where the linker keeps one of them without a word. Read
// off the sources by a small scanner of braces and statements.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "support/paths.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;
using Tokens = std::vector<std::string>;

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The end of the literal that begins at text[at] with an R, a quote or an apostrophe.
size_t end_of_literal(const std::string& text, size_t at) {
  if (text[at] == 'R') {
    const size_t open = text.find('(', at);
    const std::string close = ")" + text.substr(at + 2, open - at - 2) + "\"";
    return std::min(text.find(close, open), text.size() - close.size()) + close.size();
  }
  size_t end = at + 1;
  while (end < text.size() && text[end] != text[at]) end += text[end] == '\\' ? 2 : 1;
  return end + 1;
}

// Words and single characters; "::" is one token, a literal is "". Comments and preprocessor lines
// are left out.
Tokens tokens_of(const std::string& text) {
  Tokens tokens;
  bool line_begins = true;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\n') line_begins = true;
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++at;
    } else if (c == '#' && line_begins) {
      size_t end = text.find('\n', at);
      while (end != std::string::npos && text[end - 1] == '\\') end = text.find('\n', end + 1);
      at = std::min(end, text.size());
    } else if (text.compare(at, 2, "//") == 0) {
      at = std::min(text.find('\n', at), text.size());
    } else if (text.compare(at, 2, "/*") == 0) {
      at = std::min(text.find("*/", at), text.size() - 2) + 2;
    } else if (c == '"' || c == '\'' || text.compare(at, 2, "R\"") == 0) {
      at = end_of_literal(text, at);
      tokens.emplace_back();
    } else if (in_word(c)) {
      const size_t begin = at;
      // An apostrophe between digits belongs to the number.
      const bool number = std::isdigit(static_cast<unsigned char>(c)) != 0;
      while (at < text.size() && (in_word(text[at]) || (number && text[at] == '\''))) ++at;
      tokens.push_back(text.substr(begin, at - begin));
    } else {
      const size_t size = text.compare(at, 2, "::") == 0 ? 2 : 1;
      tokens.push_back(text.substr(at, size));
      at += size;
    }
    if (std::isspace(static_cast<unsigned char>(c)) == 0) line_begins = false;
  }
  return tokens;
}

bool is_name(const std::string& token) {
  return !token.empty() && in_word(token[0]) &&
         std::isdigit(static_cast<unsigned char>(token[0])) == 0;
}

// `statement` without template parameters, attributes, and what stands in parentheses behind
// alignas and __attribute__.
Tokens plain(const Tokens& statement) {
  Tokens left;
  for (size_t i = 0; i < statement.size(); ++i) {
    const std::string& token = statement[i];
    const auto skip = [&](const char* open, const char* close) {
      int depth = 0;
      for (; i < statement.size(); ++i) {
        if (statement[i] == open) ++depth;
        if (statement[i] == close && --depth == 0) break;
      }
    };
    if (token == "template") {
      skip("<", ">");
    } else if (token == "[") {
      skip("[", "]");
    } else if (token == "alignas" || token == "__attribute__") {
      skip("(", ")");
    } else {
      left.push_back(token);
    }
  }
  return left;
}

// What a statement in front of "{" or ";" defines or declares at namespace scope: "type X" (a
// definition only), "function f", or nothing of interest.
std::string meaning(const Tokens& whole, bool has_body) {
  static const std::set<std::string> kKinds = {"class", "struct", "union", "enum"};
  static const std::set<std::string> kElse = {"using",  "typedef", "friend",       "static",
                                              "return", "extern",  "static_assert"};
  const Tokens statement = plain(whole);
  if (statement.empty() || kElse.count(statement[0]) > 0) return "";
  const auto paren = std::find(statement.begin(), statement.end(), "(");
  const auto equals = std::find(statement.begin(), paren, "=");
  if (kKinds.count(statement[0]) > 0 && paren == statement.end()) {
    if (!has_body) return "";
    size_t i = 1;
    if (statement[i] == "class" || statement[i] == "struct") ++i;
    return i < statement.size() && is_name(statement[i]) ? "type " + statement[i] : "";
  }
  // A member is defined with the name of its class in front; an operator may have twins.
  if (paren == statement.end() || paren == statement.begin() || equals != paren) return "";
  const auto name = paren - 1;
  if (name == statement.begin() || !is_name(*name)) return "";
  if (*(name - 1) == "::" || *(name - 1) == "~") return "";
  if (std::find(statement.begin(), paren, "operator") != paren) return "";
  return "function " + *name;
}

// "type a::X" and "function a::f" of everything with external linkage at namespace scope.
std::set<std::string> names_of(const std::string& text) {
  std::set<std::string> names;
  Tokens statement;
  std::vector<std::string> spaces;  // of the scopes around: "a::", "" for a linkage block
  int inside = 0, anonymous = 0;    // braces around that are no namespace's; namespaces of no name
  const auto note = [&](bool has_body) {
    const std::string found = meaning(statement, has_body);
    if (inside > 0 || anonymous > 0 || found.empty()) return;
    const size_t space = found.find(' ') + 1;
    std::string prefix;
    for (const std::string& each : spaces) prefix += each;
    names.insert(found.substr(0, space) + prefix + found.substr(space));
  };
  for (const std::string& token : tokens_of(text)) {
    if (token == "{" && inside == 0 && !statement.empty() &&
        (statement[0] == "namespace" || statement[0] == "extern")) {
      std::string name;
      for (size_t i = 1; i < statement.size(); ++i) name += statement[i];
      if (statement[0] == "extern") name = "linkage";
      anonymous += name.empty() ? 1 : 0;
      spaces.push_back(name.empty() ? "(anonymous)" : name == "linkage" ? "" : name + "::");
      statement.clear();
    } else if (token == "{") {
      note(true);
      ++inside;
    } else if (token == "}" && inside > 0) {
      // An initialiser's statement goes on to its semicolon, which then says nothing.
      if (--inside == 0) statement.clear();
    } else if (token == "}" && !spaces.empty()) {
      anonymous -= spaces.back() == "(anonymous)" ? 1 : 0;
      spaces.pop_back();
    } else if (inside == 0 && token == ";") {
      note(false);
      statement.clear();
    } else if (inside == 0) {
      statement.push_back(token);
    }
  }
  return names;
}

std::string room_of(const fs::path& file) {
  const std::vector<std::string> parts = split(file.generic_string(), '/');
  return parts[0] == "include" ? parts[2] : parts[0] == "apps" ? "apps" : parts[1];
}

using Owners = std::map<std::string, std::map<std::string, std::string>>;  // name, room, file

// A line for each name that two rooms have.
std::vector<std::string> clashes(const Owners& owners) {
  std::vector<std::string> found;
  for (const auto& [name, rooms] : owners) {
    if (rooms.size() < 2) continue;
    std::vector<std::string> files;
    for (const auto& [room, file] : rooms) files.push_back(file);
    found.push_back(name + " in " + join(files, " and "));
  }
  return found;
}

TEST_CASE("no two rooms define a name") {
  const fs::path root = test::kSourceDir;
  Owners owners;
  std::set<std::string> in_headers, by_accident;
  std::map<std::string, std::string> in_sources;
  for (const char* top : {"include", "src", "apps"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      const fs::path file = fs::relative(entry.path(), root);
      for (const std::string& name : names_of(read_file(entry.path()))) {
        owners[name].emplace(room_of(file), file.string());
        if (extension == ".h") in_headers.insert(name);
        if (extension == ".cpp") in_sources.emplace(name, file.string());
      }
    }
  }
  const std::vector<std::string> found = clashes(owners);
  INFO(join(found, "\n"));
  CHECK(found.empty());
  // What no header names belongs into an anonymous namespace.
  for (const auto& [name, file] : in_sources) {
    if (in_headers.count(name) == 0 && name != "function main") {
      by_accident.insert(name + " in " + file);
    }
  }
  INFO(join(std::vector<std::string>(by_accident.begin(), by_accident.end()), "\n"));
  CHECK(by_accident.empty());
  // The scanner sees what is there.
  for (const char* name : {"type littlebit::Decoder", "type littlebit::tokenizer::Decoder",
                           "type littlebit::Optimizer", "function littlebit::kl_divergence",
                           "type littlebit::Recompute", "function littlebit::load_tokenizer"}) {
    INFO(name);
    CHECK(owners.count(name) == 1);
  }
  CHECK(owners.size() > 500);
}

// Functions that a contract declares and a source of another name defines, a line each.
std::vector<std::string> defined_elsewhere(
    const std::map<std::string, std::set<std::string>>& names_by_file) {
  std::map<std::string, fs::path> contracts;  // by function
  for (const auto& [file, names] : names_by_file) {
    if (!file.starts_with("include/")) continue;
    for (const std::string& name : names) {
      if (name.starts_with("function ")) contracts.emplace(name, file);
    }
  }
  std::vector<std::string> found;
  for (const auto& [file, names] : names_by_file) {
    const fs::path source = file;
    if (source.extension() != ".cpp") continue;
    for (const std::string& name : names) {
      const auto contract = contracts.find(name);
      if (contract == contracts.end() || contract->second.stem() == source.stem()) continue;
      found.push_back(name + " of " + contract->second.string() + " is in " + file);
    }
  }
  return found;
}

TEST_CASE("what a contract declares is defined in the source of its name") {
  const fs::path root = test::kSourceDir;
  std::map<std::string, std::set<std::string>> names_by_file;
  for (const char* top : {"include", "src"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      names_by_file[fs::relative(entry.path(), root).string()] = names_of(read_file(entry.path()));
    }
  }
  CHECK(names_by_file.size() > 300);
  const std::vector<std::string> found = defined_elsewhere(names_by_file);
  INFO(join(found, "\n"));
  CHECK(found.empty());

  CHECK(defined_elsewhere({{"include/littlebit/a/x.h", {"function f", "type T"}},
                           {"src/a/x.cpp", {"function f"}},
                           {"src/a/y.cpp", {"type T", "function g"}}})
            .empty());
  CHECK(defined_elsewhere(
            {{"include/littlebit/a/x.h", {"function f"}}, {"src/a/y.cpp", {"function f"}}}) ==
        std::vector<std::string>{"function f of include/littlebit/a/x.h is in src/a/y.cpp"});
}

TEST_CASE("the scanner of names knows scopes, linkage and definitions") {
  using Names = std::set<std::string>;
  CHECK(names_of("namespace a {\nclass X;\nclass Y { struct Z {}; void f(); };\n}") ==
        Names{"type a::Y"});
  CHECK(names_of("namespace a::b { enum class E : int { kOne }; struct S final : T<int> {}; }") ==
        Names{"type a::b::E", "type a::b::S"});
  CHECK(names_of("namespace a { namespace { class X {}; int f() { return 1; } } class W {}; }") ==
        Names{"type a::W"});
  CHECK(names_of("namespace a { int f(int x = 3); int g() { if (1) { h(); } return 2; } }") ==
        Names{"function a::f", "function a::g"});
  CHECK(names_of("template <class T> struct X { };\nstruct alignas(64) Y { };") ==
        Names{"type X", "type Y"});
  CHECK(names_of("int A::f() { return 1; }\nA::A(int x) : x_{x} { }\nA::~A() { }\nbool "
                 "operator==(A, B);") == Names{});
  CHECK(
      names_of("const int k = f(1);\nstd::vector<int> table[] = {{1}, {2}};\nstatic int f() {}") ==
      Names{});
  CHECK(names_of("// class A {};\n/* class B {}; */ const char* x = \"class C {\";\nclass D {};") ==
        Names{"type D"});
  CHECK(names_of("auto s = R\"x(class A {)x\";\n#define M \\\n class B {\nclass C {};") ==
        Names{"type C"});
  CHECK(names_of("extern \"C\" { void f(); }\n[[nodiscard]] int g();") ==
        Names{"function f", "function g"});
  CHECK(names_of("struct A { int x; } a;\nchar c = '{';\nint n = 1'000;\nstruct B {};") ==
        Names{"type A", "type B"});

  const Owners owners = {{"type a::X", {{"io", "src/io/a.cpp"}, {"nn", "src/nn/b.h"}}},
                         {"type a::Y", {{"io", "src/io/a.cpp"}}}};
  CHECK(clashes(owners) == std::vector<std::string>{"type a::X in src/io/a.cpp and src/nn/b.h"});
}

}  // namespace
}  // namespace littlebit
