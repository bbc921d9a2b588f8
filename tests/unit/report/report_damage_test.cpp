// report.html from run folders that are incomplete, hostile or damaged.
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/report/report.h"
#include "report_page.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("text of the run's files is text on the page") {
  const TempFolder folder;
  const std::string evil = "<script>alert(1)</script>\\\"'&";
  write_file(folder / "run.json", "{\"model\":{\"path\":\"m/" + evil + "\",\"model_type\":\"" +
                                      evil +
                                      "\"},\"steps\":1,"
                                      "\"environment\":{\"" +
                                      evil + "\":\"" + evil +
                                      "\"},\"scores\":["
                                      "{\"step\":0,\"task\":\"" +
                                      evil +
                                      "\",\"model\":\"student\",\"perplexity\":3},"
                                      "{\"step\":1,\"task\":\"" +
                                      evil +
                                      "\",\"model\":\"student\",\"perplexity\":2},"
                                      "{\"step\":2,\"task\":\"" +
                                      evil +
                                      "\",\"model\":\"student\",\"perplexity\":1},"
                                      "{\"step\":2,\"task\":\"other" +
                                      evil + "\",\"model\":\"student\",\"protocol\":\"" + evil +
                                      "\",\"perplexity\":1}]}");
  write_file(folder / "factorization.jsonl", layer_line(0, evil, 0.5) + layer_line(1, evil, 0.25));
  write_file(folder / "config.yaml", "a:\n  b: <script>alert(1)</script>  # <b>\n");
  write_file(folder / "metrics.jsonl", "{\"<script>\n");
  const std::string page = report_of(folder.path());
  CHECK_THAT(page, Contains("<h1>script&gt;&quot;&#39;&amp;</h1>"));  // behind the path's last '/'
  CHECK_THAT(page, Contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
  CHECK_THAT(page, Contains("<code>&lt;script&gt;alert(1)&lt;/script&gt;</code><td><span "
                            "class=\"soft\">&lt;b&gt;"));
  CHECK_THAT(page, Contains("Not shown"));

  // A configuration of another form is shown as it is, bytes that are no UTF-8 as U+FFFD.
  write_file(folder / "config.yaml", "just <b>text\x01\xFF\n");
  CHECK_THAT(report_of(folder.path()),
             Contains("<pre>just &lt;b&gt;text\xEF\xBF\xBD\xEF\xBF\xBD\n"));
}

TEST_CASE("every file may be missing") {
  const std::vector<std::pair<std::string, std::string>> parts = {
      {"run.json", "Environment"},
      {"metrics.jsonl", "<h3>Loss</h3>"},
      {"factorization.jsonl", "Linear layers"},
      {"config.yaml", "Configuration"}};
  for (const auto& [missing, its_words] : parts) {
    const TempFolder folder;
    make_run(folder.path());
    std::filesystem::remove(folder / missing);
    const std::string page = report_of(folder.path());
    for (const auto& [name, words] : parts) {
      INFO(missing + ": " + words);
      CHECK((page.find(words) != std::string::npos) == (name != missing));
    }
  }
  const TempFolder empty;
  CHECK_THAT(report_of(empty.path()), Contains("no results yet"));
}

TEST_CASE("a report that cannot be written is an OutputError") {
  const TempFolder folder;
  CHECK_THROWS_AS(write_report(folder / "nowhere"), OutputError);
  write_file(folder / "file", "x");
  CHECK_THROWS_AS(write_report(folder / "file"), OutputError);
}

