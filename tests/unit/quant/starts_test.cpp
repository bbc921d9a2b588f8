// Every start of the table: what it makes, and that it reads the options that it names and no
// others, for the cache of initial factors depends on that.
#include "littlebit/quant/starts.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "littlebit/config/option_tree.h"

using namespace littlebit;

namespace {

// Another value than the default's for every option of section quant but `init`.
const std::map<std::string, std::string> kOtherValues = {{"quant.bits_per_weight", "0.7"},
                                                         {"quant.residual", "false"},
                                                         {"quant.kv_factor", "3"},
                                                         {"quant.min_rank", "5"},
                                                         {"quant.surrogate", "ste"},
                                                         {"quant.init_file", "factors"},
                                                         {"quant.cache_dir", "cache"},
                                                         {"quant.svd_oversampling", "1"},
                                                         {"quant.svd_power_iterations", "0"},
                                                         {"quant.itq_iterations", "2"}};

struct Declared {
  QuantOptions options;
  OptionTree tree;
  Declared() { tree.add("quant", "", options); }
};

bool same(const LayerFactors& a, const LayerFactors& b) {
  if (a.paths.size() != b.paths.size()) return false;
  for (size_t i = 0; i < a.paths.size(); ++i) {
    const FactorPath &p = a.paths[i], &q = b.paths[i];
    for (const auto& [left, right] :
         {std::pair{p.U, q.U}, std::pair{p.V, q.V}, std::pair{p.u1, q.u1}, std::pair{p.u2, q.u2},
          std::pair{p.v1, q.v1}, std::pair{p.v2, q.v2}}) {
      if (!at::equal(left, right)) return false;
    }
  }
  return true;
}

const LayerPlan kPlan{.name = "l", .d_in = 72, .d_out = 48, .rank = 16, .paths = 2};

LayerInput input_of(const at::Tensor& weight, uint64_t seed = 5) {
  return {.weight = weight,
          .plan = kPlan,
          .seed = seed,
          .input_square = at::ones({kPlan.d_in}),
          .output_square = at::ones({kPlan.d_out})};
}

at::Tensor some_weight() {
  at::manual_seed(4);
  return at::matmul(at::randn({48, 30}), at::randn({30, 72})) + at::randn({48, 72});
}

}  // namespace

TEST_CASE("quant.init names every start of the table, and a file") {
  REQUIRE(starts().size() >= 2);
  std::set<std::string> names;
  for (const Start& start : starts()) {
    INFO(start.name);
    names.insert(start.name);
    CHECK(&find_start(start.name) == &start);
    Declared declared;
    declared.tree.set("quant.init=" + start.name);
    CHECK_NOTHROW(declared.tree.finish());
    CHECK(declared.options.init == start.name);
    CHECK_FALSE(declared.options.starts_from_file());
    CHECK_THAT(declared.tree.help_text(), Catch::Contains(start.about.substr(0, 9)));
  }
  CHECK(names.size() == starts().size());
  CHECK(names.count(QuantOptions().init) == 1);
  Declared declared;
  declared.tree.set("quant.init=file");
  CHECK_NOTHROW(declared.tree.finish());
  CHECK(declared.options.starts_from_file());
  declared.tree.set("quant.init=pca");
  CHECK_THROWS_WITH(declared.tree.finish(), Catch::Contains("dual_svid, joint_itq or file"));
  CHECK_THROWS_AS(find_start("file"), std::logic_error);
}

TEST_CASE("every start keeps to the plan, is deterministic and draws from the seed") {
  const at::Tensor w = some_weight();
  for (const Start& start : starts()) {
    INFO(start.name);
    QuantOptions options;
    options.init = start.name;
    const LayerFactors made = factorize_layer(input_of(w), options);
    REQUIRE(made.paths.size() == 2);
    at::Tensor rest = w;
    for (const FactorPath& path : made.paths) {
      CHECK(path.U.sizes() == at::IntArrayRef({48, 16}));
      CHECK(path.V.sizes() == at::IntArrayRef({16, 72}));
      CHECK(path.u1.sizes() == at::IntArrayRef({48}));
      CHECK(path.u2.sizes() == at::IntArrayRef({16}));
      CHECK(path.v1.sizes() == at::IntArrayRef({16}));
      CHECK(path.v2.sizes() == at::IntArrayRef({72}));
      rest = rest - effective_weight(path);
    }
    CHECK(made.relative_error == Approx((rest.norm() / w.norm()).item<double>()).epsilon(1e-5));
    CHECK(made.relative_error < 1);
    CHECK(same(made, factorize_layer(input_of(w), options)));
    CHECK_FALSE(same(made, factorize_layer(input_of(w, 6), options)));
  }
}

TEST_CASE("a start reads the options that it names, and no others") {
  const at::Tensor w = some_weight();
  const std::vector<std::string> keys = Declared().tree.keys();
  const std::vector<std::string> deciding = Declared().tree.deciding(Decides::kStart);
  for (const Start& start : starts()) {
    QuantOptions options;
    options.init = start.name;
    const LayerFactors usual = factorize_layer(input_of(w), options);
    const std::set<std::string> named(start.options.begin(), start.options.end());
    for (const std::string& key : named) {
      INFO(start.name + " names " + key);
      CHECK(std::find(deciding.begin(), deciding.end(), key) != deciding.end());
    }
    for (const std::string& key : keys) {
      if (key == "quant.init") continue;
      INFO(start.name + " and " + key);
      Declared changed;
      changed.options.init = start.name;
      changed.tree.set(key + "=" + kOtherValues.at(key));
      changed.tree.finish();
      REQUIRE(changed.tree.text(key) != Declared().tree.text(key));
      CHECK(same(usual, factorize_layer(input_of(w), changed.options)) == (named.count(key) == 0));
    }
  }
}

TEST_CASE("initial factors do not depend on what only another start reads") {
  const Start &dual = find_start("dual_svid"), &itq = find_start("joint_itq");
  CHECK_FALSE(depends_on(dual, "quant.itq_iterations"));
  CHECK(depends_on(itq, "quant.itq_iterations"));
  for (const Start* start : {&dual, &itq}) {
    for (const char* key : {"quant.svd_oversampling", "quant.init", "train.seed"}) {
      CHECK(depends_on(*start, key));
    }
  }
}
