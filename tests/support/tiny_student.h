// A teacher folder of a few kilobytes and a student factorised from it.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <vector>

#include "littlebit/models/architectures.h"
#include "littlebit/models/load.h"
#include "littlebit/quant/initialize.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

namespace littlebit::test {

struct TinyStudent {
  HfFolder files;
  std::unique_ptr<Student> student;
  std::vector<LayerPlan> plans;
  QuantOptions options;

  // Of the model folder `teacher`; scales, norms and biases get noise, so that none is a round
  // number.
  explicit TinyStudent(const std::filesystem::path& teacher, bool residual = true)
      : files(open_folder(teacher)) {
    const Decoder dense =
        load_decoder(files, parse_model_spec(files.config()), at::kFloat, at::kCPU);
    Decoder open = open_decoder(dense);
    options.residual = residual;
    options.bits_per_weight = 4;
    options.kv_factor = 0.5;
    plans = plan_model(open, options);
    student = std::make_unique<Student>(std::move(open), plans);
    StudentSink sink(*student);
    factorize_model(sink, files, plans, options, 5, {});
    c10::NoGradGuard no_grad;
    at::manual_seed(11);
    for (StudentGroup& group : student->groups()) {
      at::Tensor vectors = group.vectors();
      vectors.add_(at::randn_like(vectors) * 0.01);
      vectors.narrow(0, 0, group.layout().num_scales / 3).neg_();  // signs are arbitrary
    }
  }

  // The student as its packed export holds it: everything but the signs rounded to bf16.
  void round_to_bf16() {
    c10::NoGradGuard no_grad;
    const auto round = [](const at::Tensor& x) { return x.to(at::kBFloat16).to(x.scalar_type()); };
    for (StudentGroup& group : student->groups()) {
      at::Tensor vectors = group.vectors();
      vectors.copy_(round(vectors));
    }
    Decoder& decoder = student->decoder();
    FrozenTensors frozen = decoder.frozen();
    const bool tied = dense_weight(decoder.head()).is_same(frozen.embedding);
    frozen.embedding = round(frozen.embedding);
    decoder.set_head(std::make_shared<DenseLinear>(tied ? frozen.embedding
                                                        : round(dense_weight(decoder.head()))));
    decoder.set_frozen(frozen);
  }
};

}  // namespace littlebit::test
