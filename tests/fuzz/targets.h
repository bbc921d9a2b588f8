// Readers under damaged input. Each target hands bytes to one reader as a file's content and checks
// what comes out; the mutation tests (mutation_test.cpp) and libFuzzer (libfuzzer.cpp) call the
// same function.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit::test {

struct FuzzTarget {
  std::string name;
  std::vector<std::string> seeds;  // good files, small
  std::vector<std::string> words;  // of the format
  // Whether the bytes were accepted. An Error with exit code 2 or 3 refuses them; everything else
  // that leaves this function is a finding.
  bool (*run)(std::string_view bytes);
};

// Without LibTorch: safetensors, index, json, yaml, tokens.
std::vector<FuzzTarget> file_targets();
// With it: config, manifest, packed.
std::vector<FuzzTarget> model_targets();

// A damaged file that led to a wrong result.
[[noreturn]] inline void finding(const std::string& what) { throw std::logic_error(what); }

}  // namespace littlebit::test
