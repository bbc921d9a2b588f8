// Matrices are compared with their stored form some rows at a time.
#include "littlebit/export/stored_rows.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

int bits_of(RowFormat format) { return format == RowFormat::kInt8 ? 8 : 4; }

int64_t size_of(RowFormat format, int64_t asked) {
  if (asked > 0) return asked;
  constexpr int64_t kWide = 64, kNarrow = 32;
  return format == RowFormat::kInt8 ? kWide : kNarrow;
}

double relative_error(const GroupedRows& stored, const at::Tensor& matrix) {
  constexpr int64_t kBlock = 1 << 22;  // numbers at a time
  const int64_t step = std::max<int64_t>(1, kBlock / std::max<int64_t>(1, stored.cols));
  double lost = 0, all = 0;
  const auto squares = [](const at::Tensor& x) {
    return at::sum(x * x, at::kDouble).item<double>();
  };
  for (int64_t first = 0; first < stored.rows(); first += step) {
    const int64_t count = std::min(step, stored.rows() - first);
    const at::Tensor block = matrix.narrow(0, first, count).to(at::kCPU, at::kFloat);
    lost += squares(widen_rows(stored, first, count) - block);
    all += squares(block);
  }
  return all > 0 ? std::sqrt(lost / all) : 0;
}

}  // namespace

uint64_t stored_bytes(int64_t rows, int64_t cols, RowFormat format, int64_t group_size) {
  if (format == RowFormat::kBf16)
    return 2 * static_cast<uint64_t>(rows) * static_cast<uint64_t>(cols);
  const int64_t size = size_of(format, group_size), groups = (cols + size - 1) / size;
  return static_cast<uint64_t>(rows) *
         static_cast<uint64_t>(groups * (size * bits_of(format) / 8 + 2));
}

StoredRows store_rows(const Decoder& decoder, const RowFormats& formats) {
  const bool tied = decoder.spec().tied_embeddings;
  LB_ASSERT(!tied || formats.embedding == formats.head, "one matrix, one format");
  StoredRows stored;
  const auto store = [&](const char* part, const at::Tensor& matrix, RowFormat format,
                         std::optional<GroupedRows>& into) {
    if (format == RowFormat::kBf16) return;
    into = group_rows(matrix, bits_of(format), size_of(format, formats.group_size));
    const auto bytes = static_cast<double>(into->numbers.nbytes() + into->scales.nbytes());
    stored.lost.push_back({part, into->bits(), into->size(),
                           8 * bytes / static_cast<double>(matrix.numel()),
                           relative_error(*into, matrix)});
  };
  store("embeddings", decoder.frozen().embedding, formats.embedding, stored.embedding);
  if (!tied && formats.head != RowFormat::kBf16) {
    store("head", dense_weight(decoder.head()), formats.head, stored.head);
  }
  return stored;
}

Json formats_json(const RowFormats& formats, bool tied) {
  Json json = Json::object();
  const auto add = [&](const char* part, RowFormat format) {
    if (format == RowFormat::kBf16) return;
    json[part] = {{"bits", bits_of(format)}, {"group_size", size_of(format, formats.group_size)}};
  };
  add("embeddings", formats.embedding);
  if (!tied) add("head", formats.head);
  return json;
}

}  // namespace littlebit
