// A JSON value put together from its parts, one after the other, as a reader meets them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit {

// Parts go into the object or list that was opened last; in an object under the last key().
class JsonBuilder {
 public:
  JsonBuilder();
  ~JsonBuilder();

  Json take();
  size_t depth() const { return open_.size(); }            // objects and lists that are open
  const Json& innermost() const { return *open_.back(); }  // of at least one that is open

  void key(std::string name);
  void add(Json value);
  void open(Json empty);  // an object or a list
  void close();

 private:
  Json* place(Json value);

  std::unique_ptr<Json> root_;
  std::vector<Json*> open_;
  std::string key_;
};

}  // namespace littlebit
