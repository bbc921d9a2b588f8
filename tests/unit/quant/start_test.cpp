// How a student gets its start: factors of the teacher's weights, kept and found again, or those of
// a file, with biases, norms and errors; what a file must hold, part by part.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <map>
#include <mutex>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/quant/factor_file.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/quant/student.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using Tensors = std::map<std::string, at::Tensor>;

namespace {

void write(const std::filesystem::path& file, const Tensors& tensors) {
  SafetensorsWriter writer(file);
  for (const auto& [name, tensor] : tensors) {
    writer.declare(name, dtype_of(tensor.scalar_type()), tensor.sizes().vec());
  }
  for (const auto& [name, tensor] : tensors) write_tensor(writer, tensor);
  writer.commit();
}

// Words of a matrix whose signs do not matter, and its shape.
void put_packed(Tensors& tensors, const std::string& name, int64_t rows, int64_t cols) {
  tensors[name + "_packed"] = at::zeros({rows, (cols + 31) / 32}, at::kInt);
  tensors[name + "_shape"] = at::tensor({rows, cols}, at::kLong);
}

// The layer "l" [20, 40] of rank 8 as two paths, packed.
Tensors packed_layer(int64_t d_out = 20, int64_t rank = 8, int64_t d_in = 40) {
  Tensors tensors;
  for (const std::string r : {"", "_R"}) {
    put_packed(tensors, "l.U" + r, d_out, rank);
    put_packed(tensors, "l.V" + r, rank, d_in);
    tensors["l.u1" + r] = at::randn({1, d_out});
    tensors["l.u2" + r] = at::randn({rank});
    tensors["l.v1" + r] = at::randn({1, rank});
    tensors["l.v2" + r] = at::randn({d_in});
  }
  return tensors;
}

struct Teacher {
  TempFolder temp;
  std::unique_ptr<test::LoadedModel> model;
  std::vector<LayerPlan> plans;

  explicit Teacher(double scale = 0.3) {
    test::write_tiny_llama(temp / "teacher", {.biases = true, .scale = scale});
    model = std::make_unique<test::LoadedModel>(temp / "teacher");
    Decoder open = open_decoder(model->decoder);
    plans = plan_model(open, {.bits_per_weight = 2});
  }

  Student student() const { return Student(open_decoder(model->decoder), plans); }
  // A file of unpacked random factors for every layer.
  Tensors factors(bool biases) const {
    Tensors tensors;
    Decoder open = open_decoder(model->decoder);
    size_t next = 0;
    open.visit_linears([&](LinearSlot& slot) {
      const int64_t rank = plans[next++].rank;
      for (const std::string r : {"", "_R"}) {
        tensors[slot.name + ".U" + r] = at::randn({slot.d_out, rank});
        tensors[slot.name + ".V" + r] = at::randn({rank, slot.d_in});
        tensors[slot.name + ".u1" + r] = at::rand({slot.d_out});
        tensors[slot.name + ".u2" + r] = at::rand({rank});
        tensors[slot.name + ".v1" + r] = at::rand({rank});
        tensors[slot.name + ".v2" + r] = at::rand({slot.d_in});
      }
      if (biases) tensors[slot.name + ".bias"] = at::randn({slot.d_out});
    });
    return tensors;
  }
};

}  // namespace

