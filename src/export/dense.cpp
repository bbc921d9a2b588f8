// A student as a plain checkpoint: every tensor of the teacher, with what was trained in the place
// of what it came from.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/file.h"
#include "littlebit/export/folder.h"
#include "littlebit/nn/tensor_io.h"
#include "model_files.h"
#include "teacher_tensors.h"
#include "tensor_blocks.h"

namespace littlebit {
namespace {

std::map<std::string, at::Tensor> norm_parameters(const Student& student) {
  std::map<std::string, at::Tensor> parameters;
  for (const StudentGroup& group : student.groups()) {
    for (const Segment& segment : group.layout().vectors) {
      parameters[segment.name] = segment.view(group.vectors());
    }
  }
  return parameters;
}

// Integer tensors (buffers of some old checkpoints) keep their type.
at::ScalarType stored_type(const TensorView& view, at::ScalarType dtype) {
  const at::ScalarType type = scalar_type(view.dtype);
  return at::isFloatingType(type) ? dtype : type;
}

void write_layers(SafetensorsWriter& writer, const TeacherTensor& tensor, const Student& student,
                  at::ScalarType dtype) {
  int64_t rows = 0;
  for (const LayerRows& part : tensor.layers) {
    const LittleBitLinear& layer = *student.groups()[part.group].layers()[part.layer];
    LB_ASSERT(part.row_begin == rows, "the parts of a fused matrix follow one another");
    rows += layer.out_features();
    write_rounded(writer,
                  tensor.part == &ByteTable::linears ? layer.effective_weight() : layer.bias(),
                  dtype);
  }
  LB_ASSERT(rows == tensor.view->shape[0], "the parts fill the matrix");
}

}  // namespace

ByteTable export_dense(const std::filesystem::path& folder, const Student& student,
                       at::ScalarType dtype, const HfFolder& teacher) {
  LB_ASSERT(dtype == at::kFloat || dtype == at::kBFloat16, "fp32 or bf16");
  OutputFolder output(folder);
  write_model_files(output.staging(), teacher, dtype == at::kFloat ? "float32" : "bfloat16",
                    Json());

  std::vector<TeacherTensor> tensors = teacher_tensors(teacher, student.decoder().spec());
  // The text part of a multimodal model becomes a model of its own, under its own names.
  const bool part_of_more = decoder_config(teacher.config()) != teacher.config();
  if (part_of_more) std::erase_if(tensors, [](const TeacherTensor& t) { return t.name.empty(); });

  // Wide elements first: every tensor of the file is aligned then.
  std::stable_sort(tensors.begin(), tensors.end(), [&](const auto& a, const auto& b) {
    return c10::elementSize(stored_type(*a.view, dtype)) >
           c10::elementSize(stored_type(*b.view, dtype));
  });

  ByteTable bytes;
  SafetensorsWriter writer(output.staging() / "model.safetensors");
  writer.set_metadata({{"format", "pt"}});
  for (const TeacherTensor& tensor : tensors) {
    const Dtype stored = dtype_of(stored_type(*tensor.view, dtype));
    writer.declare(part_of_more ? tensor.name : tensor.view->name, stored, tensor.view->shape);
    bytes.*tensor.part += static_cast<uint64_t>(tensor.view->numel()) * dtype_size(stored);
  }
  const std::map<std::string, at::Tensor> parameters = norm_parameters(student);
  for (const TeacherTensor& tensor : tensors) {
    if (!tensor.layers.empty()) {
      write_layers(writer, tensor, student, dtype);
    } else if (tensor.part == &ByteTable::norms) {
      write_rounded(writer, parameters.at(tensor.parameter), dtype);
    } else {
      write_rounded(writer, map_tensor(*tensor.view), stored_type(*tensor.view, dtype));
    }
  }
  writer.commit();
  output.commit();
  bytes.other += writer.header_bytes();
  return bytes;
}

}  // namespace littlebit
