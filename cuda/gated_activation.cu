// Gated activations and their derivative, a thread to a number at a time. Same contract and
// formulas as kernels/gated_activation.h.
#include "launch.cuh"
#include "littlebit/kernels/gated_activation.h"
#include "numbers.cuh"

namespace littlebit::cuda {

// activation(x), and its derivative.
struct GateValue {
  float y, slope;
};

template <GateKind kKind>
__device__ GateValue gate_value(float x) {
  if constexpr (kKind == GateKind::kSilu) {
    const float s = 1.0f / (1.0f + expf(-x));
    return {x * s, s * (1.0f + x * (1.0f - s))};
  } else if constexpr (kKind == GateKind::kGeluTanh) {
    constexpr float kFactor = 1.59576912f, kCubic = 0.044715f;  // 2 sqrt(2 / pi)
    const float s = 1.0f / (1.0f + expf(-kFactor * (x + kCubic * x * x * x)));
    return {x * s, s + x * s * (1.0f - s) * kFactor * (1.0f + 3.0f * kCubic * x * x)};
  } else {
    return {x < 0.0f ? 0.0f : x, x > 0.0f ? 1.0f : 0.0f};
  }
}

template <GateKind kKind, class T>
__global__ void gated_activation_kernel(GatedActivationJob<T> job) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < job.rows * job.cols; i += step) {
    // Neighbouring threads take neighbouring numbers. gate and up may be halves of wider rows; y
    // has no gaps.
    const int64_t row = i / job.cols, c = i - row * job.cols;
    const float gate = widened(job.gate[row * job.gate_stride + c]);
    const float up = widened(job.up[row * job.up_stride + c]);
    job.y[i] = narrowed<T>(gate_value<kKind>(gate).y * up);
  }
}

template <GateKind kKind, class T>
__global__ void gated_activation_gradient_kernel(GatedActivationGradientJob<T> job) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < job.rows * job.cols; i += step) {
    const int64_t row = i / job.cols, c = i - row * job.cols;
    // d_gate = dy up a'(gate) and d_up = dy a(gate), with the activation computed again from gate.
    const GateValue value = gate_value<kKind>(widened(job.gate[row * job.gate_stride + c]));
    const float up = widened(job.up[row * job.up_stride + c]), dy = widened(job.dy[i]);
    job.d_gate[i] = narrowed<T>(dy * up * value.slope);
    job.d_up[i] = narrowed<T>(dy * value.y);
  }
}

template <class T>
cudaError_t activate(const GatedActivationJob<T>& job, cudaStream_t stream) {
  if (job.rows == 0 || job.cols == 0) return cudaSuccess;
  const Geometry geometry{.grid = blocks_for(job.rows * job.cols), .block = kThreads};
  // One kernel for each activation: no branch inside.
  switch (job.kind) {
    case GateKind::kSilu:
      return launch(gated_activation_kernel<GateKind::kSilu, T>, geometry, stream, job);
    case GateKind::kGeluTanh:
      return launch(gated_activation_kernel<GateKind::kGeluTanh, T>, geometry, stream, job);
    default:
      return launch(gated_activation_kernel<GateKind::kRelu, T>, geometry, stream, job);
  }
}

template <class T>
cudaError_t gradient(const GatedActivationGradientJob<T>& job, cudaStream_t stream) {
  if (job.rows == 0 || job.cols == 0) return cudaSuccess;
  const Geometry geometry{.grid = blocks_for(job.rows * job.cols), .block = kThreads};
  switch (job.kind) {
    case GateKind::kSilu:
      return launch(gated_activation_gradient_kernel<GateKind::kSilu, T>, geometry, stream, job);
    case GateKind::kGeluTanh:
      return launch(gated_activation_gradient_kernel<GateKind::kGeluTanh, T>, geometry, stream,
                    job);
    default:
      return launch(gated_activation_gradient_kernel<GateKind::kRelu, T>, geometry, stream, job);
  }
}

template <>
cudaError_t run(const GatedActivationJob<float>& job, cudaStream_t stream) {
  return activate(job, stream);
}
template <>
cudaError_t run(const GatedActivationJob<uint16_t>& job, cudaStream_t stream) {
  return activate(job, stream);
}
template <>
cudaError_t run(const GatedActivationGradientJob<float>& job, cudaStream_t stream) {
  return gradient(job, stream);
}
template <>
cudaError_t run(const GatedActivationGradientJob<uint16_t>& job, cudaStream_t stream) {
  return gradient(job, stream);
}

}  // namespace littlebit::cuda
