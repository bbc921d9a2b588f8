// littlebit-bench: the steps of a made model add up, unknown words are refused, and the report of a
// device check sees what did not run.
#include "littlebit/bench/bench.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bench/cases.h"
#include "littlebit/bench/device_check.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

BenchOptions tiny() {
  BenchOptions options;
  options.run.repeats = 3;
  options.run.device = DeviceKind::kCpu;
  options.stack = {.hidden_size = 64,
                   .intermediate_size = 96,
                   .heads = 4,
                   .kv_heads = 2,
                   .vocabulary = 256,
                   .blocks = 4};
  return options;
}

Json run(BenchOptions options, const std::vector<std::string>& names) {
  const TempFolder temp;
  options.run.output = temp.path() / "out.json";
  REQUIRE(run_bench(options, names) == ExitCode::kDone);
  return read_json_file(options.run.output).at("cases");
}

TEST_CASE("a step's parts make up its time, and its products are those of the schedule") {
  BenchOptions options = tiny();
  for (const int64_t blocks : {1, 2, 4}) {
    options.cases.steps.push_back(
        {.bits = 1, .blocks = blocks, .micro_batch_size = 2, .sequence_length = 32});
  }
  options.cases.steps.erase(options.cases.steps.begin());
  const Json result = run(options, {"step"}).at("step");
  const Json& rows = result.at("rows");
  REQUIRE(rows.size() == 3);
  for (const Json& row : rows) {
    double parts = 0;
    for (const char* part :
         {"teacher", "student forward", "loss", "recompute and backward", "optimizer"}) {
      CHECK(row.at(part).get<double>() > 0);
      parts += row.at(part).get<double>();
    }
    // Medians of parts and of the whole, of different steps on a busy machine.
    CHECK(parts < 10 * row.at("seconds").get<double>());
    CHECK(parts > row.at("seconds").get<double>() / 10);
    CHECK(row.at("product_seconds").get<double>() > 0);
  }
  // 64 tokens: multiplications and additions by hand. Per block the weights are q, k, v, o, gate,
  // up, down; the teacher has each once, of the student's factors each is used in two forwards, and
  // twice in the backward.
  const Json& products = rows[0].at("products");
  double times = 0;
  for (const Json& product : products) times += product.at("times").get<double>();
  // 7 layers: 1 + 2 + 2 + 2 + 2; attention: (4 + 4 + 2) causal parts of two sequences; heads: 3.
  CHECK(times == Approx(7 * 9 + 10 * 2 * 33.0 / 64 + 3));

  const Json& line = result.at("extrapolated").at(0);
  CHECK(line.at("blocks") == 4);
  const double a = rows[0].at("seconds"), b = rows[1].at("seconds");
  CHECK(line.at("seconds").get<double>() == Approx(a + 3 * (b - a)));
  CHECK(line.at("measured") == rows[2].at("seconds"));
}

TEST_CASE("steps with levers are those without, in loss and gradients") {
  BenchOptions options = tiny();
  StepRun plain = {.bits = 1, .blocks = 3, .micro_batch_size = 2, .sequence_length = 32};
  for (const int64_t micro_batches : {1, 2}) {
    plain.micro_batches = micro_batches;
    options.cases.steps = {plain};
    for (int lever = 0; lever < 5; ++lever) {
      StepRun run = plain;
      if (lever == 0 || lever == 4) run.state_device = StateDevice::kCpu;
      if (lever == 1 || lever == 4) run.moments = MomentType::kInt8;
      if (lever == 2 || lever == 4) run.streams_teacher = true;
      if (lever == 3 || lever == 4) run.inputs = {BlockInputs::kBf16, InputsPlace::kCpu};
      options.cases.steps.push_back(run);
    }
    const Json rows = run(options, {"step"}).at("step").at("rows");
    REQUIRE(rows.size() == 6);
    CHECK(rows[0].at("levers") == "none");
    CHECK(rows[4].at("levers") == "block_inputs bf16, block_inputs_device cpu");
    CHECK(rows[0].at("step_loss").get<double>() > 0);
    CHECK(rows[0].at("gradient_norm").get<double>() > 0);
    for (const Json& row : rows) {
      CAPTURE(row.at("levers").get<std::string>());
      // Block inputs of 8 bits: of gradients that are sums of 64 tokens, a thousandth.
      const bool is_rounded = row.at("levers").get<std::string>().find("bf16") != std::string::npos;
      const double allowed = is_rounded ? 2e-3 : 1e-6;
      CHECK(row.at("step_loss").get<double>() ==
            Approx(rows[0].at("step_loss").get<double>()).epsilon(1e-6));
      CHECK(row.at("gradient_norm").get<double>() ==
            Approx(rows[0].at("gradient_norm").get<double>()).epsilon(allowed));
    }
  }
}

