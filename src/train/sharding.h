// How a run is divided among its processes, as far as memory and traffic depend on it, and what of
// the student one process has. From sizes alone.
#pragma once

#include <span>
#include <vector>

#include "littlebit/models/decoder.h"
#include "littlebit/quant/bit_budget.h"
#include "littlebit/quant/group_layout.h"
#include "littlebit/train/options.h"

namespace littlebit {

// Of one process. Process 0 has most: its slices are whole, and it saves what everybody has.
struct ShardingChoice {
  int64_t rank = 0, world = 1;
  int64_t per_host = 1;                // of these processes
  bool teacher_sharded = false;        // its blocks, among teacher_parts()
  bool teacher_spread = false;         // if so: among all processes, whatever their hosts
  bool teacher_streamed = false;       // else: its blocks are read as they run
  bool reduce_per_microbatch = false;  // gradients are summed after each backward pass of a block
  int64_t reduce_bytes = 4;            // of a number on its way to another process
  bool state_on_host = false;          // latents and moments, where the device is not the host
  bool async_checkpoint = false;       // what is written is a copy, beside the next steps

  // A host's processes where it has several, else all.
  int64_t teacher_parts() const { return per_host > 1 && !teacher_spread ? per_host : world; }
};

// Whether the teacher is divided, by train.teacher: auto goes by the bytes of its blocks and those
// that are free on a GPU.
bool shards_teacher(TeacherPlacement asked, at::Device device, int64_t world, double block_bytes,
                    double free_bytes);

// train.teacher: auto on a CPU: whether matrices of type `stored` are better converted block by
// block, as products of so many tokens at a time need them, than all held converted.
bool streams_on_host(at::ScalarType stored, at::ScalarType compute, int64_t tokens);

// As the options say, for `world` processes, `per_host` of them on each host (0: as many, up to
// 8, as divide them); train.teacher=auto as replicated.
ShardingChoice sharding_of(const RunOptions& options, int64_t world, int64_t per_host = 0);

// UsageError, naming the nearest that can be, where a batch cannot be divided among processes.
void check_batch(const RunOptions& options, int64_t world);

// The most sequences that a process runs through the model at once, and how often in a step.
int64_t sequences_at_once(const RunOptions& options, int64_t world);
int64_t micro_batches(const RunOptions& options, int64_t world);

// Whether gradients are summed and divided while the backward pass goes on, as they also are where
// several processes have one micro-batch each; otherwise every process has all of them until the
// end of a step.
bool reduces_in_backward(const RunOptions& options, const ShardingChoice& choice);

// The student's groups, as quant/student.h lays them out. `decoder` holds no weights.
std::vector<GroupLayout> group_layouts(Decoder& decoder, std::span<const LayerPlan> plans);

// Numbers of the teacher in the linear layers of one block, their biases with them.
std::vector<double> teacher_blocks(Decoder& decoder);

// Of all blocks, in the compute dtype.
double teacher_block_bytes(Decoder& decoder);

}  // namespace littlebit