TEST_CASE("a layer's plan needs every part of the file, of the right type and shape") {
  at::manual_seed(1);
  const TempFolder temp;
  const auto plan = [&](const Tensors& tensors) {
    write(temp / "f.safetensors", tensors);
    return FactorFile(temp / "f.safetensors").plan("l", 40, 20);
  };
  const Tensors good = packed_layer();
  CHECK(plan(good).rank == 8);
  CHECK(plan(good).paths == 2);
  for (const auto& [name, tensor] : good) {
    INFO("without " << name);
    Tensors tensors = good;
    tensors.erase(name);
    // Of a first factor nothing says that it was packed.
    const bool first_factor = name == "l.U_packed" || name == "l.V_packed";
    CHECK_THROWS_WITH(plan(tensors), Contains(first_factor ? name.substr(0, 3) : name));
  }
  for (const char* name : {"l.u1", "l.u2_R", "l.v1", "l.v2_R"}) {
    INFO(name);
    for (const int64_t off_by : {-1, 1}) {
      Tensors tensors = good;
      tensors[name] = at::zeros({tensors[name].numel() + off_by});
      CHECK_THROWS_WITH(plan(tensors), Contains(std::string(name) + " of") &&
                                           Contains(std::to_string(good.at(name).numel())));
    }
    Tensors tensors = good;
    tensors[name] = at::zeros_like(tensors[name], at::kInt);
    CHECK_THROWS_WITH(plan(tensors), Contains(name) && Contains("is I32"));
  }
  SECTION("shapes that are none") {
    for (const at::Tensor& shape :
         {at::tensor({20}, at::kLong), at::tensor({20, 8, 1}, at::kLong),
          at::tensor({20.0, 8.0}, at::kFloat), at::tensor({20, 8}, at::kShort)}) {
      Tensors tensors = good;
      tensors["l.U_shape"] = shape;
      CHECK_THROWS_WITH(plan(tensors), Contains("l.U_shape of") && Contains("two integers"));
    }
    for (const at::Tensor& shape : {at::tensor({0, 8}, at::kLong), at::tensor({20, 0}, at::kLong),
                                    at::tensor({-20, 8}, at::kLong)}) {
      Tensors tensors = good;
      tensors["l.U_shape"] = shape;
      CHECK_THROWS_WITH(plan(tensors), Contains("l.U_packed of"));
    }
    Tensors tensors = good;
    tensors["l.U_shape"] = at::tensor({20, 8}, at::kInt);  // as some write it
    CHECK(plan(tensors).rank == 8);
  }
  SECTION("words of another type, too few, too many") {
    for (const at::Tensor& words : {at::zeros({20, 1}, at::kLong), at::zeros({20, 1}, at::kFloat),
                                    at::zeros({19, 1}, at::kInt), at::zeros({20, 2}, at::kInt)}) {
      Tensors tensors = good;
      tensors["l.U_packed"] = words;
      CHECK_THROWS_WITH(plan(tensors), Contains("l.U_packed of"));
    }
  }
  SECTION("another matrix, ranks that differ") {
    for (const Tensors& tensors : {packed_layer(21), packed_layer(20, 8, 41)}) {
      CHECK_THROWS_WITH(plan(tensors), Contains("layer l of") && Contains("path 1"));
    }
    Tensors tensors = good;
    put_packed(tensors, "l.V", 9, 40);
    CHECK_THROWS_WITH(plan(tensors), Contains("path 1"));
    tensors = good;
    put_packed(tensors, "l.U_R", 20, 9);
    put_packed(tensors, "l.V_R", 9, 40);
    CHECK_THROWS_WITH(plan(tensors), Contains("path 2"));
  }
  SECTION("ranks at the border of a word; rank 1") {
    for (const int64_t rank : {1, 31, 32, 33, 64, 65}) {
      CHECK(plan(packed_layer(20, rank)).rank == rank);
    }
  }
  SECTION("unpacked factors of integers, of one dimension") {
    Tensors tensors = good;
    for (const std::string r : {"", "_R"}) {
      for (const std::string part : {"l.U", "l.V"}) {
        tensors.erase(part + r + "_packed");
        tensors.erase(part + r + "_shape");
      }
      tensors["l.U" + r] = at::randn({20, 8});
      tensors["l.V" + r] = at::randn({8, 40});
    }
    CHECK(plan(tensors).rank == 8);
    Tensors bad = tensors;
    bad["l.U"] = at::zeros({20, 8}, at::kInt);
    CHECK_THROWS_WITH(plan(bad), Contains("l.U of") && Contains("is I32"));
    bad = tensors;
    bad["l.U"] = at::zeros({160});
    CHECK_THROWS_WITH(plan(bad), Contains("path 1"));
    bad = tensors;
    bad.erase("l.V_R");
    CHECK_THROWS_WITH(plan(bad), Contains("no tensor l.V_R in"));
  }
}

