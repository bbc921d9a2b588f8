// What a run's folder holds (docs/formats.md, "Run folder"): where each file lies, and the names of
// the numbers in metrics.jsonl. They are defined only here.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

namespace littlebit {

class RunFiles {
 public:
  explicit RunFiles(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config() const { return root_ / "config.yaml"; }
  std::filesystem::path run_json() const { return root_ / "run.json"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path factorization() const { return root_ / "factorization.jsonl"; }
  std::filesystem::path report() const { return root_ / "report.html"; }
  std::filesystem::path log() const { return root_ / "log.txt"; }
  std::filesystem::path tensorboard() const { return root_ / "tensorboard"; }
  std::filesystem::path cache() const { return root_ / "cache"; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path exports() const { return root_ / "export"; }
  // `format` as export.formats names it.
  std::filesystem::path export_of(const std::string& format) const { return exports() / format; }

 private:
  std::filesystem::path root_;
};

namespace metric_key {
inline constexpr const char* kStep = "step";
inline constexpr const char* kBlock = "block";
inline constexpr const char* kLoss = "loss";
inline constexpr const char* kLossKl = "loss_kl";
inline constexpr const char* kLossHidden = "loss_hidden";
inline constexpr const char* kLearningRate = "learning_rate";
inline constexpr const char* kLatentLearningRate = "latent_learning_rate";
inline constexpr const char* kGradNorm = "grad_norm";
inline constexpr const char* kSignFlipFraction = "sign_flip_fraction";
inline constexpr const char* kTokens = "tokens";
inline constexpr const char* kTokensPerSecond = "tokens_per_second";
inline constexpr const char* kSeconds = "seconds";
inline constexpr const char* kSecondsByPart = "seconds_by_part";
inline constexpr const char* kWaiting = "waiting";  // a part
inline constexpr const char* kProductShare = "product_share";
}  // namespace metric_key

}  // namespace littlebit
