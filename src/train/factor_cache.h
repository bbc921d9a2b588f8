// Initial factors cached between runs (quant.cache_dir): one safetensors file per teacher and
// settings, under the authors' names, readable as quant.init_file too.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "layer_cache.h"
#include "session.h"

namespace littlebit {

// The file of this session's initial factors in `folder` (quant.cache_dir): keyed by the
// teacher's content, every layer's plan, the kind of start and its options, and the seed.
std::filesystem::path factor_cache_file(const Session& session,
                                        const std::filesystem::path& folder);

// Latents and scales of every layer with a hash of them, published atomically: put together from
// the files of `layers`, none of which is held in memory. OutputError where a layer was not kept.
void write_factor_cache(const std::filesystem::path& file, std::span<const LayerPlan> plans,
                        Student& student, const LayerCache& layers);

// Tensors with a hash of them in the metadata, beside what `metadata` has; published atomically.
void write_factors(const std::filesystem::path& file,
                   const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                   std::map<std::string, std::string> metadata = {});

// InputError where the file's tensors do not have the hash that it was written with.
void verify_factors(const std::filesystem::path& file);

}  // namespace littlebit
