// report.html from a made-up run folder: what it shows, and how its curves are thinned.
#include "littlebit/report/report.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "littlebit/core/write_file.h"
#include "report_page.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("a finished run shows its results, curves, layers, bytes and settings") {
  const TempFolder folder;
  make_run(folder.path());
  const std::string page = report_of(folder.path());

  CHECK_THAT(page, Contains("<h1>tiny-llama</h1>"));
  CHECK_THAT(page, Contains("finished"));
  CHECK_THAT(page, Contains("<div class=\"value\">7.5</div>"));
  CHECK_THAT(page, Contains("<div class=\"value\">3,000</div>"));
  CHECK_THAT(page, Contains("<div class=\"value\">15</div>"));
  CHECK_THAT(page, Contains("2&times; the teacher's"));
  CHECK_THAT(page, Contains("3.00 MiB before"));
  CHECK_THAT(page, Contains("<div class=\"value\">609.00 KiB</div>"));
  CHECK_THAT(page, Contains("5.05&times; smaller"));  // 3146752 / 623616
  CHECK_THAT(page, Contains("0.55 by the paper's formula"));
  CHECK_THAT(page, Contains("wikitext2 (chunks@512)"));

  for (const char* title :
       {"Loss", "Perplexity of the student", "Gradient norm before clipping",
        "Latent signs changed by a step", "Learning rate", "Tokens per second"}) {
    INFO(title);
    CHECK(count(figure(page, title), "<path class=\"line\"") ==
          (title == std::string("Loss") ? 3 : 1));
  }
  CHECK_THAT(figure(page, "Loss"), Contains("hidden states <b>1.875</b>"));  // 0.75 * 100 / 40
  CHECK_THAT(figure(page, "Loss"), Contains("log scale"));                   // 0.6 ... 100
  CHECK_THAT(figure(page, "Learning rate"), !Contains("log scale"));
  CHECK_THAT(figure(page, "Perplexity of the student"), Contains("teacher <b>7.5</b>"));
  CHECK_THAT(figure(page, "Perplexity of the student"), Contains("step 20: 40</title>"));

  // linears 2 MiB -> signs 64 KiB + scales 32 KiB
  CHECK_THAT(page, Contains("linear layers<td class=\"n\">2.00 MiB<td class=\"n\">96.00 KiB<td "
                            "class=\"n\">21.3&times;"));
  CHECK_THAT(page, Contains("signs<td class=\"n\">&ndash;<td class=\"n\">64.00 KiB"));
  CHECK(page.find("biases<td") == std::string::npos);  // neither has any

  CHECK_THAT(page, Contains("<tr><td>up_proj<td class=\"n\">88<td class=\"n\">0.546<td "
                            "class=\"n\">0.6<span"));  // the mean of 0.5, 0.6, 0.7
  CHECK_THAT(page, Contains("1 at quant.min_rank"));
  CHECK_THAT(page, Contains("1,327,104 weights"));  // 6 * 768 * 288
  CHECK_THAT(page, Contains("All 6 layers"));
  CHECK_THAT(page, Contains("<code>model.layers.2.mlp.gate_proj</code>"));
  CHECK(count(page, "<rect ") == 6);

  CHECK_THAT(page, Contains("data.train[0].path</code><td><code>first.txt</code><td><span "
                            "class=\"soft\">demo.yaml:9<"));
  CHECK_THAT(page, Contains("data.train[1].path</code><td><code>&quot;a  # b.txt&quot;</code>"));
  CHECK(count(page, "<code>optim.beta1</code><td><code>0.875</code>") == 1);  // of all options only
  CHECK(count(page, "<code>model.path</code><td><code>models/tiny-llama</code>") == 2);
  CHECK_THAT(page, Contains("All 6 options"));

  CHECK_THAT(page, Contains("Some CPU"));
  CHECK_THAT(page, Contains("1,294,336"));
  CHECK(page.find("Not shown") == std::string::npos);
}

TEST_CASE("a run that was stopped says how far it came") {
  const TempFolder folder;
  write_file(folder / "run.json", R"({"steps": 1000, "step": 250, "tokens": 512000})");
  const std::string page = report_of(folder.path());
  CHECK_THAT(page, Contains("step 250 of 1,000"));
  CHECK(page.find("finished") == std::string::npos);
  CHECK(page.find("Student after training") == std::string::npos);
}

