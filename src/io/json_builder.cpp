// See json_builder.h. Pointers to what is open hold: nothing is added to a parent meanwhile.
#include "littlebit/io/json_builder.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace littlebit {

JsonBuilder::JsonBuilder() : root_(std::make_unique<Json>()) {}
JsonBuilder::~JsonBuilder() = default;

Json JsonBuilder::take() { return std::move(*root_); }

void JsonBuilder::key(std::string name) { key_ = std::move(name); }

void JsonBuilder::add(Json value) { place(std::move(value)); }

void JsonBuilder::open(Json empty) { open_.push_back(place(std::move(empty))); }

void JsonBuilder::close() { open_.pop_back(); }

Json* JsonBuilder::place(Json value) {
  if (open_.empty()) {
    *root_ = std::move(value);
    return root_.get();
  }
  Json& parent = *open_.back();
  if (parent.is_object()) return &(parent[key_] = std::move(value));
  parent.push_back(std::move(value));
  return &parent.back();
}

}  // namespace littlebit
