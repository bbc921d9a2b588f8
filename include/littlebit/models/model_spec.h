// What a checkpoint computes, as data: one ModelSpec drives the one decoder (decoder.h). Each
// family is one small file that turns its config.json into a ModelSpec and says which tensors fill
// which slots (architectures.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "littlebit/io/json.h"
#include "littlebit/nn/functional.h"

namespace littlebit {

enum class NormKind { kRms, kLayer };
enum class RopeKind { kNone, kDefault, kLinear, kDynamic, kLlama3, kLongrope };

// Rotary position embedding. The meaning of each number is that of Hugging Face's
// modeling_rope_utils.
struct RopeSpec {
  RopeKind kind = RopeKind::kNone;
  double theta = 10000;
  int64_t rotary_dim = 0;  // dimensions of a head that rotate (head_dim * partial_rotary_factor)
  double factor = 1;       // linear, dynamic, llama3
  double low_freq_factor = 1;                     // llama3
  double high_freq_factor = 4;                    // llama3
  int64_t original_max_positions = 0;             // llama3, dynamic, longrope
  std::vector<double> short_factor, long_factor;  // longrope: rotary_dim / 2 numbers each
  double attention_factor = 1;                    // scales cos and sin (longrope)
};

struct ModelSpec {
  std::string model_type;  // as config.json says
  std::string left_out;    // what the folder holds besides this decoder, for a note; mostly ""
  std::vector<std::string> passed_over;  // settings of config.json that nobody knows, for a warning

  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  int64_t num_layers = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int64_t max_positions = 0;
  int64_t embedding_size =
      0;  // width of embedding and head; != hidden_size: project_in / project_out (OPT)

  NormKind norm = NormKind::kRms;
  double norm_eps = 1e-6;
  double norm_offset = 0;  // 1: weights are stored as w - 1 (Gemma)
  bool norm_first = true;  // false: norms after the residual sums (opt-350m)
  bool sandwich_norms =
      false;  // norms after attention and MLP too, before the residual sums (Gemma)
  bool final_norm = true;
  bool qk_norm = false;  // RMS norm of each head of q and k (Qwen3, Gemma 3)

  Activation activation = Activation::kSilu;
  bool gated_mlp = true;       // down(act(gate(x)) * up(x)); false: down(act(up(x)))
  bool fused_gate_up = false;  // gate and up stay one matrix [2 * intermediate, hidden] (Phi-3/4)
  bool q_bias = false, k_bias = false, v_bias = false, o_bias = false, mlp_bias = false;

  double attention_scale = 0;    // 0: 1 / sqrt(head_dim)
  double attention_softcap = 0;  // 0: none
  double logit_softcap = 0;      // 0: none
  double embedding_scale = 1;    // Gemma: sqrt(hidden_size) in the compute dtype
  bool learned_positions = false;
  int64_t position_offset = 0;  // OPT: 2

  RopeSpec rope;                      // for every layer ...
  RopeSpec local_rope;                // ... except those marked here (Gemma 3's sliding layers)
  std::vector<bool> uses_local_rope;  // per layer, or empty
  std::vector<int64_t> window;        // per layer, or empty; 0: full attention

  bool tied_embeddings = false;

  int64_t layer_window(int64_t layer) const { return window.empty() ? 0 : window[layer]; }
};

}  // namespace littlebit