TEST_CASE("several tasks make a table") {
  const TempFolder folder;
  write_file(folder / "run.json", R"({"scores": [
    {"step": 0, "task": "wikitext2", "model": "teacher", "protocol": "p", "perplexity": 8},
    {"step": 0, "task": "c4", "model": "teacher", "protocol": "p", "perplexity": 10},
    {"step": 0, "task": "wikitext2", "model": "student", "protocol": "p", "perplexity": 900},
    {"step": 0, "task": "c4", "model": "student", "protocol": "p", "perplexity": null},
    {"step": 0, "task": "boolq", "model": "teacher", "acc": 0.75, "documents": 3270},
    {"step": 0, "task": "boolq", "model": "student", "acc": 0.5, "documents": 3270},
    {"step": 3, "task": "boolq", "model": "student", "acc": 0.55, "documents": 3270},
    {"step": 5, "task": "boolq", "model": "student", "acc": 0.6, "acc_stderr": 0.01,
     "metric": "acc", "documents": 3270},
    {"step": 5, "task": "wikitext2", "model": "student", "protocol": "p", "perplexity": 12},
    {"step": 5, "task": "c4", "model": "student", "protocol": "p", "perplexity": 25}],
    "best": {"step": 5, "task": "wikitext2", "metric": "perplexity", "value": 12}})");
  const std::string page = report_of(folder.path());
  CHECK_THAT(page, Contains("<td>wikitext2<td>perplexity<td class=\"n\">8<td class=\"n\">900<td "
                            "class=\"n\">12<td class=\"n\">1.5&times;"));
  CHECK_THAT(
      page,
      Contains(
          "<td>c4<td>perplexity<td class=\"n\">10<td class=\"n\">not finite<td class=\"n\">25"));
  CHECK_THAT(page, Contains("<td>boolq<td>accuracy<td class=\"n\">0.75<td class=\"n\">0.5<td "
                            "class=\"n\">0.6 &plusmn; 0.01<td class=\"n\">0.8&times;<td "
                            "class=\"n\">3,270 documents"));
  CHECK_THAT(page, Contains("Best: 12 after step 5"));
  CHECK_THAT(figure(page, "Accuracy of the student"), Contains("teacher <b>0.75</b>"));
}

TEST_CASE("lines out of order are drawn in order") {
  const TempFolder folder;
  write_file(folder / "metrics.jsonl",
             metrics_line(3, 30, "1") + metrics_line(1, 10, "1") + metrics_line(2, 20, "1"));
  const std::vector<Point> points = points_of(figure(report_of(folder.path()), "Loss"), "line");
  REQUIRE(points.size() == 3);
  CHECK(points[0].x == 0);
  CHECK(points[1].x == 500);
  CHECK(points[2].x == 1000);
  CHECK(points[0].y > points[1].y);  // y grows downwards
  CHECK(points[1].y > points[2].y);
}

TEST_CASE("a long run stays small, and its extremes stay") {
  const TempFolder folder;
  std::string metrics;
  for (int step = 1; step <= 100000; ++step) {
    const double wave = 2 + std::sin(0.37 * step);
    metrics += metrics_line(step, wave,
                            step == 54321   ? "1000000"
                            : step == 20001 ? "0.000001"
                                            : std::to_string(wave));
  }
  write_file(folder / "metrics.jsonl", metrics);
  const auto begin = std::chrono::steady_clock::now();
  const std::string page = report_of(folder.path());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  CHECK(seconds.count() < 60);  // about one; anything quadratic in the steps takes hours
  CHECK(page.size() < 400000);

  const std::string norm = figure(page, "Gradient norm before clipping");
  const std::vector<Point> points = points_of(norm, "faint");
  CHECK(points.size() <= 2000);
  CHECK(points.size() > 500);
  CHECK(points_of(norm, "trend").size() <= 200);
  Point top{0, 1000}, bottom{0, 0};
  for (const Point& point : points) {
    if (point.y < top.y) top = point;
    if (point.y > bottom.y) bottom = point;
  }
  CHECK(top.x == Approx(543.2).margin(0.1));
  CHECK(top.y == Approx(1000 * 0.05 / 1.1).margin(1));  // the axis is 5 % wider at both ends
  CHECK(bottom.x == Approx(200.0).margin(0.1));
  CHECK(bottom.y == Approx(1000 * 1.05 / 1.1).margin(1));
}

}  // namespace
}  // namespace littlebit
