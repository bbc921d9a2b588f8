// The one declaration of every option of section `quant`.
#include "littlebit/quant/options.h"

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/quant/starts.h"

namespace littlebit {

void QuantOptions::declare(OptionGroup& group) {
  std::vector<std::string> inits = start_names();
  std::string about = "Method for the initial factors: ";
  for (const Start& start : starts()) about += start.about + "; ";
  inits.emplace_back("file");
  group.number("bits_per_weight", &bits_per_weight, {.min = 0, .max = 64, .min_open = true},
               "Target bits per weight of every linear layer (embeddings and head stay as they "
               "are). The rank "
               "of each layer follows from it.",
               {Decides::kRun});
  group.flag(
      "residual", &residual,
      "Two paths per layer, the second fitted to what the first leaves over (paper section 3.3).",
      {Decides::kRunResolved});
  group.number("kv_factor", &kv_factor, {.min = 0, .max = 64, .min_open = true},
               "Multiplies the rank of k_proj and v_proj (the paper uses 4 for models with few "
               "key/value heads).",
               {Decides::kRun});
  group.integer("min_rank", &min_rank, {.min = 1, .max = 1 << 20},
                "Smallest rank a layer may get, whatever the budget says.", {Decides::kRun});
  group.choice("ranks", &ranks, {"uniform", "by_loss"},
               "uniform: every layer gets the rank of its own bits_per_weight. by_loss: half to "
               "twice that rank, more where the teacher's KL divergence rises most when that layer "
               "alone is compressed, in no more bits altogether; measured at the start on a "
               "sequence of the training text. Not with quant.init=file.",
               {Decides::kRun});
  group.choice("surrogate", &surrogate, {"smooth_sign", "ste"},
               "Surrogate derivative of the sign: 100 (1 - tanh(100 v)^2), or 1 where |v| < 1.",
               {Decides::kRun});
  group.choice("init", &init, std::move(inits), about + "file takes them from quant.init_file.",
               {Decides::kStart});
  group.path("init_file", &init_file,
             "For quant.init=file: a packed model folder, or a safetensors file that holds latents "
             "or packed "
             "signs under the authors' names. Ranks and paths come from it.",
             {Decides::kStart});
  group.path("cache_dir", &cache_dir,
             "Folder where initial factors are cached, keyed by the teacher's content and every "
             "setting that decides them; empty: recomputed by every run.");
  group.integer("svd_oversampling", &svd_oversampling, {.min = 0, .max = 4096},
                "Extra columns of the randomised SVD: more is closer to the exact one.",
                {Decides::kStart});
  group.integer("svd_power_iterations", &svd_power_iterations, {.min = 0, .max = 64},
                "Power iterations of the randomised SVD.", {Decides::kStart});
  group.integer("itq_iterations", &itq_iterations, {.min = 1, .max = 10000},
                "Iterations of the Joint-ITQ rotation.", {Decides::kStart});
  group.integer("admm_iterations", &admm_iterations, {.min = 1, .max = 100000},
                "Iterations of LB-ADMM.", {Decides::kStart});
  group.number("latent_rms", &latent_rms, {.min = 0, .max = 1e3},
               "Root mean square to which every initial latent matrix is scaled; its signs stay. "
               "0: no scaling. The derivative of smooth_sign is small beyond 0.02.",
               {Decides::kStart});
}

}  // namespace littlebit
