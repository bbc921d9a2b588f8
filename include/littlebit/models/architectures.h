// The table of families: one row per model_type, in one file (src/models/architectures.cpp), no
// static registration.
#pragma once

#include <span>
#include <string>

#include "littlebit/models/decoder.h"

namespace littlebit {

struct Architecture {
  const char* model_type;                  // config.json's model_type
  ModelSpec (*parse)(const Json& config);  // fills everything but model_type
  // Names and tensor sources of every used slot and parameter.
  void (*name_parts)(const ModelSpec& spec, DecoderParts& parts);
};

std::span<const Architecture> architectures();

// InputError naming the model_type and the supported ones where there is none.
const Architecture& find_architecture(const std::string& model_type);

// Reads config.json. InputError: an unknown model_type, activation, rope type, or a setting that
// changes the numbers and is not implemented, by name, with what is supported; missing or
// contradictory sizes.
ModelSpec parse_model_spec(const Json& config);

// The config.json of the decoder alone, for folders written from it: `config` itself, but of a
// multimodal model its text part as a model of its own.
Json decoder_config(const Json& config);

// A decoder of spec.model_type with its slots and parameters named, sized, open and empty.
Decoder empty_decoder(const ModelSpec& spec, at::ScalarType compute_dtype, at::Device device);

}  // namespace littlebit
