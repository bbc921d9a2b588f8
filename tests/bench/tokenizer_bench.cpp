// Speed of a tokenizer: MB/s over a text as one document and cut into documents, on one thread and
// on several.
//
// tokenizer_bench FOLDER TEXT_FILE [THREADS]    prints one JSON line; documents are cut at "\n = "
// (WikiText headings).
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/file.h"
#include "littlebit/core/parallel.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {
namespace {

double seconds_of(const std::function<void()>& run) {
  auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The best of three: what the machine can do when nothing else runs.
double best_of_three(const std::function<void()>& run) {
  double best = seconds_of(run);
  for (int i = 0; i < 2; ++i) best = std::min(best, seconds_of(run));
  return best;
}

void measure(const char* folder, const char* file, int threads) {
  const std::string text = read_file(file);
  std::vector<std::string_view> documents;
  for (size_t at = 0, next; at < text.size(); at = next) {
    next = std::min(text.find("\n = ", at + 1), text.size());
    documents.push_back(std::string_view(text).substr(at, next - at));
  }
  std::unique_ptr<Tokenizer> tokenizer;
  double load = seconds_of([&] { tokenizer = load_tokenizer(folder); });
  size_t ids = 0;
  double whole = best_of_three([&] { ids = tokenizer->encode(text, true).size(); });
  auto split = [&](int count) {
    return best_of_three([&] {
      parallel_for(static_cast<int64_t>(documents.size()), count,
                   [&](int64_t i) { tokenizer->encode(documents[static_cast<size_t>(i)], true); });
    });
  };
  double megabytes = static_cast<double>(text.size()) / 1e6;
  Json line = {{"tokenizer", tokenizer->description()}, {"load_seconds", load}, {"ids", ids}};
  line["documents"] = documents.size();
  line["whole_mb_per_s"] = megabytes / whole;
  line["documents_mb_per_s"] = megabytes / split(1);
  line["threads"] = threads;
  line["documents_threads_mb_per_s"] = megabytes / split(threads);
  std::cout << to_json_line(line) << std::endl;
}

}  // namespace
}  // namespace littlebit

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: tokenizer_bench FOLDER TEXT_FILE [THREADS]\n";
    return 2;
  }
  try {
    int threads = argc > 3 ? std::atoi(argv[3]) : littlebit::hardware_threads();
    littlebit::measure(argv[1], argv[2], threads);
  } catch (const littlebit::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  }
}
