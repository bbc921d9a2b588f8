// Generation: the recorded greedy text, all caches alike, draws, stops and what is refused.
#include "littlebit/eval/generate.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/sampling.h"
#include "littlebit/export/packed.h"
#include "littlebit/models/forward.h"
#include "littlebit/tokenizer/folder.h"
#include "support/paths.h"
#include "support/tiny_student.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

fs::path golden() { return fs::path(test::kSourceDir) / "tests/golden"; }

// A tokenizer for models without one: id n is the n-th of some letters.
class Letters : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, bool /*special*/) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(c - 'A');
    return ids;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) text += static_cast<char>('A' + id % 26);
    return text;
  }
  int64_t vocab_size() const override { return 1; }
  std::optional<int32_t> bos_id() const override { return {}; }
  std::optional<int32_t> eos_id() const override { return {}; }
  std::string content_hash() const override { return ""; }
  std::string description() const override { return ""; }
};

struct Text {
  Generation result;
  std::string text;
};

Text run(const Decoder& decoder, const Tokenizer& tokenizer, const std::vector<int32_t>& prompt,
         const GenerateOptions& options, const std::vector<int32_t>& ends = {}) {
  Text text;
  text.result = generate(decoder, tokenizer, prompt, ends, options,
                         [&](std::string_view piece) { text.text += piece; });
  return text;
}

// Each id is the argmax of the uncached forward over all before it.
void check_greedy(const Decoder& decoder, const std::vector<int32_t>& prompt,
                  const std::vector<int32_t>& generated) {
  std::vector<int32_t> ids = prompt;
  for (const int32_t id : generated) {
    const at::Tensor row = at::tensor(at::ArrayRef<int32_t>(ids), at::kInt).unsqueeze(0);
    const at::Tensor logits = forward_full(decoder, row, false).logits[0][-1];
    REQUIRE(logits.argmax().item<int64_t>() == id);
    ids.push_back(id);
  }
}

TEST_CASE("the recorded greedy text of stories260K", "[generate]") {
  const EvalModel model(golden() / "stories260k", at::kFloat, at::kCPU);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(golden() / "stories260k");
  const Json reference = read_json_file(golden() / "stories260k/reference_greedy.json");
  auto ids = reference["ids"].get<std::vector<int32_t>>();
  const std::vector<int32_t> prompt = tokenizer->encode("", true);
  REQUIRE(prompt == std::vector<int32_t>{1});
  for (const CacheKind kind : {CacheKind::kFull, CacheKind::kNone}) {
    GenerateOptions options;
    options.max_new_tokens = kind == CacheKind::kFull ? static_cast<int64_t>(ids.size()) - 1 : 40;
    options.kv_cache = kind;
    const Text text = run(model.decoder(), *tokenizer, prompt, options);
    CHECK(text.result.ids ==
          std::vector<int32_t>(ids.begin() + 1, ids.begin() + 1 + options.max_new_tokens));
    CHECK(text.result.end == GenerationEnd::kLength);
    const auto whole = reference["text"].get<std::string>();
    CHECK(text.text == (kind == CacheKind::kFull ? whole : whole.substr(0, text.text.size())));
    CHECK(text.text.size() > 80);
  }
}

TEST_CASE("greedy text is the argmax of the uncached forward on every architecture", "[generate]") {
  for (const char* set : {"models", "more_models", "newer_models"}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(golden() / set)) {
      if (!entry.is_directory()) continue;
      DYNAMIC_SECTION(entry.path().filename().string()) {
        const EvalModel model(entry.path(), at::kFloat, at::kCPU);
        const ModelSpec& spec = model.decoder().spec();
        GenerateOptions options;
        options.max_new_tokens = spec.learned_positions && spec.max_positions < 48 ? 24 : 40;
        const std::vector<int32_t> prompt = {3, 1, 4, 1, 5, 9};
        const Text text = run(model.decoder(), Letters(), prompt, options);
        CHECK(text.result.ids.size() == static_cast<size_t>(options.max_new_tokens));
        check_greedy(model.decoder(), prompt, text.result.ids);
      }
    }
  }
}

