// A teacher that several processes hold together: of every block's matrices and biases each has one
// part of equal size, and the whole is gathered when the block runs. Embedding, positions, norms,
// project_in and project_out and the head are in every process; the student shares them or copies
// them from there.
#pragma once

#include "littlebit/distributed/communicator.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/models/decoder.h"

namespace littlebit {

// As load_decoder; only this process's part of the blocks is read. The decoder is collective and
// keeps a reference to the communicator. Whole blocks lie in buffers that are used again: one, or
// two where the next block is gathered while one runs. One process holds them all, and gathers
// nothing.
Decoder load_sharded_decoder(const HfFolder& folder, const ModelSpec& spec,
                             at::ScalarType compute_dtype, at::Device device,
                             Communicator& communicator);

}  // namespace littlebit
