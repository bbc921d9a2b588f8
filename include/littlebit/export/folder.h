// What exported folders have in common: packed.h, dense.h and dbf.h write them.
#pragma once

#include <cstdint>
#include <filesystem>

namespace littlebit {

// Bytes of a model by part. Packed: signs are the int32 words, scales the bf16 vectors. Dense:
// `signs` is 0 and `linears` the matrices.
struct ByteTable {
  uint64_t signs = 0, scales = 0, linears = 0, biases = 0, norms = 0, embeddings = 0, head = 0,
           other = 0;
  uint64_t total() const {
    return signs + scales + linears + biases + norms + embeddings + head + other;
  }
};

// Whether export_packed, export_dense or export_dbf wrote this folder (the tensor file says so):
// such a one may be replaced by another export.
bool is_own_export(const std::filesystem::path& folder);

}  // namespace littlebit
