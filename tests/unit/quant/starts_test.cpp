// Every start of the table: what it makes, and that it reads the options that it names and no
// others, for the cache of initial factors depends on that.
#include "littlebit/quant/starts.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"

using namespace littlebit;

namespace {

// Another value than the default's for every option of section quant but `init`.
const std::map<std::string, std::string> kOtherValues = {
    {"quant.bits_per_weight", "0.7"}, {"quant.residual", "false"},
    {"quant.kv_factor", "3"},         {"quant.min_rank", "5"},
    {"quant.ranks", "by_loss"},       {"quant.surrogate", "ste"},
    {"quant.init_file", "factors"},   {"quant.cache_dir", "cache"},
    {"quant.svd_oversampling", "1"},  {"quant.svd_power_iterations", "0"},
    {"quant.itq_iterations", "2"},    {"quant.admm_iterations", "20"},
    {"quant.latent_rms", "0.02"}};

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
  CHECK_THROWS_WITH(declared.tree.finish(),
                    Catch::Contains("dual_svid, joint_itq, lb_admm or file"));
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

TEST_CASE("LB-ADMM fits better than starts by singular values, with scales of the same size") {
  QuantOptions options;
  for (const auto& [rows, cols] : {std::pair{48, 72}, std::pair{72, 48}}) {
    for (int i = 0; i < 4; ++i) {
      at::manual_seed(i);
      // Heavy tails, as weights have them.
      const at::Tensor w = at::randn({rows, cols}) * at::randn({rows, cols}).exp() * 0.02;
      for (const int paths : {1, 2}) {
        const LayerPlan plan{.name = "l", .d_in = cols, .d_out = rows, .rank = 24, .paths = paths};
        std::map<std::string, double> errors;
        for (const char* name : {"dual_svid", "joint_itq", "lb_admm"}) {
          options.init = name;
          const LayerFactors made =
              factorize_layer({.weight = w, .plan = plan, .seed = 7}, options);
          errors[name] = made.relative_error;
          if (options.init != "lb_admm") continue;
          for (const FactorPath& path : made.paths) {
            CHECK(path.u1.norm().item<double>() == Approx(path.v2.norm().item<double>()));
            CHECK(at::equal(path.u2, path.v1));
            CHECK(at::equal(path.u1, made.paths[0].u1));
            CHECK(path.u1.min().item<double>() >= 0);
          }
          at::Tensor l = at::zeros({});
          for (const FactorPath& path : made.paths) l += path.u2.square().sum();
          CHECK(l.sqrt().item<double>() ==
                Approx(made.paths[0].u1.norm().item<double>()).epsilon(1e-4));
        }
        INFO(rows << " x " << cols << ", " << paths << " path(s), " << i);
        CHECK(errors["lb_admm"] < errors["joint_itq"]);
        CHECK(errors["joint_itq"] < errors["dual_svid"]);
      }
    }
  }
}

TEST_CASE("LB-ADMM: whatever the weight's size, and of nothing nothing") {
  QuantOptions options;
  options.init = "lb_admm";
  const at::Tensor w = some_weight();
  const LayerFactors made = factorize_layer(input_of(w), options);
  // A power of two: the same roundings.
  const LayerFactors small = factorize_layer(input_of(w * 0x1p-20), options);
  CHECK(small.relative_error == Approx(made.relative_error).epsilon(1e-5));
  CHECK(at::equal(sign_of(small.paths[0].U), sign_of(made.paths[0].U)));
  const LayerFactors zero = factorize_layer(input_of(at::zeros_like(w)), options);
  CHECK(zero.relative_error == 0);
  for (const FactorPath& path : zero.paths) {
    CHECK(effective_weight(path).abs().max().item<double>() < 1e-10);
    CHECK(path.U.isfinite().all().item<bool>());
    CHECK(path.V.isfinite().all().item<bool>());
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
