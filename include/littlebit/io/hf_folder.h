// A Hugging Face model folder on disk: config.json, model.safetensors or shards with
// model.safetensors.index.json.
//
// Tensors are found by the names the file gives them, and also with or without a leading "model."
// (checkpoints of the bare decoder leave it out). Every lookup is remembered, so that tensors
// nobody asked for can be reported. Lookups are safe from several threads, opening is not.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"

namespace littlebit {

class HfFolder {
 public:
  // Reads config.json only: enough for plans and tokenizers. InputError where the folder or the
  // file is missing.
  explicit HfFolder(const std::filesystem::path& folder);
  ~HfFolder();
  HfFolder(HfFolder&&) noexcept;

  const std::filesystem::path& path() const { return folder_; }
  const Json& config() const { return *config_; }

  // Opens the tensor files (once). InputError: neither file nor index, missing shard, tensor in two
  // shards, ...
  void open_tensors();
  bool has_tensor_files() const;  // whether open_tensors() would find something to open

  const TensorView* find(
      const std::string& name) const;  // nullptr where there is none; open_tensors() first
  const TensorView& require(
      const std::string& name) const;  // InputError naming the tensor, the folder and near names
  std::vector<std::string> names() const;   // every tensor, sorted, as the files name them
  std::vector<std::string> unused() const;  // names never found by find/require, sorted

  // Content hash of config.json and all tensor files in name order (32 hex digits). Reads
  // everything once.
  std::string content_hash() const;
  // Whoever has read it already says it: content_hash() then reads nothing.
  void set_content_hash(const std::string& hash) { hash_ = hash; }
  uint64_t tensor_bytes() const;  // sum over tensors

 private:
  std::filesystem::path folder_;
  std::unique_ptr<Json> config_;
  bool opened_ = false;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const TensorView*> tensors_;
  mutable std::set<std::string> used_;
  std::unique_ptr<std::mutex> used_lock_;
  mutable std::string hash_;  // content_hash(), once asked for
};

}  // namespace littlebit
