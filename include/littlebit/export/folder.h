// A student as a model folder: packed in the authors' format (specs section 7), or dense effective
// weights as a plain Hugging Face folder. Both carry config.json and the tokenizer files of the
// teacher; of a multimodal teacher, those of its text model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "littlebit/io/hf_folder.h"
#include "littlebit/quant/student.h"

namespace littlebit {

// Bytes of a model by part. Packed: signs are the int32 words, scales the bf16 vectors. Dense:
// `signs` is 0 and `linears` the matrices.
struct ByteTable {
  uint64_t signs = 0, scales = 0, linears = 0, biases = 0, norms = 0, embeddings = 0, head = 0,
           other = 0;
  uint64_t total() const {
    return signs + scales + linears + biases + norms + embeddings + head + other;
  }
};

// How a packed folder holds embedding and head: in bf16, or in whole numbers of 8 or 4 bits with a
// scale for every group of them in a row. A tied matrix is one, with one format.
enum class RowFormat { kBf16, kInt8, kInt4 };
struct RowFormats {
  RowFormat embedding = RowFormat::kBf16, head = RowFormat::kBf16;
  int64_t group_size = 0;  // 0: 64 for int8, 32 for int4
};

// Bytes of a matrix in a format, scales included.
uint64_t stored_bytes(int64_t rows, int64_t cols, RowFormat format, int64_t group_size);

// What a matrix lost.
struct GroupedMatrix {
  std::string part;  // "embeddings", "head"; a tied one is the embeddings
  int bits = 0;
  int64_t group_size = 0;
  double stored_bits = 0;     // per number: scales and padding included
  double relative_error = 0;  // Frobenius norm of what is lost over the matrix's
};

struct PackedExport {
  std::filesystem::path folder;
  ByteTable bytes;          // of the export
  ByteTable teacher_bytes;  // of the checkpoint it came from, as stored there
  double formula_bits = 0;  // per weight of the linear layers: the authors' figure over all layers
  double stored_bits =
      0;  // per weight of the linear layers: words with padding, scales and biases really written
  std::vector<GroupedMatrix> grouped;
};

// Writes `folder` (published atomically; an older one of that name is replaced). The tensor files
// of `teacher` are open; plans are in the order of the student's layers. OutputError where it
// cannot be written.
PackedExport export_packed(const std::filesystem::path& folder, const Student& student,
                           std::span<const LayerPlan> plans, const QuantOptions& options,
                           const HfFolder& teacher, const RowFormats& formats = {});

// The same model with dense matrices in `dtype` (fp32 or bf16) under the teacher's tensor names,
// fused matrices fused again. Loadable by Hugging Face transformers. Returns its bytes. `source` is
// the teacher's folder, or the packed folder that the student was loaded from.
ByteTable export_dense(const std::filesystem::path& folder, const Student& student,
                       at::ScalarType dtype, const HfFolder& source);

// In the layout of OneCompression's vLLM plugin for double binary factors (docs/formats.md): signs
// bit by bit, scales in fp16, all else in bf16. The plugin computes ranks from bits that layers run
// together share: those of lower rank get latent dimensions of scale 0.
struct DbfExport {
  ByteTable bytes;
  double stored_bits = 0;     // per weight of the linear layers: signs, scales and biases
  int64_t padded_layers = 0;  // with such dimensions
  int64_t tensors = 0;        // that were read back and compared
};
DbfExport export_dbf(const std::filesystem::path& folder, const Student& student,
                     const HfFolder& source);

// UsageError where the layout cannot hold such a model: two paths, layers outside of the blocks or
// with two matrices in one.
void require_dbf(const ModelSpec& spec, int paths);

// Whether export_packed, export_dense or export_dbf wrote this folder (the tensor file says so):
// such a one may be replaced by another export.
bool is_own_export(const std::filesystem::path& folder);

// Reads a packed folder back and compares every tensor with the student's in its stored form;
// returns how many tensors were compared. InputError naming the first that differs.
int64_t verify_packed(const std::filesystem::path& folder, const Student& student,
                      std::span<const LayerPlan> plans, const RowFormats& formats = {});

// Whether the folder holds a LittleBit model (littlebit_config.json, or packed tensors).
bool is_packed_folder(const HfFolder& folder);

// The model that config.json of a dense or packed folder describes; tensors are open.
ModelSpec folder_spec(const HfFolder& folder);

// A decoder of PackedLinear layers from a packed folder whose tensors are open (ours, the authors',
// legacy unpacked). Nothing dense is made: embeddings and a head in bf16 or small whole numbers
// stay mapped, so the folder must outlive the decoder. InputError by tensor name.
Decoder load_packed(const HfFolder& folder, at::ScalarType compute_dtype, at::Device device);

// The same as a student, for the dense export: its layers are those of training.
std::unique_ptr<Student> load_packed_student(const HfFolder& folder, at::ScalarType compute_dtype,
                                             at::Device device);

}  // namespace littlebit