TEST_CASE("a packed model generates the same with every cache", "[generate]") {
  TempFolder temp;
  const fs::path teacher = temp.path() / "teacher";
  create_folders(teacher);
  test::write_tiny_llama(teacher, {.biases = true});
  const test::TinyStudent tiny(teacher);
  export_packed(temp.path() / "packed", *tiny.student, tiny.plans, tiny.options, tiny.files);
  const EvalModel model(temp.path() / "packed", at::kFloat, at::kCPU);
  REQUIRE(model.packed());
  GenerateOptions options;
  options.max_new_tokens = 60;
  const std::vector<int32_t> prompt = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};
  const Text full = run(model.decoder(), Letters(), prompt, options);
  check_greedy(model.decoder(), prompt, full.result.ids);
  for (const CacheKind kind : {CacheKind::kLatent, CacheKind::kNone}) {
    options.kv_cache = kind;
    CHECK(run(model.decoder(), Letters(), prompt, options).result.ids == full.result.ids);
  }
  int64_t latents = 0;
  for (const LayerPlan& plan : tiny.plans) {
    const bool kv = plan.name.ends_with("k_proj") || plan.name.ends_with("v_proj");
    if (kv) latents += plan.paths * plan.rank;
  }
  CHECK(IncrementalDecoder::bytes_per_token(model.decoder(), CacheKind::kLatent) == 4 * latents);
  CHECK(IncrementalDecoder::bytes_per_token(model.decoder(), CacheKind::kFull) == 4 * 2 * 2 * 16);

  options.kv_cache = CacheKind::kLatent;
  const EvalModel dense(teacher, at::kFloat, at::kCPU);
  CHECK_THROWS_WITH(run(dense.decoder(), Letters(), prompt, options),
                    Catch::Contains("latent cache") && Catch::Contains("k_proj"));
}

TEST_CASE("draws follow temperature, top_k and top_p, and depend on seed and index alone",
          "[generate]") {
  const std::vector<double> p = {0.1, 0.4, 0.05, 0.3, 0.15};
  const at::Tensor logits = at::log(at::tensor(p, at::kDouble)).to(at::kFloat) + 3;
  GenerateOptions options;
  const auto shares = [&] {
    constexpr int kDraws = 20000;
    std::vector<double> share(p.size());
    for (int i = 0; i < kDraws; ++i) share[sample_token(logits, options, i)] += 1.0 / kDraws;
    return share;
  };
  constexpr double kNoise = 0.02;  // five standard deviations of a share of 20,000 draws
  const auto check = [&](const std::vector<double>& want) {
    const std::vector<double> got = shares();
    double sum = 0;
    for (const double weight : want) sum += weight;
    for (size_t i = 0; i < want.size(); ++i) {
      if (want[i] == 0) CHECK(got[i] == 0);
      CHECK(std::abs(got[i] - want[i] / sum) < kNoise);
    }
  };
  check({0, 1, 0, 0, 0});  // temperature 0
  options.temperature = 1;
  check(p);
  CHECK(shares() == shares());
  const int32_t first = sample_token(logits, options, 7);
  CHECK(sample_token(logits, options, 7) == first);
  options.top_k = 2;
  check({0, 0.4, 0, 0.3, 0});
  options.top_k = 0;
  options.top_p = 0.71;  // 0.4 + 0.3 are not enough
  check({0, 0.4, 0, 0.3, 0.15});
  options.top_p = 0.39;
  check({0, 1, 0, 0, 0});
  options.top_p = 1;
  options.temperature = 0.5;
  check({0.01, 0.16, 0.0025, 0.09, 0.0225});
  const std::vector<double> before = shares();
  options.seed = 43;
  CHECK(shares() != before);

  // Of a large vocabulary the same token as when all of it is put in order.
  at::manual_seed(3);
  const at::Tensor many = at::randn({5000}) * 3;
  const float* values = many.const_data_ptr<float>();
  std::vector<int32_t> order(5000);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) { return values[a] > values[b]; });
  for (const auto& [top_k, top_p] :
       {std::pair{0, 1.0}, {0, 0.9}, {0, 0.01}, {40, 1.0}, {300, 0.8}, {6000, 0.999}}) {
    options.temperature = 1.3;
    options.top_k = top_k;
    options.top_p = top_p;
    for (int draw = 0; draw < 200; ++draw) {
      std::vector<double> weights;
      for (const int32_t id : order)
        weights.push_back(std::exp((static_cast<double>(values[id]) - values[order[0]]) / 1.3));
      if (top_k > 0 && top_k < 5000) weights.resize(top_k);
      double total = std::accumulate(weights.begin(), weights.end(), 0.0), sum = 0;
      if (top_p < 1) {
        size_t count = 0;
        while (sum < top_p * total) sum += weights[count++];
        weights.resize(count);
        total = sum;
      }
      const uint64_t bits = RandomStream(options.seed, "generate").bits(draw);
      const double point = std::ldexp(static_cast<double>(bits >> 11), -53) * total;
      size_t place = 0;
      for (sum = weights[0]; point >= sum; sum += weights[place]) ++place;
      CHECK(sample_token(many, options, draw) == order[place]);
    }
  }

  const at::Tensor equals = at::zeros({4});
  options.temperature = 0;
  CHECK(sample_token(equals, options, 0) == 0);
  CHECK_THROWS_AS(sample_token(logits * NAN, options, 0), NumericsError);
}