TEST_CASE("a folder's own words on a second path count, the first file that has them") {
  const TempFolder temp;
  Tensors one = packed_layer();
  std::erase_if(one, [](const auto& entry) { return entry.first.find("_R") != std::string::npos; });
  write(temp / "model.safetensors", one);
  const auto paths = [&] { return FactorFile(temp.path()).plan("l", 40, 20).paths; };
  write_file(temp / "config.json", "{}");
  CHECK(paths() == 1);
  write_file(temp / "config.json", "{\"residual\": false}");
  CHECK(paths() == 1);
  write_file(temp / "config.json", "{\"residual\": true}");
  CHECK_THROWS_WITH(paths(), Contains("no tensor l.U_R_packed"));
  write_file(temp / "littlebit_config.json", "{\"rank\": 1}");
  CHECK_THROWS_WITH(paths(), Contains("no tensor l.U_R_packed"));
  write_file(temp / "littlebit_config.json", "{\"residual\": false}");
  CHECK(paths() == 1);
  write_file(temp / "littlebit_config.json", "[]");
  CHECK_THROWS_WITH(paths(), Contains("no tensor l.U_R_packed"));
}

TEST_CASE("plans of a file name what is missing and what the configuration contradicts") {
  at::manual_seed(1);
  const Teacher teacher;
  Tensors tensors = teacher.factors(true);
  const auto plans = [&](const std::vector<LayerPlan>& expected) {
    write(teacher.temp / "f.safetensors", tensors);
    Decoder open = open_decoder(teacher.model->decoder);
    return plan_from_file(open, FactorFile(teacher.temp / "f.safetensors"), expected);
  };
  const std::vector<LayerPlan> found = plans(teacher.plans);
  REQUIRE(found.size() == teacher.plans.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].name == teacher.plans[i].name);
    CHECK(found[i].rank == teacher.plans[i].rank);
    CHECK(found[i].paths == 2);
  }
  CHECK(plans({}).size() == teacher.plans.size());

  std::vector<LayerPlan> other = teacher.plans;
  const auto contradicts = [&](const std::vector<std::string>& words, const std::string& not_this) {
    try {
      plans(other);
      FAIL_CHECK("not refused");
    } catch (const UsageError& error) {
      for (const std::string& word : words) CHECK_THAT(error.what(), Contains(word));
      CHECK_THAT(error.what(), !Contains(not_this));
    }
  };
  other[0].rank += 8;
  contradicts({other[0].name + ": rank " + std::to_string(teacher.plans[0].rank) + " x 2 path(s)"},
              "more");
  other[0].rank -= 8;
  other[1].paths = 1;
  contradicts({other[1].name, "x 1 by the configuration"}, other[0].name);
  for (const size_t i : {2, 3}) other[i].rank += 8;
  contradicts({other[1].name, other[2].name, other[3].name}, "more");
  other[4].rank += 8;
  contradicts({other[1].name, other[3].name, "... and 1 more"}, other[4].name);

  tensors.erase(other[3].name + ".U");
  tensors.erase(other[6].name + ".U");
  CHECK_THROWS_WITH(plans({}),
                    Contains("has no LittleBit layer " + other[3].name + ", " + other[6].name));
}

TEST_CASE("a start from a file: biases of the file, else of the teacher, norms, errors") {
  at::manual_seed(1);
  const Teacher teacher;
  const auto load = [&](const Tensors& tensors, bool with_teacher, Student& student) {
    write(teacher.temp / "f.safetensors", tensors);
    const FactorFile file(teacher.temp / "f.safetensors");
    StudentSink sink(student);
    return load_factors(sink, file, teacher.plans, with_teacher ? &teacher.model->folder : nullptr);
  };
  const Tensors full = teacher.factors(true), bare = teacher.factors(false);
  const std::string name = teacher.plans[9].name;  // of the second block
  const auto layer_of = [&](Student& student) { return student.groups()[2].layers().at(2); };
  Student student = teacher.student();
  REQUIRE(layer_of(student)->name() == name);

  const std::vector<LayerReport> reports = load(full, true, student);
  CHECK(at::equal(layer_of(student)->bias(), full.at(name + ".bias")));
  REQUIRE(reports.size() == teacher.plans.size());
  const at::Tensor weight =
      map_tensor(*teacher.model->folder.find(name + ".weight")).to(at::kDouble);
  at::Tensor sum = at::zeros_like(weight);
  for (const std::string r : {"", "_R"}) {
    const auto part = [&](const std::string& of) { return full.at(name + of + r).to(at::kDouble); };
    const auto sign = [&](const std::string& of) { return part(of).ge(0).to(at::kDouble) * 2 - 1; };
    sum += at::matmul(part(".u1").unsqueeze(1) * sign(".U") * (part(".u2") * part(".v1")),
                      sign(".V") * part(".v2"));
  }
  CHECK(at::allclose(layer_of(student)->effective_weight().to(at::kDouble), sum, 1e-5, 1e-6));
  CHECK(reports[9].relative_error ==
        Approx(((weight - sum).norm() / weight.norm()).item<double>()).epsilon(1e-5));

  load(bare, true, student);
  CHECK(at::equal(layer_of(student)->bias(),
                  map_tensor(*teacher.model->folder.find(name + ".bias"))));
  CHECK_THROWS_WITH(load(bare, false, student), Contains("no tensor") && Contains(".bias"));
  CHECK(load(full, false, student)[9].relative_error == 0);  // of no teacher

  Tensors bad = full;
  bad[name + ".bias"] = at::zeros({3});
  CHECK_THROWS_WITH(load(bad, true, student), Contains(name + ".bias has shape [3]"));
  Tensors norms = full;
  norms["model.norm.weight"] = at::rand({32});
  load(norms, true, student);
  bool seen = false;
  student.decoder().visit_parameters([&](Parameter& parameter) {
    if (parameter.name != "model.norm.weight") return;
    seen = true;
    CHECK(at::equal(parameter.value, norms.at(parameter.name)));
  });
  CHECK(seen);
  norms["model.norm.weight"] = at::rand({31});
  CHECK_THROWS_WITH(load(norms, true, student), Contains("model.norm.weight has shape [31]"));
}

