// A one-path student as a folder for OneCompression's plugin.
#include "littlebit/export/dbf.h"

#include <ATen/ops/constant_pad_nd.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "dbf_layout.h"
#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/folder.h"
#include "littlebit/nn/tensor_io.h"
#include "model_files.h"
#include "tensor_list.h"

namespace littlebit {
namespace {

constexpr double kMaxHalf = 65504;  // the largest number of fp16

// A layer's place in the plugin's table: which entry of it, and under which name.
struct DbfPlace {
  int64_t block;
  std::string module;  // behind ".layers.N."
};

DbfPlace place_of(const std::string& layer) {
  constexpr std::string_view kLayers = ".layers.";
  const size_t begin = layer.find(kLayers) + kLayers.size(), end = layer.find('.', begin);
  return {std::stoll(layer.substr(begin, end - begin)), layer.substr(end + 1)};
}

// Every layer of the student with the bits that it shares with those it is run with.
struct DbfLayer {
  const LittleBitLinear* layer;
  DbfPlace place;
  double bits = 0;
  int64_t rank = 0;  // by these bits
};

std::vector<DbfLayer> dbf_layers(const Student& student) {
  std::vector<DbfLayer> layers;
  std::map<std::pair<int64_t, std::string>, std::vector<const LittleBitLinear*>> shards;
  for (const StudentGroup& group : student.groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      layers.push_back({layer, place_of(layer->name())});
      const DbfPlace& place = layers.back().place;
      shards[{place.block, dbf_shard(place.module)}].push_back(layer);
    }
  }
  for (DbfLayer& each : layers) {
    each.bits = dbf_bits(shards.at({each.place.block, dbf_shard(each.place.module)}));
    each.rank = dbf_rank(each.bits, each.layer->in_features(), each.layer->out_features());
    LB_ASSERT(each.rank >= each.layer->rank(), "ranks are at most the smaller side");
  }
  return layers;
}

void add_scale(TensorList& list, const std::string& name, const at::Tensor& scale, Part part) {
  if (scale.abs().max().item<double>() > kMaxHalf) {
    throw NumericsError("'" + name + "' has numbers beyond fp16, which the dbf layout holds",
                        "the training diverged, or export packed or dense instead");
  }
  add_vector(list, name, part, at::kHalf, {scale.numel()}, scale);
}

void add_layer(TensorList& list, const DbfLayer& each) {
  const LittleBitLinear& layer = *each.layer;
  const std::string prefix = layer.name() + ".";
  const SignPath& path = layer.paths()[0];
  const int64_t d_in = layer.in_features(), d_out = layer.out_features(), rank = each.rank;
  const DbfScales scales = dbf_scales(path);
  const at::Tensor middle = at::constant_pad_nd(scales.middle, {0, rank - layer.rank()});
  add_scale(list, prefix + "scaling0", scales.in, &ByteTable::scales);
  add_scale(list, prefix + "scaling2", middle, &ByteTable::scales);
  add_scale(list, prefix + "scaling4", scales.out, &ByteTable::scales);
  if (layer.bias().defined()) {
    add_scale(list, prefix + "bias", layer.bias(), &ByteTable::biases);
  }
  const auto signs = [&](const char* name, const SignMatrix& matrix, int64_t rows, int64_t cols) {
    list.push_back({prefix + name,
                    &ByteTable::signs,
                    at::kByte,
                    {(rows * cols + 7) / 8},
                    [&matrix, rows, cols] { return dbf_signs(matrix, rows, cols); }});
  };
  signs("bp1", path.V, rank, d_in);
  signs("bp3", path.U, d_out, rank);
}

// What the plugin, and OneCompression's own loader, read of config.json.
Json dbf_config(const std::vector<DbfLayer>& layers, int64_t blocks) {
  Json table = Json::array(), names = Json::array();
  for (int64_t block = 0; block < blocks; ++block) table.push_back(Json::object());
  double bits = 0, weights = 0;
  for (const DbfLayer& each : layers) {
    table[static_cast<size_t>(each.place.block)][each.place.module] = {{"bits", each.bits},
                                                                       {"method", "dbf"}};
    names.push_back(each.layer->name());
    const auto d_in = static_cast<double>(each.layer->in_features()),
               d_out = static_cast<double>(each.layer->out_features());
    bits += static_cast<double>(each.rank) * (d_in + d_out);
    weights += d_in * d_out;
  }
  return {{"quant_method", "dbf"},      {"bits", bits / weights},
          {"quantization_bits", table}, {"modules_in_block_to_quantize", names},
          {"rotated", false},           {"fp32_had", false}};
}

}  // namespace

void require_dbf(const ModelSpec& spec, int paths) {
  const auto refuse = [](const std::string& why, const std::string& hint) {
    throw UsageError("export.formats names dbf, and " + why, hint);
  };
  if (paths != 1) {
    refuse("that layout holds one path of factors: the model has two",
           "train it with quant.residual=false, or leave dbf out");
  }
  if (spec.embedding_size != spec.hidden_size) {
    refuse(
        "this model has linear layers outside of its blocks (project_in, project_out), which the "
        "plugin does not support",
        "leave dbf out");
  }
  if (spec.fused_gate_up) {
    refuse("this model's gate_up_proj is one matrix, which the plugin supports only as two",
           "leave dbf out");
  }
}

DbfExport export_dbf(const std::filesystem::path& folder, const Student& student,
                     const HfFolder& source) {
  const Decoder& decoder = student.decoder();
  for (const StudentGroup& group : student.groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      require_dbf(decoder.spec(), static_cast<int>(layer->paths().size()));
    }
  }
  const std::vector<DbfLayer> layers = dbf_layers(student);
  DbfExport result;
  double weights = 0;
  for (const DbfLayer& each : layers) {
    result.padded_layers += each.rank > each.layer->rank();
    weights += static_cast<double>(each.layer->in_features() * each.layer->out_features());
  }
  require_replaceable(folder);
  OutputFolder output(folder);
  write_model_files(output.staging(), source, "bfloat16", Json());
  Json config = read_json_file(output.staging() / "config.json");
  config["quantization_config"] = dbf_config(layers, decoder.spec().num_layers);
  write_file(output.staging() / "config.json", to_json_pretty(config));

  TensorList list;
  add_embeddings(list, decoder, {});
  for (const DbfLayer& each : layers) add_layer(list, each);
  for (const StudentGroup& group : student.groups()) add_norms(list, group);
  add_head(list, decoder, {});
  sort_by_width(list);
  result.bytes = write_tensors(output.staging(), list);
  require_replaceable(folder);  // as it is now
  keep_foreign_files(folder, output.staging());
  output.commit();

  compare_tensors(folder, list);
  result.tensors = static_cast<int64_t>(list.size());
  const uint64_t stored = result.bytes.signs + result.bytes.scales + result.bytes.biases;
  if (weights > 0) result.stored_bits = 8 * static_cast<double>(stored) / weights;
  return result;
}

}  // namespace littlebit
