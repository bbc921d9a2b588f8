// Every golden fixture through the decoder: outputs, loss and the gradient of every parameter.
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <iomanip>
#include <iostream>

#include "fixtures.h"
#include "littlebit/models/forward.h"

namespace littlebit {
namespace {

// What softmax cancels (the key bias without rotation) is rounding noise of about 1e-8 in both
// programs.
constexpr double kGradientNoise = 1e-6;

TEST_CASE("fixtures: logits, hidden states and loss", "[golden]") {
  for (const Fixture& fixture : fixtures()) {
    DYNAMIC_SECTION(fixture.name) {
      LoadedModel model(fixture.path());
      const at::Tensor ids = fixture.expected("input_ids");
      const ForwardResult got = forward_full(model.decoder, ids, true);
      const Tolerance& tolerance = fixture.tolerance;
      CHECK(gap(got.logits, fixture.expected("logits"), tolerance.rtol).beyond_rtol <=
            tolerance.atol);
      CHECK(gap(got.final_hidden, fixture.expected("final_hidden"), tolerance.rtol).beyond_rtol <=
            tolerance.atol);
      CHECK(gap(got.hidden_states, fixture.expected("hidden_states"), tolerance.rtol).beyond_rtol <=
            tolerance.atol);
      if (const at::Tensor loss = fixture.expected("loss"); loss.defined()) {
        CHECK(next_token_loss(got.logits, ids) ==
              Approx(loss.item<double>()).margin(tolerance.loss));
      }
    }
  }
}

TEST_CASE("fixtures: gradient norms of every parameter", "[golden]") {
  for (const Fixture& fixture : fixtures()) {
    DYNAMIC_SECTION(fixture.name) {
      const std::map<std::string, double> want = fixture.grad_norms();
      if (want.empty()) continue;  // sequences of one token have no loss
      LoadedModel model(fixture.path());
      const std::map<std::string, double> got =
          gradient_norms(model.decoder, fixture.expected("input_ids"));
      CHECK(got.size() == want.size());
      for (const auto& [name, norm] : want) {
        INFO(name);
        REQUIRE(got.count(name) == 1);
        CHECK(std::abs(got.at(name) - norm) <=
              fixture.tolerance.grad_norm_rtol * norm + kGradientNoise);
      }
    }
  }
}

// Not a test: the table of docs/models.md. Run with `models_tests [gaps]`.
TEST_CASE("fixtures: print the gaps", "[.][gaps]") {
  std::cout << "| fixture | logits | hidden states | final hidden | loss | gradient norms "
               "(relative) | allowed |\n"
            << "|---|---|---|---|---|---|---|\n";
  for (const Fixture& fixture : fixtures()) {
    LoadedModel model(fixture.path());
    const at::Tensor ids = fixture.expected("input_ids");
    const ForwardResult got = forward_full(model.decoder, ids, true);
    const at::Tensor loss = fixture.expected("loss");
    if (!loss.defined()) continue;
    double worst = 0;
    const std::map<std::string, double> norms = gradient_norms(model.decoder, ids);
    for (const auto& [name, norm] : fixture.grad_norms()) {
      if (norm > kGradientNoise) worst = std::max(worst, std::abs(norms.at(name) / norm - 1));
    }
    std::cout << std::setprecision(1) << std::scientific << "| " << fixture.name << " | "
              << gap(got.logits, fixture.expected("logits"), 0).largest << " | "
              << gap(got.hidden_states, fixture.expected("hidden_states"), 0).largest << " | "
              << gap(got.final_hidden, fixture.expected("final_hidden"), 0).largest << " | "
              << std::abs(next_token_loss(got.logits, ids) - loss.item<double>()) << " | " << worst
              << " | " << fixture.tolerance.atol << " |\n";
  }
  SUCCEED();
}

}  // namespace
}  // namespace littlebit
