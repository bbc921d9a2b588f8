// What every way of running a decoder refuses.
#pragma once

#include <cstdint>
#include <span>

#include "littlebit/models/model_spec.h"

namespace littlebit {

// InputError where ids between `low` and `high` are not all in the vocabulary.
void check_id_range(const ModelSpec& spec, int64_t low, int64_t high);
void check_ids(const ModelSpec& spec, std::span<const int32_t> ids);  // not empty

// InputError where the model learned its positions one by one and has fewer than `length`.
void check_length(const ModelSpec& spec, int64_t length);

}  // namespace littlebit