TEST_CASE("made models of every case run") {
  BenchOptions options = tiny();
  options.cases.dense = {{.blocks = 2, .micro_batch_size = 1, .sequence_length = 16}};
  options.cases.shapes = {"48x64"};
  options.cases.rows = {"1", "9"};
  options.cases.bits = {"1.5"};
  options.cases.new_tokens = 4;
  const Json cases = run(options, {"machine", "signs", "layers", "dense", "generate", "svd"});
  CHECK(cases.size() == 6);
  CHECK(cases.at("layers").at("rows").size() == 2);
  CHECK(cases.at("generate").at("rows").size() == 2);
  CHECK(cases.at("generate").at("rows")[0].at("tokens_per_second").get<double>() > 0);
  const double error = cases.at("svd").at("rows")[0].at("truncation_error");
  CHECK(error > 0);
  CHECK(error < 1);
}

TEST_CASE("every operation stands beside its plain form and the machine's limit") {
  BenchOptions options = tiny();
  options.run.repeats = 1;
  const Json rows = run(options, {"operations"}).at("operations").at("rows");
  REQUIRE(rows.size() > 10);
  for (const Json& row : rows) {
    CHECK(row.at("plain_seconds").get<double>() > 0);
    CHECK(row.at("limit_seconds").get<double>() > 0);
    CHECK(row.at("share").get<double>() ==
          Approx(row.at("limit_seconds").get<double>() / row.at("seconds").get<double>()));
  }
}

TEST_CASE("a run is held against an earlier one, row by row") {
  const CaseTable table = {"rows",
                           "Layers",
                           {{"shape", "shape"},
                            {"rows", "rows", CellFormat::kCount},
                            {"ms", "seconds", CellFormat::kMilliseconds, Role::kTime},
                            {"bits", "bits", CellFormat::kNumber},
                            {"tokens/s", "rate", CellFormat::kFixed1, Role::kRate}}};
  const auto row = [](const char* shape, int rows, double seconds, double rate) {
    return Json{{"shape", shape}, {"rows", rows}, {"seconds", seconds}, {"rate", rate}};
  };
  Json before = {{"rows", {row("4x4", 1, 0.5, 100), row("8x8", 1, 2, 10)}}};
  const Json now = {{"rows", {row("8x8", 1, 1, 5), row("4x4", 2, 1, 1), row("4x4", 1, 0.5, 1)}}};
  const auto compared = compare(table, before, now);
  REQUIRE(compared);
  const std::string text = compared->markdown();
  CAPTURE(text);
  CHECK(std::count(text.begin(), text.end(), '\n') == 6);  // two rows of two columns
  CHECK(text.find("2.00") != std::string::npos);           // half the time
  CHECK(text.find("0.50") != std::string::npos);           // half the rate
  CHECK(text.find("0.01") != std::string::npos);
  CHECK_FALSE(compare(table, Json::object(), now));
  before["rows"][0]["seconds"] = "soon";  // somebody else's file
  CHECK(compare(table, before, now));
}

