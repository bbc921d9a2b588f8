// Tensors of a folder into the places of a decoder. Every shape is checked against the spec before
// memory is taken.
#include "littlebit/models/load.h"

#include "littlebit/core/error.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/decoder.h"
#include "littlebit/nn/grouped_linear.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/ops/product.h"
#include "load_grouped.h"

namespace littlebit {
namespace {

constexpr char kQuantisedHint[] =
    "models that are already quantised cannot be read; take the original";

}  // namespace

// The text model inside a multimodal one keeps its names behind a prefix, of which there are two
// spellings.
const TensorView* find_tensor(const HfFolder& folder, const std::string& name) {
  if (const TensorView* found = folder.find(name)) return found;
  if (const TensorView* found = folder.find("language_model." + name)) return found;
  constexpr std::string_view kModel = "model.";
  if (!name.starts_with(kModel)) return nullptr;
  return folder.find("model.language_model." + name.substr(kModel.size()));
}

void refuse_quantised(const HfFolder& folder, const std::string& name) {
  constexpr std::string_view kWeight = ".weight";
  if (const TensorView* found = find_tensor(folder, name)) {
    if (is_floating(found->dtype)) return;
    throw InputError(folder.path().string() + ": tensor '" + found->name + "' holds " +
                         found->dtype_text() + ", expected F32, F16, BF16 or F64",
                     kQuantisedHint);
  }
  if (!name.ends_with(kWeight)) return;
  const std::string module = name.substr(0, name.size() - kWeight.size());
  // GPTQ and AWQ, EXL2, compressed-tensors, HQQ.
  for (const char* form : {".qweight", ".q_weight", ".weight_packed", ".W_q"}) {
    if (find_tensor(folder, module + form) == nullptr) continue;
    throw InputError(folder.path().string() + ": tensor '" + name + "' is missing, '" + module +
                         form + "' is there: this model is already quantised",
                     kQuantisedHint);
  }
}

namespace {

const TensorView& require_tensor(const HfFolder& folder, const std::string& name) {
  refuse_quantised(folder, name);
  const TensorView* found = find_tensor(folder, name);
  return found != nullptr ? *found : folder.require(name);
}

void check_shape(const HfFolder& folder, const TensorView& view,
                 const std::vector<int64_t>& shape) {
  if (view.shape == shape) return;
  throw InputError(folder.path().string() + ": tensor '" + view.name + "' has shape " +
                       shape_text(view.shape) + ", config.json implies " + shape_text(shape),
                   "config.json and the tensor files belong to different models");
}

TensorView take_rows(const TensorView& view, const TensorSource& source) {
  if (source.row_end < 0) return view;
  TensorView part = view;
  const size_t row_bytes = view.data.size() / static_cast<size_t>(view.shape[0]);
  part.shape[0] = source.row_end - source.row_begin;
  part.data = view.data.subspan(source.row_begin * row_bytes, part.shape[0] * row_bytes);
  return part;
}

}  // namespace

TensorView stored_tensor(const HfFolder& folder, const TensorSource& source,
                         std::vector<int64_t> shape) {
  const TensorView& view = require_tensor(folder, source.tensor);
  if (source.row_end >= 0) shape[0] = source.rows;
  check_shape(folder, view, shape);
  return take_rows(view, source);
}

namespace {

at::Tensor load_checked(const HfFolder& folder, const TensorSource& source,
                        std::vector<int64_t> shape, at::ScalarType dtype, at::Device device) {
  return load_tensor(stored_tensor(folder, source, std::move(shape)), dtype, device,
                     folder.path().string());
}

// The type that `tensor` has in the file, where it is one to compute with.
at::ScalarType stored_dtype(const HfFolder& folder, const std::string& tensor) {
  return scalar_type(require_tensor(folder, tensor).dtype);
}

enum class HeadDtype { kCompute, kStored };

void load_frozen(Decoder& decoder, const HfFolder& folder, HeadDtype head_dtype) {
  const ModelSpec& spec = decoder.spec();
  const at::Device device = decoder.device();
  const FrozenNames& names = decoder.parts().frozen_names;
  const std::string& head = decoder.head().weight.tensor;
  FrozenTensors frozen;
  const auto load = [&](const std::string& name, std::vector<int64_t> shape, at::ScalarType dtype) {
    return load_checked(folder, {name}, std::move(shape), dtype, device);
  };
  // Only packed folders have them so.
  const auto grouped = [&](const std::string& name) {
    if (head_dtype != HeadDtype::kStored) return std::optional<GroupedRows>();
    return load_grouped(folder, name, spec.vocab_size, spec.embedding_size, device);
  };
  // As stored only where the head computes with it.
  const auto dtype_of_head = [&](const std::string& name) {
    const at::ScalarType stored = stored_dtype(folder, name);
    const bool keep = head_dtype == HeadDtype::kStored && decoder.compute_dtype() == at::kFloat &&
                      stored == at::kBFloat16;
    return keep ? stored : weight_dtype(stored, decoder.compute_dtype(), device);
  };
  const std::vector<int64_t> shape = {spec.vocab_size, spec.embedding_size};
  std::string name = names.embedding;
  if (spec.tied_embeddings) {
    // A tied matrix may be stored under either name, or both: the embedding's counts.
    const bool has_head =
        find_tensor(folder, head) != nullptr;  // a redundant copy is accounted for
    if (has_head && find_tensor(folder, name) == nullptr) name = head;
  }
  frozen.grouped_embedding = grouped(name);
  if (!frozen.grouped_embedding) {
    frozen.embedding =
        load(name, shape, spec.tied_embeddings ? dtype_of_head(name) : stored_dtype(folder, name));
  }
  const std::optional<GroupedRows> grouped_head =
      spec.tied_embeddings ? frozen.grouped_embedding : grouped(head);
  if (grouped_head) {
    decoder.set_head(std::make_shared<GroupedLinear>(*grouped_head));
  } else {
    decoder.set_head(std::make_shared<DenseLinear>(
        spec.tied_embeddings ? frozen.embedding : load(head, shape, dtype_of_head(head))));
  }
  if (spec.learned_positions) {
    frozen.positions =
        load(names.positions, {spec.max_positions + spec.position_offset, spec.hidden_size},
             stored_dtype(folder, names.positions));
  }
  decoder.set_frozen(std::move(frozen));
}

Decoder load_without_linears(const HfFolder& folder, const ModelSpec& spec,
                             at::ScalarType compute_dtype, at::Device device,
                             HeadDtype head_dtype) {
  Decoder decoder = empty_decoder(spec, compute_dtype, device);
  load_frozen(decoder, folder, head_dtype);
  decoder.visit_parameters([&](Parameter& parameter) {
    parameter.value =
        load_checked(folder, parameter.source, {parameter.size}, decoder.residual_dtype(), device);
  });
  return decoder;
}

}  // namespace

at::ScalarType weight_dtype(at::ScalarType stored, at::ScalarType compute, at::Device device) {
  const bool keep =
      compute == at::kFloat && stored == at::kBFloat16 && has_fast_mixed_products(device);
  return keep ? stored : compute;
}

at::Tensor load_slot_weight(const HfFolder& folder, const LinearSlot& slot, at::ScalarType dtype,
                            at::Device device) {
  return load_checked(folder, slot.weight, {slot.d_out, slot.d_in}, dtype, device);
}

at::Tensor load_slot_bias(const HfFolder& folder, const LinearSlot& slot, at::ScalarType dtype,
                          at::Device device) {
  if (!slot.has_bias) return {};
  return load_checked(folder, slot.bias, {slot.d_out}, dtype, device);
}

at::Tensor load_elements(const HfFolder& folder, const TensorSource& source,
                         std::vector<int64_t> shape, int64_t begin, int64_t count,
                         at::ScalarType dtype, at::Device device) {
  TensorView part = stored_tensor(folder, source, std::move(shape));
  LB_ASSERT(0 <= begin && begin + count <= part.numel(), "elements of the tensor");
  const size_t size = dtype_size(part.dtype);
  part.shape = {count};
  part.data =
      part.data.subspan(static_cast<size_t>(begin) * size, static_cast<size_t>(count) * size);
  return load_tensor(part, dtype, device, folder.path().string());
}

Decoder load_open_decoder(const HfFolder& folder, const ModelSpec& spec,
                          at::ScalarType compute_dtype, at::Device device) {
  return load_without_linears(folder, spec, compute_dtype, device, HeadDtype::kStored);
}

Decoder load_decoder(const HfFolder& folder, const ModelSpec& spec, at::ScalarType compute_dtype,
                     at::Device device, BlockSlots block_slots) {
  Decoder decoder = load_without_linears(folder, spec, compute_dtype, device, HeadDtype::kCompute);
  const auto dtype_of = [&](const LinearSlot& slot) {
    return weight_dtype(stored_dtype(folder, slot.weight.tensor), compute_dtype, device);
  };
  for (int64_t group = 0; group < decoder.num_groups(); ++group) {
    const bool is_block = group > 0 && group + 1 < decoder.num_groups();
    if (is_block && block_slots == BlockSlots::kOpen) continue;
    decoder.visit_linears(group, [&](LinearSlot& slot) {
      slot.linear =
          std::make_unique<DenseLinear>(load_slot_weight(folder, slot, dtype_of(slot), device),
                                        load_slot_bias(folder, slot, compute_dtype, device));
    });
  }
  return decoder;
}

}  // namespace littlebit