TEST_CASE("text is given out up to a stop string, and held back no longer than needed",
          "[generate]") {
  std::string out;
  const auto filter = [&](std::vector<std::string> stop) {
    out.clear();
    return StopFilter(std::move(stop), [&](std::string_view text) { out += text; });
  };
  StopFilter two = filter({"END", "NDX"});
  CHECK_FALSE(two.add("some E"));
  CHECK(out == "some ");
  CHECK_FALSE(two.add("N"));
  CHECK(out == "some ");
  CHECK_FALSE(two.add("EN"));
  CHECK(out == "some EN");
  CHECK(two.add("Dless"));
  two.finish();
  CHECK(out == "some EN");

  StopFilter none = filter({});
  CHECK_FALSE(none.add("at once"));
  CHECK(out == "at once");

  StopFilter rest = filter({"\n\n"});
  CHECK_FALSE(rest.add("line\n"));
  CHECK(out == "line");
  rest.finish();
  CHECK(out == "line\n");
}

TEST_CASE("generation ends at an end token, a stop text, or the last position", "[generate]") {
  const EvalModel model(golden() / "models/opt", at::kFloat, at::kCPU);  // 64 positions
  const std::vector<int32_t> prompt(60, 7);
  GenerateOptions options;
  const Text to_the_end = run(model.decoder(), Letters(), prompt, options);
  CHECK(to_the_end.result.end == GenerationEnd::kPositions);
  CHECK(to_the_end.result.ids.size() == 5);  // the last one is predicted, not run
  const int32_t third = to_the_end.result.ids[2];
  const auto before = static_cast<size_t>(
      std::find(to_the_end.result.ids.begin(), to_the_end.result.ids.end(), third) -
      to_the_end.result.ids.begin());
  const Text ended = run(model.decoder(), Letters(), prompt, options, {-1, third});
  CHECK(ended.result.end == GenerationEnd::kEndToken);
  CHECK(ended.result.ids.size() == before);
  options.stop = {to_the_end.text.substr(3, 2)};
  const Text stopped = run(model.decoder(), Letters(), prompt, options);
  CHECK(stopped.result.end == GenerationEnd::kStopString);
  CHECK(stopped.text == to_the_end.text.substr(0, to_the_end.text.find(options.stop[0])));
  CHECK_THROWS_WITH(run(model.decoder(), Letters(), std::vector<int32_t>(65, 7), options),
                    Catch::Contains("65 tokens") && Catch::Contains("64 positions"));
}

TEST_CASE("end tokens come from generation_config.json or config.json", "[generate]") {
  TempFolder temp;
  const auto ends = [&](const std::string& config, const std::string& generation) {
    write_file(temp.path() / "config.json", config);
    std::error_code ignored;
    fs::remove(temp.path() / "generation_config.json", ignored);
    if (!generation.empty()) write_file(temp.path() / "generation_config.json", generation);
    return eos_token_ids(HfFolder(temp.path()));
  };
  const std::string config = R"({"model_type": "llama", "eos_token_id": 2})";
  CHECK(ends(config, "") == std::vector<int32_t>{2});
  CHECK(ends(config, "{}") == std::vector<int32_t>{2});
  CHECK(ends(config, R"({"eos_token_id": [7, 9]})") == std::vector<int32_t>{7, 9});
  CHECK(ends(config, R"({"eos_token_id": null})").empty());
  CHECK(ends(R"({"model_type": "llama"})", "").empty());
  CHECK(ends(R"({"model_type": "llama", "eos_token_id": [-1, 2]})", "") == std::vector<int32_t>{2});
  // 2^32 + 2 is not 2.
  for (const char* id : {"4294967298", "2147483648", "18446744073709551615"}) {
    CHECK_THROWS_WITH(ends(config, "{\"eos_token_id\": " + std::string(id) + "}"),
                      Catch::Contains(id));
  }
  CHECK_THROWS_WITH(ends(config, R"({"eos_token_id": "</s>"})"),
                    Catch::Contains("generation_config.json") && Catch::Contains("</s>"));
}

}  // namespace
}  // namespace littlebit
