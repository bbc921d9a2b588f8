// A student and an inference layer on a device that is not the CPU hold and compute what those on
// the CPU do.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "littlebit/quant/initialize.h"
#include "littlebit/quant/packed_linear.h"
#include "littlebit/quant/student.h"
#include "support/loaded_model.h"
#include "support/other_device.h"
#include "support/tiny_model.h"

using namespace littlebit;

namespace {

// A student of its teacher's factors.
struct Begun {
  test::LoadedModel teacher;
  std::unique_ptr<Student> student;

  Begun(const std::filesystem::path& folder, at::Device device)
      : teacher(folder, at::kFloat, device) {
    const QuantOptions options{.bits_per_weight = 2};
    Decoder open = open_decoder(teacher.decoder);
    const std::vector<LayerPlan> plans = plan_model(open, options);
    student = std::make_unique<Student>(std::move(open), plans);
    StudentSink sink(*student);
    factorize_model(sink, teacher.folder, plans, options, 1, {});
  }
};

}  // namespace

TEST_CASE("a student on another device: its start and layers", "[device]") {
  const at::Device other = test::other_device();
  const TempFolder folder;
  test::write_tiny_llama(folder.path(), {.biases = true});
  Begun here(folder.path(), at::kCPU), there(folder.path(), other);
  at::manual_seed(1);
  for (size_t g = 0; g < here.student->groups().size(); ++g) {
    StudentGroup &a = here.student->groups()[g], &b = there.student->groups()[g];
    INFO("group " << g);
    CHECK(b.bits().device().type() == other.type());
    CHECK(at::equal(b.bits().cpu(), a.bits()));
    CHECK(at::equal(b.vectors().cpu(), a.vectors()));
    a.materialize(true);
    b.materialize(true);
    for (size_t i = 0; i < a.layers().size(); ++i) {
      const c10::NoGradGuard no_grad;
      const at::Tensor x = at::randn({3, a.layers()[i]->in_features()});
      const at::Tensor want = a.layers()[i]->forward(x);
      CHECK(at::allclose(b.layers()[i]->forward(x.to(other)).cpu(), want, 1e-5, 1e-5));
    }
    a.release();
    b.release();
  }
}

namespace {

// Inference layers of the same numbers on the CPU and on another device.
struct PackedPair {
  PackedPair(const std::string& name, int64_t d_out, int64_t rank, int64_t d_in, int paths,
             bool biased, at::ScalarType dtype, at::Device other) {
    const auto words = [](int64_t rows, int64_t cols) {
      const at::Tensor flat =
          at::randint(INT32_MIN, INT32_MAX, {(rows * cols + 31) / 32}, at::kInt);
      return SignMatrix(flat, 0, rows, cols).padded_words();
    };
    std::vector<PackedPath> here, there;
    for (int p = 0; p < paths; ++p) {
      const at::Tensor u = words(d_out, rank), v = words(rank, d_in);
      const at::Tensor h = at::randn({d_out}), l = at::randn({rank}), g = at::randn({d_in});
      here.push_back({PackedSigns(u, rank, at::kCPU), PackedSigns(v, d_in, at::kCPU), h, l, g});
      there.push_back({PackedSigns(u, rank, other), PackedSigns(v, d_in, other), h.to(other),
                       l.to(other), g.to(other)});
    }
    const at::Tensor bias = biased ? at::randn({d_out}) : at::Tensor();
    on_cpu = std::make_unique<PackedLinear>(name, std::move(here), bias, dtype);
    elsewhere = std::make_unique<PackedLinear>(name, std::move(there),
                                               biased ? bias.to(other) : bias, dtype);
  }

  std::unique_ptr<PackedLinear> on_cpu, elsewhere;
};

}  // namespace

TEST_CASE("an inference layer on another device computes what it does on the CPU", "[device]") {
  const c10::NoGradGuard no_grad;
  const at::Device other = test::other_device();
  at::manual_seed(2);
  const PackedPair layer("layer", 70, 41, 100, 2, true, at::kFloat, other);
  for (const int64_t rows : {0, 1, 3, 16, 17, 90}) {  // up to 16 from the bits
    INFO(rows << " rows");
    const at::Tensor x = at::randn({rows, 100});
    const at::Tensor got = layer.elsewhere->forward(x.to(other));
    CHECK(got.device().type() == other.type());
    CHECK(at::allclose(got.cpu(), layer.on_cpu->forward(x), 1e-4, 1e-4));
  }
}

TEST_CASE("inference layers beside each other compute what each does alone", "[device]") {
  const c10::NoGradGuard no_grad;
  const at::Device other = test::other_device();
  at::manual_seed(4);
  const auto check = [&](const std::vector<const PackedPair*>& pairs, int64_t rows, bool on_cpu) {
    const at::Device device = on_cpu ? at::Device(at::kCPU) : other;
    std::vector<const Linear*> layers;
    for (const PackedPair* pair : pairs) {
      layers.push_back(on_cpu ? pair->on_cpu.get() : pair->elsewhere.get());
    }
    const at::Tensor x = at::randn({1, rows, 100}).to(device);
    const auto all = layers[0]->forward_beside(at::ArrayRef(layers).slice(1), x);
    REQUIRE(all.size() == layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
      const at::Tensor want = layers[i]->forward(x);
      INFO(rows << " rows, layer " << i << " on " << device);
      REQUIRE(all[i].sizes() == want.sizes());
      CHECK(all[i].stride(2) == 1);
      CHECK(at::equal(all[i].cpu(), want.cpu()));
    }
  };
  const PackedPair q("q", 70, 41, 100, 2, true, at::kFloat, other),
      k("k", 16, 8, 100, 2, true, at::kFloat, other),
      plain("plain", 30, 9, 100, 2, false, at::kFloat, other),
      single("single", 30, 9, 100, 1, true, at::kFloat, other);
  for (const bool on_cpu : {true, false}) {
    for (const int64_t rows : {1, 5, 90}) {
      check({&q, &k, &k}, rows, on_cpu);
      check({&q}, rows, on_cpu);
      // Not of one kind: each alone.
      check({&q, &plain}, rows, on_cpu);
      check({&single, &q}, rows, on_cpu);
    }
  }
}

TEST_CASE("words of signs go to another device and come back", "[device]") {
  const at::Device other = test::other_device();
  at::manual_seed(3);
  for (const int64_t first_bit : {0, 64, 70}) {
    for (const int64_t rows : {1, 100}) {
      for (const int64_t cols : {32, 41, 1100}) {
        INFO(rows << " x " << cols << " from bit " << first_bit);
        const at::Tensor words =
            at::randint(INT32_MIN, INT32_MAX, {(first_bit + rows * cols + 31) / 32 + 2}, at::kInt);
        const SignMatrix here(words, first_bit, rows, cols);
        const at::Tensor padded = here.padded_words();
        CHECK(at::equal(SignMatrix(words.to(other), first_bit, rows, cols).padded_words(), padded));
        // Around the matrix nothing changes.
        const at::Tensor on_cpu = at::full_like(words, 0x55555555), elsewhere = on_cpu.to(other);
        SignMatrix(on_cpu, first_bit, rows, cols).set_from_padded_words(padded);
        SignMatrix(elsewhere, first_bit, rows, cols).set_from_padded_words(padded);
        CHECK(at::equal(elsewhere.cpu(), on_cpu));
        CHECK(at::equal(SignMatrix(on_cpu, first_bit, rows, cols).padded_words(), padded));
        CHECK(on_cpu[-1].item<int>() == 0x55555555);
      }
    }
  }
}