TEST_CASE("null and impossible values leave gaps") {
  const TempFolder folder;
  std::string metrics;
  for (int step = 1; step <= 9; ++step) {
    metrics += metrics_line(step, 5, step == 4 ? "null" : step == 8 ? "-1" : "2.5");
  }
  write_file(folder / "metrics.jsonl", metrics);
  write_file(folder / "run.json",
             R"({"summary": {"initial_perplexity": null, "final_perplexity": 12}})");
  const std::string page = report_of(folder.path());
  CHECK_THAT(page, Contains("<div class=\"value\">not finite</div>"));
  const std::string norm = figure(page, "Gradient norm before clipping");
  CHECK(points_of(norm, "line").size() == 7);  // 1 2 3 | 5 6 7 | 9
  CHECK(count(norm, "h0") == 1);               // the last one stands alone

  // Nothing but nulls: no chart.
  write_file(folder / "metrics.jsonl", metrics_line(1, 5, "null") + metrics_line(2, 5, "null"));
  CHECK(figure(report_of(folder.path()), "Gradient norm before clipping").empty());
}

TEST_CASE("damaged files never stop the report") {
  const TempFolder folder;
  make_run(folder.path());
  const std::string metrics = read_file(folder / "metrics.jsonl");
  const std::string layers = read_file(folder / "factorization.jsonl");

  SECTION("torn and foreign lines are counted") {
    write_file(folder / "metrics.jsonl",
               metrics + "\n[1]\n{\"loss\":3}\n{\"step\":\"x\"}\nnull\n{\"step\":41,\"lo");
    const std::string page = report_of(folder.path());
    CHECK_THAT(page, Contains("5 lines of metrics.jsonl skipped: metrics.jsonl"));
    CHECK_THAT(figure(page, "Loss"), Contains("total <b>2.5</b>"));
  }
  SECTION("any prefix of run.json") {
    for (size_t length = 0; length < kRun.size(); length += 97) {
      write_file(folder / "run.json", kRun.substr(0, length));
      CHECK_THAT(report_of(folder.path()), Contains("Not shown"));
    }
  }
  SECTION("members of other types") {
    const std::vector<std::string> values = {
        "[]",
        "3",
        "null",
        "\"x\"",
        "[[[]]]",
        "{}",
        "-1e308",
        "1e308",
        "18446744073709551615",
        "[{\"step\":1e300,\"task\":5,\"model\":[],\"perplexity\":\"x\"}, 7, null]"};
    for (const std::string& value : values) {
      INFO(value);
      std::string run = "{\"unknown\":" + value;
      for (const char* key : {"model", "data", "environment", "steps", "step", "tokens", "seconds",
                              "scores", "summary"}) {
        run += ",\"" + std::string(key) + "\":" + value;
      }
      write_file(folder / "run.json", run + "}");
      report_of(folder.path());
      write_file(folder / "run.json",
                 "{\"summary\":{\"teacher_perplexity\":" + value + ",\"final_perplexity\":" +
                     value + ",\"bytes\":{\"teacher\":" + "{\"linears\":" + value +
                     ",\"total\":" + value + "},\"packed\":{\"signs\":" + value +
                     ",\"total\":" + value + "},\"stored_bits_per_weight\":" + value + "}}}");
      report_of(folder.path());
      write_file(folder / "factorization.jsonl",
                 layers + "{\"name\":" + value + "}\n{\"name\":\"layers.9.x\"" + ",\"shape\":[" +
                     value + "," + value + "],\"rank\":" + value + ",\"bits\":" + value +
                     ",\"relative_error\":" + value + "}\n");
      CHECK_THAT(report_of(folder.path()), Contains("All 8 layers"));
      write_file(folder / "metrics.jsonl", metrics + "{\"step\":41,\"loss\":" + value +
                                               ",\"grad_norm\":" + value + "}\n{\"step\":" + value +
                                               ",\"loss\":" + value + "}\n");
      CHECK_FALSE(figure(report_of(folder.path()), "Loss").empty());
    }
  }
  SECTION("folders in the place of files") {
    for (const char* name : {"run.json", "metrics.jsonl", "factorization.jsonl", "config.yaml"}) {
      std::filesystem::remove(folder / name);
      std::filesystem::create_directory(folder / name);
    }
    CHECK(count(report_of(folder.path()), "<li>") == 4);
  }
}

}  // namespace
}  // namespace littlebit
