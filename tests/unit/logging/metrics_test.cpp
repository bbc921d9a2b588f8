// metrics.jsonl: appended line by line, cut back to a step on resume.
#include "littlebit/logging/metrics.h"

#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "temp_folder.h"
#include "unit/logging/child_stderr.h"

namespace littlebit {
namespace {

using nlohmann::json;

TEST_CASE("metrics are appended as lines of JSON") {
  const TempFolder folder;
  const auto path = folder / "metrics.jsonl";
  {
    MetricsFile metrics(path);
    metrics.append({{"step", 1}, {"loss", 0.5}});
    CHECK_THROWS_AS(metrics.append(json::array({1})), std::logic_error);
  }
  MetricsFile(path).append({{"step", 2}, {"loss", std::numeric_limits<double>::quiet_NaN()}});
  CHECK(read_file(path) == "{\"loss\":0.5,\"step\":1}\n{\"loss\":null,\"step\":2}\n");
  CHECK_THROWS_AS(MetricsFile(folder / "none/metrics.jsonl"), OutputError);
}

TEST_CASE("truncate_after takes later lines out and keeps the others byte for byte") {
  const TempFolder folder;
  const auto path = folder / "metrics.jsonl";
  write_file(path,
             "{\"step\": 1, \"loss\": 1.0}\n"
             "{\"step\":2}\n"
             "{\"event\":\"evaluation\"}\n"
             "{\"step\":11}\n"
             "{\"step\":2.5}\n"
             "{\"step\":3}\n");
  MetricsFile::truncate_after(path, 2);
  CHECK(read_file(path) ==
        "{\"step\": 1, \"loss\": 1.0}\n{\"step\":2}\n{\"event\":\"evaluation\"}\n");
  MetricsFile(path).append({{"step", 3}});
  MetricsFile::truncate_after(path, 3);
  CHECK_THAT(read_file(path), Catch::EndsWith("evaluation\"}\n{\"step\":3}\n"));
  MetricsFile::truncate_after(path, 0);
  CHECK(read_file(path) == "{\"event\":\"evaluation\"}\n");
}

TEST_CASE("truncate_after takes torn lines out") {
  const TempFolder folder;
  const auto path = folder / "metrics.jsonl";
  // The third line was torn by a crash and continued by a later run; the last one is torn, though
  // it would be JSON; so would the second, whose front alone is left.
  write_file(path, "{\"step\":1}\n12\n{\"step\":2,\"lo\n{\"step\":2}\n\n{\"step\":3}");
  const std::string seen = stderr_of([&] { MetricsFile::truncate_after(path, 9); });
  CHECK_THAT(seen, Catch::Contains("warning: removed 4 unfinished lines from"));
  CHECK(read_file(path) == "{\"step\":1}\n{\"step\":2}\n");
}

TEST_CASE("truncate_after leaves a whole file, and a missing one, alone") {
  const TempFolder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsFile::truncate_after(path, 1);
  CHECK_FALSE(std::filesystem::exists(path));
  write_file(path, "");
  MetricsFile::truncate_after(path, 1);
  CHECK(read_file(path).empty());
  write_file(path, "{\"step\":1}\n");
  set_fault_hook([](std::string_view, const std::filesystem::path&) { return EIO; });
  CHECK_NOTHROW(MetricsFile::truncate_after(path, 1));  // nothing to take out: nothing is written
  CHECK_THROWS_AS(MetricsFile::truncate_after(path, 0), OutputError);
  set_fault_hook(nullptr);
  CHECK(read_file(path) == "{\"step\":1}\n");
}

}  // namespace
}  // namespace littlebit
