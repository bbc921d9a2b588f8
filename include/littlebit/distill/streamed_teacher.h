// A teacher whose blocks are read from the mapped files each time they run.
#pragma once

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/decoder.h"

namespace littlebit {

// As load_decoder, with the same numbers; the folder must outlive the decoder. On the CPU matrices
// of the compute dtype stay mapped, the others are converted into one buffer of a block's size. On
// another device there are two such buffers, and two of the host's, pinned where the device pins: a
// thread reads the block behind the one that runs, and copies it there beside the device's work.
// Block 0 comes behind the last one. A block that is asked for out of order is waited for. Every
// number is looked at once, on the host.
Decoder load_streamed_decoder(const HfFolder& folder, const ModelSpec& spec,
                              at::ScalarType compute_dtype, at::Device device);

}  // namespace littlebit
