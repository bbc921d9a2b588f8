// Writes a copy of a model folder tensor by tensor through a function that renames, converts,
// repeats or drops.
#include "rewrite.h"

#include <nlohmann/json.hpp>

#include "littlebit/core/write_file.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/tensor_io.h"

namespace littlebit {

void rewrite_model(const std::filesystem::path& from, const std::filesystem::path& to,
                   const std::function<NewTensor(const TensorView&)>& rewrite,
                   const std::function<void(Json&)>& edit_config) {
  create_folders(to);
  HfFolder folder(from);
  folder.open_tensors();
  Json config = folder.config();
  edit_config(config);
  write_file(to / "config.json", to_json_pretty(config));
  SafetensorsWriter writer(to / "model.safetensors");
  std::vector<at::Tensor> tensors;
  for (const std::string& name : folder.names()) {
    const TensorView& view = folder.require(name);
    const NewTensor target = rewrite(view);
    for (const std::string& new_name : target.names) {
      writer.declare(new_name, target.dtype, view.shape);
      tensors.push_back(map_tensor(view).to(scalar_type(target.dtype)));
    }
  }
  for (const at::Tensor& tensor : tensors) write_tensor(writer, tensor);
  writer.commit();
}

}  // namespace littlebit