TEST_CASE("a matrix of small numbers has its error reported too") {
  const Teacher teacher(1e-3);
  write(teacher.temp / "f.safetensors", teacher.factors(true));
  Student student = teacher.student();
  StudentSink sink(student);
  const FactorFile file(teacher.temp / "f.safetensors");
  for (const LayerReport& report :
       load_factors(sink, file, teacher.plans, &teacher.model->folder)) {
    CHECK(report.relative_error > 1);  // random factors are far from it
  }
}

TEST_CASE("factorising keeps each layer as it is made, and takes what is kept") {
  const Teacher teacher;
  const QuantOptions options{.bits_per_weight = 2};
  std::mutex mutex;
  std::map<std::string, LayerFactors> kept;
  size_t found = 0, told = 0;
  const LayerKeeper keeper = {.find = [&](const LayerPlan& plan) -> std::optional<LayerFactors> {
                                const std::lock_guard lock(mutex);
                                const auto at = kept.find(plan.name);
                                if (at == kept.end()) return std::nullopt;
                                ++found;
                                return at->second;
                              },
                              .keep =
                                  [&](const LayerPlan& plan, const LayerFactors& factors) {
                                    const std::lock_guard lock(mutex);
                                    CHECK(kept.emplace(plan.name, factors).second);
                                  }};
  const auto start = [&](Student& student, const LayerKeeper& with) {
    told = 0;
    StudentSink sink(student);
    return factorize_model(
        sink, teacher.model->folder, teacher.plans, options, 5,
        [&](const LayerReport& report) {
          CHECK(report.relative_error > 0);
          ++told;
        },
        with);
  };
  const int threads = at::get_num_threads();
  Student plain = teacher.student(), first = teacher.student(), second = teacher.student();
  const std::vector<LayerReport> want = start(plain, {});
  CHECK(told == 14);
  start(first, keeper);
  CHECK(kept.size() == 14);
  CHECK(found == 0);
  kept.erase(teacher.plans[3].name);
  const std::vector<LayerReport> reports = start(second, keeper);
  CHECK(found == 13);
  CHECK(kept.size() == 14);  // what was not there was made and kept
  CHECK(told == 14);
  CHECK(at::get_num_threads() == threads);
  REQUIRE(reports.size() == 14);
  for (size_t i = 0; i < reports.size(); ++i) {
    CHECK(reports[i].plan.name == teacher.plans[i].name);
    CHECK(reports[i].relative_error == want[i].relative_error);
  }
  for (size_t g = 0; g < plain.groups().size(); ++g) {
    for (Student* student : {&first, &second}) {
      CHECK(at::equal(student->groups()[g].bits(), plain.groups()[g].bits()));
      CHECK(at::equal(student->groups()[g].vectors(), plain.groups()[g].vectors()));
    }
  }
}
