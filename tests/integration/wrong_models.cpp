// Rows of the table: model folders, their tensors, their tokenizers.
#include <cstring>
#include <limits>

#include "integration/wrong_input.h"
#include "support/tiny_model.h"

namespace littlebit::test {
namespace {

using Tensors = std::vector<Workshop::Tensor>;

constexpr char kConfig[] = "model/config.json";
constexpr char kTensors[] = "model/model.safetensors";
constexpr char kTokenizer[] = "model/tokenizer.model";
constexpr char kIndex[] = "model/model.safetensors.index.json";

// A row whose wrong thing is made by `spoil` and met by a forward pass.
WrongInput forward(std::string what, std::function<void(const Workshop&)> spoil,
                   ExitCode code = ExitCode::kInput) {
  return {std::move(what), code, [spoil = std::move(spoil)](const Workshop& shop) {
            spoil(shop);
            return shop.forward();
          }};
}

// The same met by a training run.
WrongInput train(std::string what, std::function<void(const Workshop&)> spoil,
                 ExitCode code = ExitCode::kInput) {
  return {std::move(what), code, [spoil = std::move(spoil)](const Workshop& shop) {
            spoil(shop);
            return shop.train_ids();
          }};
}

std::function<void(const Workshop&)> config(std::string old_text, std::string new_text) {
  return [=](const Workshop& shop) { shop.replace(kConfig, old_text, new_text); };
}

// Keeps the first bytes of the tensor file, counted from its end where negative.
std::function<void(const Workshop&)> cut(int64_t length) {
  return [=](const Workshop& shop) {
    const std::string bytes = shop.read(kTensors);
    const auto size = static_cast<int64_t>(bytes.size());
    shop.write(kTensors, bytes.substr(0, static_cast<size_t>(length < 0 ? size + length : length)));
  };
}

// Inverts bits of one byte of the tensor file.
std::function<void(const Workshop&)> flip(size_t at, int bits) {
  return [=](const Workshop& shop) {
    std::string bytes = shop.read(kTensors);
    bytes[at] = static_cast<char>(bytes[at] ^ bits);
    shop.write(kTensors, bytes);
  };
}

// Writes `value` over number `at` of a tensor.
std::function<void(const Workshop&)> poison(const std::string& name, size_t at, float value) {
  return [=](const Workshop& shop) {
    shop.change_tensors([&](Tensors& tensors) {
      for (Workshop::Tensor& tensor : tensors) {
        if (tensor.name == name) std::memcpy(&tensor.bytes[at * 4], &value, 4);
      }
    });
  };
}

std::function<void(const Workshop&)> change_norm(
    const std::function<void(Workshop::Tensor&)>& change) {
  return [=](const Workshop& shop) {
    shop.change_tensors([&](Tensors& tensors) {
      for (Workshop::Tensor& tensor : tensors) {
        if (tensor.name == "model.norm.weight") change(tensor);
      }
    });
  };
}

}  // namespace

WrongInputs wrong_model_folders() {
  const auto with_shards = [](std::function<void(const Workshop&)> spoil) {
    return [spoil = std::move(spoil)](const Workshop& shop) {
      shop.shard();
      spoil(shop);
    };
  };
  return {
      "Model folders",
      {
          train("the folder does not exist", [](const Workshop& s) { s.remove("model"); }),
          train("it is a file",
                [](const Workshop& s) {
                  s.remove("model");
                  s.write("model", "x");
                }),
          forward("it is empty", [](const Workshop& s) { s.shell("rm model/*"); }),
          forward("config.json is missing", [](const Workshop& s) { s.remove(kConfig); }),
          forward("config.json is empty", [](const Workshop& s) { s.write(kConfig, ""); }),
          forward("config.json is cut",
                  [](const Workshop& s) { s.write(kConfig, s.read(kConfig).substr(0, 100)); }),
          forward("config.json is a list", [](const Workshop& s) { s.write(kConfig, "[1, 2]"); }),
          forward("config.json is not UTF-8", config("\"LlamaForCausalLM\"", "\"Llama\xFF\"")),
          forward("a key of config.json stands there twice",
                  config("\"mlp_bias\"", "\"attention_bias\"")),
          forward(
              "config.json is nested too deep",
              [](const Workshop& s) { s.write(kConfig, "{\"a\": " + std::string(200'000, '[')); }),
          forward(
              "config.json is of another program",
              [](const Workshop& s) { s.write(kConfig, std::string(2 << 20, ' ').append("{}")); }),
          forward(
              "config.json is a folder",
              [](const Workshop& s) { s.shell("rm model/config.json; mkdir model/config.json"); }),
          forward(
              "config.json is a pipe that nobody writes to",
              [](const Workshop& s) { s.shell("rm model/config.json; mkfifo model/config.json"); }),
          forward("an unknown model_type", config("\"llama\"", "\"bert\"")),
          forward("no model_type", config("\"model_type\"", "\"modeltype\"")),
          forward("a size is text", config("\"hidden_size\": 32", "\"hidden_size\": \"32\"")),
          forward("a size is zero",
                  config("\"num_attention_heads\": 4", "\"num_attention_heads\": 0")),
          forward("a size is negative",
                  config("\"num_hidden_layers\": 1", "\"num_hidden_layers\": -1")),
          forward("sizes that do not divide",
                  config("\"num_attention_heads\": 4", "\"num_attention_heads\": 5")),
          forward("config.json says a larger hidden_size",
                  config("\"hidden_size\": 32", "\"hidden_size\": 64")),
          forward("config.json says more layers",
                  config("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 3")),
          forward("config.json says a billion layers",
                  config("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 1000000000")),
          forward("config.json says a larger vocabulary",
                  config("\"vocab_size\": 512", "\"vocab_size\": 32000")),
          forward(
              "config.json says sizes beyond any machine",
              config("\"intermediate_size\": 40", "\"intermediate_size\": 4611686018427387904")),
          train("config.json says sizes beyond any machine, before training",
                config("\"hidden_size\": 32", "\"hidden_size\": 4611686018427387904")),
          train("a setting that is not implemented",
                config("\"mlp_bias\"", "\"num_local_experts\": 8, \"mlp_bias\"")),
          train("the model is quantised",
                config("\"mlp_bias\"",
                       "\"quantization_config\": {\"bits\": 4, \"quant_method\": \"awq\"}, "
                       "\"mlp_bias\"")),
          forward("an adapter alone",
                  [](const Workshop& s) {
                    s.remove(kTensors);
                    s.write("model/adapter_config.json", "{}");
                    s.write("model/adapter_model.safetensors", "x");
                  }),
          forward("no tensor files", [](const Workshop& s) { s.remove(kTensors); }),
          forward("tensors in another format only",
                  [](const Workshop& s) {
                    s.shell("mv model/model.safetensors model/pytorch_model.bin");
                  }),
          forward("several tensor files without an index",
                  [](const Workshop& s) {
                    s.copy(kTensors, "model/a.safetensors");
                    s.shell("mv model/model.safetensors model/b.safetensors");
                  }),
          forward("the tensor file is a folder",
                  [](const Workshop& s) {
                    s.remove(kTensors);
                    s.shell("mkdir model/model.safetensors");
                  }),
          forward("the tensor file is a link to nowhere",
                  [](const Workshop& s) {
                    s.remove(kTensors);
                    s.shell("ln -s blobs/gone model/model.safetensors");
                  }),
          train("the index names a file that is not there",
                with_shards([](const Workshop& s) { s.remove("model/part-2.safetensors"); })),
          forward("the index names a file outside of the folder",
                  with_shards([](const Workshop& s) {
                    s.replace(kIndex, "part-1.safetensors", "../part-1.safetensors");
                  })),
          forward("the index names a tensor that is not there", with_shards([](const Workshop& s) {
                    s.replace(kIndex, "model.norm.weight", "model.norm.wait");
                  })),
          forward("the index names the wrong file for a tensor", with_shards([](const Workshop& s) {
                    s.replace(kIndex, "part-1.safetensors", "part-2.safetensors");
                  })),
          forward("the index is cut", with_shards([](const Workshop& s) {
                    s.write(kIndex, s.read(kIndex).substr(0, 200));
                  })),
          forward("the index has no weight_map",
                  with_shards([](const Workshop& s) { s.write(kIndex, "{}"); })),
          forward("scales of a packed embedding are missing",
                  [](const Workshop& s) {
                    s.write("model/littlebit_config.json", "{}");
                    s.change_tensors([](Tensors& tensors) {
                      for (Workshop::Tensor& tensor : tensors) {
                        if (tensor.name != "model.embed_tokens.weight") continue;
                        tensor.dtype = "I8";
                        tensor.shape.insert(tensor.shape.begin() + 1, 1);  // one group a row
                        tensor.bytes.resize(tensor.bytes.size() / 4);
                      }
                    });
                  }),
          train("a packed model as the teacher",
                [](const Workshop& s) { s.write("model/littlebit_config.json", "{}"); }),
      }};
}

WrongInputs wrong_tensors() {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return {"Tensor files",
          {
              forward("the file is empty", cut(0)),
              forward("cut in the header's length", cut(5)),
              forward("cut behind the header's length", cut(8)),
              forward("cut in the header", cut(300)),
              forward("cut in the tensors", cut(-70'000)),
              train("cut by its last byte", cut(-1)),
              forward("a byte too many",
                      [](const Workshop& s) { s.write(kTensors, s.read(kTensors) + "x"); }),
              forward("a Git LFS pointer",
                      [](const Workshop& s) {
                        s.write(kTensors,
                                "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
                      }),
              forward("a web page",
                      [](const Workshop& s) { s.write(kTensors, "<!DOCTYPE html><html>"); }),
              forward("a bit of the header's length is wrong", flip(1, 0x04)),
              forward("a high bit of the header's length is wrong", flip(7, 0x40)),
              forward("a bit of the header's first brace is wrong", flip(8, 0x01)),
              forward("a bit of a dtype is wrong",
                      [](const Workshop& s) { s.replace(kTensors, "\"F32\"", "\"F22\""); }),
              forward("a bit of an offset is wrong",
                      [](const Workshop& s) {
                        s.replace(kTensors, "\"data_offsets\":[0,", "\"data_offsets\":[1,");
                      }),
              forward("a bit of a shape is wrong",
                      [](const Workshop& s) { s.replace(kTensors, "[512, 32]", "[516, 32]"); }),
              forward("a bit of a name is wrong",
                      [](const Workshop& s) {
                        s.replace(kTensors, "model.norm.weight", "model.nosm.weight");
                      }),
              forward("a name that is not UTF-8",
                      [](const Workshop& s) {
                        s.replace(kTensors, "model.norm.weight", "model.nor\xED.weight");
                      }),
              forward("a tensor is missing",
                      [](const Workshop& s) {
                        s.change_tensors([](Tensors& tensors) { tensors.pop_back(); });
                      }),
              forward("a tensor of the wrong shape", change_norm([](Workshop::Tensor& tensor) {
                        tensor.shape = {1, 32};
                      })),
              forward("a tensor of the wrong size", change_norm([](Workshop::Tensor& tensor) {
                        tensor.shape = {16};
                        tensor.bytes.resize(64);
                      })),
              forward("a tensor of whole numbers",
                      change_norm([](Workshop::Tensor& tensor) { tensor.dtype = "I32"; })),
              forward("a weight is not a number",
                      poison("model.layers.0.mlp.up_proj.weight", 77, kNan)),
              forward("a weight is infinite", poison("model.norm.weight", 3, -kInfinity)),
              train("a weight is not a number, before training", poison("lm_head.weight", 5, kNan)),
              {"a weight is a number too large to square", ExitCode::kInput,
               [](const Workshop& s) {
                 poison("model.layers.0.self_attn.q_proj.weight", 9, 1e30f)(s);
                 return s.train_ids();
               },
               WrongInput::Leaves::kRun},
              train("an embedding is infinite, before training",
                    poison("model.embed_tokens.weight", 1, kInfinity)),
          }};
}

WrongInputs wrong_tokenizers() {
  const auto score = [](std::string what, std::function<void(const Workshop&)> spoil,
                        ExitCode code = ExitCode::kInput) {
    return WrongInput{std::move(what), code, [spoil = std::move(spoil)](const Workshop& shop) {
                        spoil(shop);
                        return shop.score("text.txt");
                      }};
  };
  return {
      "Tokenizers",
      {
          score("there is none", [](const Workshop& s) { s.shell("rm model/tokenizer*"); }),
          score("tokenizer.model is cut",
                [](const Workshop& s) { s.write(kTokenizer, s.read(kTokenizer).substr(0, 3000)); }),
          score("tokenizer.model is empty", [](const Workshop& s) { s.write(kTokenizer, ""); }),
          score("tokenizer.json is not JSON",
                [](const Workshop& s) { s.write("model/tokenizer.json", "{\"model\": "); }),
          score("tokenizer.json is of a kind that is not read",
                [](const Workshop& s) {
                  s.write("model/tokenizer.json", "{\"model\": {\"type\": \"WordPiece\"}}");
                }),
          score("tokenizer_config.json is cut",
                [](const Workshop& s) {
                  s.write("model/tokenizer_config.json",
                          s.read("model/tokenizer_config.json").substr(0, 40));
                }),
          score(
              "more ids than the model has",
              [](const Workshop& s) {
                write_tiny_llama(s / "model", {.vocabulary = 48, .layers = 1});
              },
              ExitCode::kUsage),
          {"more ids than the model has, before training", ExitCode::kUsage,
           [](const Workshop& s) {
             write_tiny_llama(s / "model", {.vocabulary = 48, .layers = 1});
             return s.train();
           }},
      }};
}

}  // namespace littlebit::test
