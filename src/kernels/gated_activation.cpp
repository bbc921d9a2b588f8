// One loop for each activation, chosen outside of it.
#include "littlebit/kernels/gated_activation.h"

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

// activation(x), and its derivative.
struct Value {
  float y, slope;
};

// x sigmoid(x).
struct Silu {
  LITTLEBIT_LOOP static Value at(float x) {
    const float s = sigmoid(x);
    return {x * s, s * (1 + x * (1 - s))};
  }
};

// x (1 + tanh(t)) / 2 with t = sqrt(2 / pi) (x + 0.044715 x^3), and (1 + tanh(t)) / 2 = sigmoid(2
// t).
struct GeluTanh {
  LITTLEBIT_LOOP static Value at(float x) {
    constexpr float kFactor = 1.59576912F;  // 2 sqrt(2 / pi)
    constexpr float kCubic = 0.044715F;
    const float s = sigmoid(kFactor * (x + kCubic * x * x * x));
    return {x * s, s + x * s * (1 - s) * kFactor * (1 + 3 * kCubic * x * x)};
  }
};

struct Relu {
  LITTLEBIT_LOOP static Value at(float x) { return {x < 0 ? 0 : x, x > 0 ? 1.0F : 0.0F}; }
};

// The activation is a template's argument: the loop has no branch, and the compiler vectorises it
// for each.
template <class Activation, class T>
LITTLEBIT_LOOP void activate_loop(const GatedActivationJob<T>* job, int64_t begin, int64_t end) {
  const int64_t cols = job->cols;
  for (int64_t r = begin; r < end; ++r) {
    const T* gate = job->gate + r * job->gate_stride;
    const T* up = job->up + r * job->up_stride;
    T* y = job->y + r * cols;
    for (int64_t c = 0; c < cols; ++c) {
      store(y + c, Activation::at(widen(gate[c])).y * widen(up[c]));
    }
  }
}

template <class Activation, class T>
LITTLEBIT_LOOP void gradient_loop(const GatedActivationGradientJob<T>* job, int64_t begin,
                                  int64_t end) {
  const int64_t cols = job->cols;
  for (int64_t r = begin; r < end; ++r) {
    const T* gate = job->gate + r * job->gate_stride;
    const T* up = job->up + r * job->up_stride;
    const T* dy = job->dy + r * cols;
    T* d_gate = job->d_gate + r * cols;
    T* d_up = job->d_up + r * cols;
    for (int64_t c = 0; c < cols; ++c) {
      // Computed again rather than kept: two more tensors would be written in the forward pass and
      // read here.
      const Value value = Activation::at(widen(gate[c]));
      const float of_y = widen(dy[c]);
      store(d_gate + c, of_y * widen(up[c]) * value.slope);
      store(d_up + c, of_y * value.y);
    }
  }
}

template <class T>
void activate_each(const GatedActivationJob<T>& job, int64_t begin, int64_t end, Instructions use) {
  switch (job.kind) {
    case GateKind::kSilu:
      return run_variant<activate_loop<Silu, T>>(use, &job, begin, end);
    case GateKind::kGeluTanh:
      return run_variant<activate_loop<GeluTanh, T>>(use, &job, begin, end);
    case GateKind::kRelu:
      return run_variant<activate_loop<Relu, T>>(use, &job, begin, end);
  }
}

template <class T>
void gradient_each(const GatedActivationGradientJob<T>& job, int64_t begin, int64_t end,
                   Instructions use) {
  switch (job.kind) {
    case GateKind::kSilu:
      return run_variant<gradient_loop<Silu, T>>(use, &job, begin, end);
    case GateKind::kGeluTanh:
      return run_variant<gradient_loop<GeluTanh, T>>(use, &job, begin, end);
    case GateKind::kRelu:
      return run_variant<gradient_loop<Relu, T>>(use, &job, begin, end);
  }
}

}  // namespace

void activate_rows(const GatedActivationJob<float>& job, int64_t row_begin, int64_t row_end,
                   Instructions use) {
  activate_each(job, row_begin, row_end, use);
}
void activate_rows(const GatedActivationJob<uint16_t>& job, int64_t row_begin, int64_t row_end,
                   Instructions use) {
  activate_each(job, row_begin, row_end, use);
}

void activate_gradient(const GatedActivationGradientJob<float>& job, int64_t row_begin,
                       int64_t row_end, Instructions use) {
  gradient_each(job, row_begin, row_end, use);
}
void activate_gradient(const GatedActivationGradientJob<uint16_t>& job, int64_t row_begin,
                       int64_t row_end, Instructions use) {
  gradient_each(job, row_begin, row_end, use);
}

}  // namespace littlebit
