// See dbf_layout.h.
#include "dbf_layout.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

namespace littlebit {
namespace {

// Bits, the first one highest, as bytes.
class ByteFiller {
 public:
  explicit ByteFiller(uint8_t* out) : out_(out) {}

  void add(uint32_t bits, int count) {  // the lowest `count` of them
    held_ = held_ << count | bits;
    for (size_ += count; size_ >= 8; size_ -= 8) {
      *out_++ = static_cast<uint8_t>(held_ >> (size_ - 8));
    }
  }
  void add_ones(int64_t count) {
    for (; count > 0; count -= 8) {
      const int some = static_cast<int>(std::min<int64_t>(8, count));
      add((1U << some) - 1, some);
    }
  }
  void finish() { add_ones((8 - size_) % 8); }

 private:
  uint8_t* out_;
  uint64_t held_ = 0;
  int size_ = 0;  // bits of held_ that are not out yet
};

uint32_t reversed(uint32_t bits) {
  for (const auto& [shift, mask] : {std::pair{1, 0x55555555U},
                                    {2, 0x33333333U},
                                    {4, 0x0F0F0F0FU},
                                    {8, 0x00FF00FFU},
                                    {16, 0x0000FFFFU}}) {
    bits = (bits >> shift & mask) | (bits & mask) << shift;
  }
  return bits;
}

// The power of two by which the mean magnitude comes nearest to `wanted`.
int exponent_to(const at::Tensor& vector, double wanted) {
  const double mean = vector.abs().mean().item<double>();
  return mean > 0 ? static_cast<int>(std::lround(std::log2(wanted / mean))) : 0;
}

at::Tensor scaled(const at::Tensor& vector, int exponent) {
  return vector.detach().to(at::kCPU, at::kFloat) * std::ldexp(1.0, exponent);
}

}  // namespace

int64_t dbf_rank(double bits, int64_t d_in, int64_t d_out) {
  const double weights = static_cast<double>(d_in * d_out);
  const double rank = bits * weights / static_cast<double>(d_in + d_out);
  return std::min(std::min(d_in, d_out), static_cast<int64_t>(rank));
}

double dbf_bits(std::span<const LittleBitLinear* const> layers) {
  constexpr double kMiddle = 0.5;  // between ranks: roundings do not matter
  double bits = 0;
  for (const LittleBitLinear* layer : layers) {
    const auto d_in = layer->in_features(), d_out = layer->out_features();
    bits =
        std::max(bits, (static_cast<double>(layer->rank()) + kMiddle) *
                           static_cast<double>(d_in + d_out) / static_cast<double>(d_in * d_out));
  }
  return bits;
}

std::string dbf_shard(const std::string& module) {
  for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}) {
    if (module == name) return "self_attn.qkv_proj";
  }
  for (const char* name : {"mlp.gate_proj", "mlp.up_proj"}) {
    if (module == name) return "mlp.gate_up_proj";
  }
  return module;
}

at::Tensor dbf_signs(const SignMatrix& signs, int64_t rows, int64_t cols) {
  const at::Tensor padded = signs.padded_words().to(at::kCPU).contiguous();
  const at::Tensor bytes = at::empty({(rows * cols + 7) / 8}, at::kByte);
  const auto* words = reinterpret_cast<const uint32_t*>(padded.const_data_ptr<int32_t>());
  ByteFiller filler(bytes.data_ptr<uint8_t>());
  for (int64_t r = 0; r < signs.rows(); ++r) {
    for (int64_t c = 0; c < signs.cols(); c += 32) {
      const int count = static_cast<int>(std::min<int64_t>(32, signs.cols() - c));
      filler.add(reversed(~*words++) >> (32 - count), count);
    }
    filler.add_ones(cols - signs.cols());
  }
  filler.add_ones((rows - signs.rows()) * cols);
  filler.finish();
  return bytes;
}

DbfScales dbf_scales(const SignPath& path) {
  const int in = exponent_to(path.v2, 1 / std::sqrt(static_cast<double>(path.v2.numel())));
  const int out = exponent_to(path.u1, 1);
  return {scaled(path.v2, in), scaled(path.v1 * path.u2, -in - out), scaled(path.u1, out)};
}

}  // namespace littlebit
