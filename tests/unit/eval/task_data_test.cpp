// Which of several files a task takes, and from which folder.
#include "../../../src/eval/task_data.h"

#include <catch2/catch.hpp>
#include <initializer_list>
#include <string>

#include "littlebit/core/write_file.h"
#include "temp_folder.h"
#include "unit/io/expect_error.h"

namespace littlebit {

using test::expect_input_error;

namespace {

std::string found_in(std::initializer_list<const char*> files, std::vector<std::string> patterns) {
  const TempFolder temp;
  create_folders(temp / "mine");
  for (const char* file : files) write_file(temp / file, "");
  const TaskData data{"task", "mine", std::move(patterns), "nowhere"};
  return find_task_file(data, temp.path()).lexically_relative(temp.path()).string();
}

TEST_CASE("a task takes the first file by folder, then by pattern, then by name") {
  CHECK(found_in({"mine/b.jsonl", "mine/a.jsonl"}, {"*.jsonl"}) == "mine/a.jsonl");
  CHECK(found_in({"mine/a.jsonl", "mine/z.txt"}, {"z.txt", "*.jsonl"}) == "mine/z.txt");
  CHECK(found_in({"a.jsonl", "mine/b.jsonl"}, {"*.jsonl"}) == "mine/b.jsonl");
  CHECK(found_in({"a.jsonl"}, {"*.jsonl"}) == "a.jsonl");
}

TEST_CASE("a star in a task's pattern stands for any characters, also for none") {
  CHECK(found_in({"mine/c4.0001.json.gz"}, {"c4.*.json.gz"}) == "mine/c4.0001.json.gz");
  CHECK(found_in({"mine/c4..json.gz"}, {"c4.*.json.gz"}) == "mine/c4..json.gz");
  CHECK(found_in({"mine/.jsonl"}, {"*.jsonl"}) == "mine/.jsonl");  // hidden files as well
  CHECK(found_in({"mine/\xC3\xA9t\xFF.jsonl"}, {"*.jsonl"}) == "mine/\xC3\xA9t\xFF.jsonl");
  expect_input_error({"task task", "c4.*.json.gz"}, [] {
    found_in({"mine/c4.json.gz", "mine/c4xjson.gz"}, {"c4.*.json.gz"});
  });
  expect_input_error({"task task"}, [] { found_in({"mine/a.jsonl.gz"}, {"*.jsonl"}); });
}

}  // namespace
}  // namespace littlebit