TEST_CASE("what cannot be measured is refused") {
  const TempFolder written;
  write_file(written.path() / "other.json", "{\"cases\": 3}");
  CHECK_THROWS_AS(run_bench(tiny(), {"machine"}, written.path() / "other.json"), InputError);
  CHECK_THROWS_AS(run_bench(tiny(), {"machine"}, written.path() / "none.json"), InputError);
  CHECK_THROWS_AS(run_bench(tiny(), {"setp"}), UsageError);
  CHECK_THROWS_AS(run_bench(tiny(), {"golden"}), UsageError);
  CHECK_THROWS_AS(run_bench(tiny(), {"tokenizer"}), UsageError);
  BenchOptions options = tiny();
  options.stack.heads = 5;
  CHECK_THROWS_AS(run_bench(options, {"step"}), UsageError);
  options = tiny();
  options.cases.shapes = {"48"};
  CHECK_THROWS_AS(run_bench(options, {"layers"}), UsageError);
  options.cases.operations = {"rotery"};
  CHECK_THROWS_AS(run_bench(options, {"operations"}), UsageError);
  options.cases.shapes = {"48x-1"};
  CHECK_THROWS_AS(run_bench(options, {"svd"}), UsageError);
  const TempFolder empty;
  options.cases.golden = empty.path();
  CHECK_THROWS_AS(run_bench(options, {"golden"}), InputError);
}

TEST_CASE("the report of a device check names parts that hung, failed or left nothing") {
  const TempFolder temp;
  const fs::path& folder = temp.path();
  const std::string result =
      R"({"environment": {"device": "cpu"}, "cases": {"dense": {"rows": [{"blocks": 4}]}}})";
  const auto report = [&](const std::string& parts) {
    write_file(folder / "parts.txt", "device cpu\n" + parts);
    const ExitCode code = report_device_check(folder);
    const Json check = read_json_file(folder / "check.json");
    CHECK((code == ExitCode::kDone) == check.at("failures").empty());
    return check.at("failures").get<std::vector<std::string>>();
  };
  for (const char* part : {"checks", "step", "dense", "generate", "operations"}) {
    write_file(folder / (std::string(part) + ".json"), result);
  }
  fs::create_directories(folder / "demo");
  write_file(folder / "demo" / "run.json", R"({"summary": {"final_perplexity": 70.5}})");
  write_file(folder / "demo" / "metrics.jsonl", "{\"seconds\": 0.5, \"loss\": 8}\n");
  fs::create_directories(folder / "processes");
  const auto two_processes = [&](const char* loss) {
    write_file(folder / "processes" / "metrics.jsonl", "{\"loss\": " + std::string(loss) + "}\n");
  };
  two_processes("8.1");
  const std::string good =
      "checks 0 1\ndemo 0 1\nprocesses 0 1\nstep 0 1\ndense 0 1\ngenerate 0 1\n"
      "operations 0 1\n";
  CHECK(report(good).empty());
  CHECK(read_file(folder / "check.md").find("Dense forward and backward") != std::string::npos);

  two_processes("9");
  CHECK(report(good) == std::vector<std::string>{"two processes give other losses than one"});
  two_processes("8");

  CHECK(report("checks 124 45\ndemo 0 1\nprocesses 0 1\nstep 5 1\ndense 0 1\noperations 0 1\n") ==
        std::vector<std::string>{"checks timed out", "step ended with exit code 5",
                                 "generate did not run"});

  const auto lever = [&](const char* name, const char* levers, const char* loss) {
    write_file(folder / (std::string(name) + ".json"),
               R"({"environment": {}, "cases": {"step": {"rows": [{"bits": 1, "blocks": 4,
                   "batch": "4 x 8", "tokens_per_second": 10, "gradient_norm": 2, "levers": ")" +
                   std::string(levers) + R"(", "step_loss": )" + loss + "}]}}}");
  };
  lever("lever-none", "none", "3");
  lever("lever-state", "state_device cpu", "3.01");
  lever("lever-teacher", "teacher streamed", "3.05");
  CHECK(report(good + "lever-none 0 1\nlever-state 0 1\n").empty());
  CHECK(read_file(folder / "check.md").find("state_device cpu") != std::string::npos);
  CHECK(report(good + "lever-none 0 1\nlever-teacher 0 1\nlever-all 124 9\n") ==
        std::vector<std::string>{"lever-all timed out",
                                 "with teacher streamed the loss or the gradients are others"});

  write_file(folder / "dense.json", "{");
  CHECK(report(good) == std::vector<std::string>{"dense left no result"});
  fs::remove_all(folder / "demo");
  CHECK(report(good).size() == 3);  // what the processes are compared with is gone, too
  CHECK(read_file(folder / "check.md").find("**FAILED**: demo left no result") !=
        std::string::npos);
}

}  // namespace
}  // namespace littlebit
