// A made-up run folder, and what the tests of the report read off its page.
#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/report/report.h"

namespace littlebit {

inline const std::string kRun = R"({
  "model": {"path": "models/tiny-llama/", "hash": "0f3a", "model_type": "llama"},
  "data": {"tokens": 1294336, "blocks": 2528, "sequence_length": 512},
  "environment": {"littlebit": "0.1.0", "processor": "Some CPU", "threads": 2},
  "steps": 40, "step": 40, "tokens": 81920, "seconds": 312.4,
  "scores": [
    {"step": 0, "task": "wikitext2", "model": "teacher", "protocol": "chunks@512",
     "perplexity": 7.5, "tokens": 48213},
    {"step": 0, "task": "wikitext2", "model": "student", "protocol": "chunks@512",
     "perplexity": 3000.0, "tokens": 48213},
    {"step": 20, "task": "wikitext2", "model": "student", "protocol": "chunks@512",
     "perplexity": 40.0, "tokens": 48213},
    {"step": 40, "task": "wikitext2", "model": "student", "protocol": "chunks@512",
     "perplexity": 15.0, "tokens": 48213}],
  "summary": {"teacher_perplexity": 7.5, "initial_perplexity": 3000.0, "final_perplexity": 15.0,
    "bytes": {
      "teacher": {"signs": 0, "scales": 0, "linears": 2097152, "biases": 0, "norms": 1024,
                  "embeddings": 1048576, "head": 0, "other": 0, "total": 3146752},
      "packed": {"signs": 65536, "scales": 32768, "linears": 0, "biases": 0, "norms": 1024,
                 "embeddings": 524288, "head": 0, "other": 0, "total": 623616},
      "formula_bits_per_weight": 0.55, "stored_bits_per_weight": 0.5812}}
})";

inline const std::string kConfig =
    "model:\n"
    "  path: models/tiny-llama  # demo.yaml:3\n"
    "data:\n"
    "  train:  # demo.yaml:9\n"
    "    - path: first.txt  # demo.yaml:9\n"
    "      format: text  # default\n"
    "    - path: \"a  # b.txt\"  # command line\n"
    "      format: jsonl  # command line\n"
    "optim:\n"
    "  beta1: 0.875  # default\n";

inline std::string metrics_line(int step, double loss, const std::string& grad_norm) {
  return "{\"step\":" + std::to_string(step) + ",\"loss\":" + std::to_string(loss) +
         ",\"loss_kl\":" + std::to_string(0.25 * loss) +
         ",\"loss_hidden\":" + std::to_string(0.75 * loss) +
         ",\"learning_rate\":0.0004,\"grad_norm\":" + grad_norm +
         ",\"sign_flip_fraction\":0.01,\"tokens\":2048,\"tokens_per_second\":1250.5}\n";
}

inline std::string layer_line(int block, const std::string& kind, double error) {
  return "{\"name\":\"model.layers." + std::to_string(block) + "." + kind +
         "\",\"shape\":[768,288],\"rank\":88,\"paths\":2,\"bits\":0.546,\"relative_error\":" +
         std::to_string(error) +
         ",\"seconds\":0.2,\"at_floor\":" + (block == 0 ? "true" : "false") +
         ",\"at_cap\":false}\n";
}

// A folder with the four files of a finished run.
inline void make_run(const std::filesystem::path& folder) {
  std::string metrics, layers;
  for (int step = 1; step <= 40; ++step) metrics += metrics_line(step, 100.0 / step, "1.5");
  for (int block = 0; block < 3; ++block) {
    layers += layer_line(block, "mlp.up_proj", 0.5 + 0.1 * block);
    layers += layer_line(block, "mlp.gate_proj", 0.3);
  }
  write_file(folder / "run.json", kRun);
  write_file(folder / "metrics.jsonl", metrics);
  write_file(folder / "factorization.jsonl", layers);
  write_file(folder / "config.yaml", kConfig);
}

inline size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// Writes the report and checks what holds for every one of them.
inline std::string report_of(const std::filesystem::path& folder) {
  write_report(folder);
  const std::string page = read_file(folder / "report.html");
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
  for (const char* tag : {"main", "section", "div", "figure", "svg", "table", "details", "p"}) {
    const std::string name = tag;
    INFO(name);
    CHECK(count(page, "<" + name + ">") + count(page, "<" + name + " ") ==
          count(page, "</" + name + ">"));
  }
  // Self-contained.
  for (const char* word :
       {"<script", "<link", "<img", "<iframe", "url(", "@import", "http://", "https://", "src="}) {
    INFO(word);
    CHECK(page.find(word) == std::string::npos);
  }
  // No number went wrong on its way into markup.
  for (const char* word : {"nan%", "inf%", "\"nan", " nan", "Mnan", "Lnan", "-nan"}) {
    INFO(word);
    CHECK(page.find(word) == std::string::npos);
  }
  return page;
}

// The figure with this title, "" where there is none.
inline std::string figure(const std::string& page, const std::string& title) {
  const size_t heading = page.find("<h3>" + title + "</h3>");
  if (heading == std::string::npos) return "";
  return page.substr(heading, page.find("</figure>", heading) - heading);
}

struct Point {
  double x, y;
};

// All points of the first path of a class in a figure.
inline std::vector<Point> points_of(const std::string& figure_html, const std::string& css_class) {
  std::vector<Point> points;
  size_t at = figure_html.find("<path class=\"" + css_class + "\"");
  REQUIRE(at != std::string::npos);
  at = figure_html.find(" d=\"", at) + 4;
  const std::string data = figure_html.substr(at, figure_html.find('"', at) - at);
  for (size_t i = data.find_first_of("ML"); i != std::string::npos;
       i = data.find_first_of("ML", i + 1)) {
    char* end = nullptr;
    const double x = std::strtod(data.c_str() + i + 1, &end);
    points.push_back({x, std::strtod(end, nullptr)});
  }
  return points;
}

}  // namespace littlebit
