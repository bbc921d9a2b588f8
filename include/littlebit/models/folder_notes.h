// Files in a model's folder that have no effect here: reported to the user, because another program
// may build another model from the same folder.
#pragma once

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/model_spec.h"

namespace littlebit {

// Warns of the settings of config.json that were passed over, and of an adapter beside the model.
void warn_of_what_does_not_act(const HfFolder& folder, const ModelSpec& spec);

}  // namespace littlebit
