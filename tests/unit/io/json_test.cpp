// The strict JSON reader: what it takes, what it refuses and where it says the fault is; typed
// members; printing.
#include "littlebit/io/json.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

// The text must be refused, with all `words` in the message.
void refused(const std::string& text, const std::vector<std::string>& words) {
  INFO("text: " << text);
  expect_input_error(words, [&] { parse_json(text, "t.json"); });
}

std::string nested(int levels) { return std::string(levels, '[') + std::string(levels, ']'); }

}  // namespace

TEST_CASE("json: every kind of value is read") {
  const Json value = parse_json(
      R"({"a": [1, -2, 0.5, 18446744073709551615], "b": {"c": null, "d": true}, "e": "\u00e9\n"})",
      "t.json");
  CHECK(value["a"][0].get<int>() == 1);
  CHECK(value["a"][1].get<int>() == -2);
  CHECK(value["a"][2].get<double>() == 0.5);
  CHECK(value["a"][3].get<uint64_t>() == std::numeric_limits<uint64_t>::max());
  CHECK(value["b"]["c"].is_null());
  CHECK(value["b"]["d"].get<bool>());
  CHECK(value["e"].get<std::string>() == "\xC3\xA9\n");
  CHECK(parse_json("[]", "t").empty());
  CHECK(parse_json(" 7 ", "t").get<int>() == 7);
  CHECK(parse_json("[[1], [2, [3]], {\"x\": [4]}]", "t").dump() == "[[1],[2,[3]],{\"x\":[4]}]");
}

TEST_CASE("json: a byte order mark is skipped") {
  CHECK(parse_json("\xEF\xBB\xBF{\"a\": 1}", "t")["a"].get<int>() == 1);
}

TEST_CASE("json: faults are placed by line and column") {
  refused("{\"a\": 1,\n \"b\": tru}", {"t.json:2:10:", "not valid JSON"});
  refused("{\"a\": 1,\n\n  ]", {"t.json:3:3:"});
  refused("[1, 2", {"t.json:1:6:", "unexpected end of input"});
  refused("", {"t.json:1:1:"});
  // Columns count characters, not bytes.
  refused("[\"\xC3\xA9\xC3\xA9\" x]", {"t.json:1:7:"});
  expect_input_error({"log.jsonl:17:2:"}, [] { parse_json("[?]", "log.jsonl", 17); });
}

TEST_CASE("json: what is not strict JSON is refused") {
  for (const char* text :
       {"{\"a\": 1,}", "[1,]",        "{a: 1}", "{'a': 1}", "// c\n1", "/* c */ 1", "NaN",
        "[Infinity]",  "-Infinity",   "01",     "+1",       "1 2",     "{} {}",     "\"a\tb\"",
        "\"\\x\"",     "\"\\ud800\"", "\"open", "1e400",    "[1",      "{\"a\"}",   "undefined"}) {
    refused(text, {"t.json:1:", "not valid JSON"});
  }
  refused(std::string("{}\0garbage", 10), {"t.json:1:3:", "NUL"});
}

TEST_CASE("json: duplicate keys are refused where the second one stands") {
  refused("{\"a\": 1,\n  \"b\": 2, \"a\": 3}", {"t.json:2:11:", "\"a\"", "twice"});
  refused(R"({"x\"y": 1, "x\"y": 2})", {"t.json:1:13:", "twice"});
  CHECK(parse_json(R"({"a": {"a": 1}, "b": {"a": 2}})", "t")["b"]["a"].get<int>() == 2);
}

TEST_CASE("json: nesting is limited to 128 levels") {
  CHECK(parse_json(nested(128), "t").is_array());
  refused(nested(129), {"t.json:1:129:", "128 levels"});
  refused(std::string(1000000, '['), {"128 levels"});
  refused(std::string(300, '{'), {"t.json:1:2:"});
}

TEST_CASE("json: text must be UTF-8") {
  refused("[\"ab\xFF\"]", {"t.json:1:5:", "UTF-8", "offset 4"});
  refused("[\"\xED\xA0\x80\"]", {"UTF-8"});  // a surrogate
  refused("[\"\xC0\x80\"]", {"UTF-8"});      // an overlong form
}

TEST_CASE("json: long faulty tokens do not flood the message") {
  try {
    parse_json("[\"" + std::string(100000, 'x'), "t.json");
    FAIL("no error was thrown");
  } catch (const InputError& error) {
    CHECK(std::string(error.what()).size() < 400);
  }
}

TEST_CASE("json: files are read up to a limit and named in messages") {
  const TestFolder folder;
  const auto file = folder.write("a.json", "{\"a\": 1}");
  CHECK(read_json_file(file)["a"].get<int>() == 1);
  expect_input_error({"a.json"}, [&] { read_json_file(file, 4); });
  expect_input_error({"none.json"}, [&] { read_json_file(folder / "none.json"); });
  folder.write("b.json", "{\n!");
  expect_input_error({"b.json:2:1:"}, [&] { read_json_file(folder / "b.json"); });
}

TEST_CASE("json: typed members name source and key") {
  const Json value = parse_json(R"({"i": 5, "f": 2.5, "s": "x", "n": null})", "t");
  CHECK(get_number(value, "f", "c.json") == 2.5);
  CHECK(get_number(value, "i", "c.json") == 5.0);
  CHECK(get_string(value, "s", "c.json") == "x");
  expect_input_error({"c.json", "\"none\"", "missing"},
                     [&] { get_number(value, "none", "c.json"); });
  expect_input_error({"c.json", "\"n\"", "is null"}, [&] { get_string(value, "n", "c.json"); });
  expect_input_error({"c.json", "missing"}, [&] { get_string(Json::array(), "n", "c.json"); });
  expect_input_error({"\"s\"", "a number", "\"x\""}, [&] { get_number(value, "s", "c.json"); });
  expect_input_error({"\"i\"", "a string"}, [&] { get_string(value, "i", "c.json"); });
}

TEST_CASE("json: printing never fails") {
  const Json value = {{"b", std::nan("")}, {"a", {1, 2.5}}, {"s", "x\xFFy"}};
  CHECK(to_json_line(value) == "{\"a\":[1,2.5],\"b\":null,\"s\":\"x\xEF\xBF\xBDy\"}");
  CHECK(to_json_pretty(Json{{"a", 1}}) == "{\n  \"a\": 1\n}\n");
  const double third = 1.0 / 3.0;
  CHECK(parse_json(to_json_line(Json(third)), "t").get<double>() == third);
}
