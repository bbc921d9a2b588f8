// Of a block's flat buffer process r has the r-th of as many equal parts, which may begin and end
// inside a matrix.
#include "littlebit/distill/sharded_teacher.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "block_layout.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"

namespace littlebit {
namespace {

// A decoder asks for a block before it runs it and gives it back afterwards; in between, the
// block's matrices are views of a buffer into which all processes' parts were gathered.
class ShardedBlocks : public BlockSource {
 public:
  // Fills the slots of the decoder's blocks.
  ShardedBlocks(Decoder& decoder, const HfFolder& folder, Communicator& communicator);

  void acquire(int64_t layer) override;
  void release(int64_t layer) override;
  bool is_collective() const override { return communicator_.world() > 1; }

 private:
  struct StoredBlock {
    BlockLayout layout;
    int64_t begin = 0, end = 0;  // this process's part of the flat buffer
    at::Tensor part;
  };
  struct Gathering {
    int64_t layer;
    Pending pending;
  };

  at::ScalarType common_type(const Decoder& decoder, const HfFolder& folder) const;
  void divide(StoredBlock& block) const;
  void load(StoredBlock& block, const HfFolder& folder, const at::TensorOptions& options) const;
  Gathering start(int64_t layer);

  Communicator& communicator_;
  std::vector<StoredBlock> blocks_;
  std::array<at::Tensor, 2> buffers_;  // by layer % 2, or the first alone
  std::optional<Gathering> next_;
};

ShardedBlocks::ShardedBlocks(Decoder& decoder, const HfFolder& folder, Communicator& communicator)
    : communicator_(communicator), blocks_(static_cast<size_t>(decoder.spec().num_layers)) {
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    blocks_[layer].layout = lay_out_block(decoder, static_cast<int64_t>(layer));
  }
  const at::TensorOptions options =
      at::TensorOptions().dtype(common_type(decoder, folder)).device(decoder.device());
  // One buffer serves all blocks, so it has the size of the largest.
  int64_t most = 0;
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    divide(blocks_[layer]);
    load(blocks_[layer], folder, options);
    most = std::max(most, blocks_[layer].layout.numel);
  }
  if (communicator.world() == 1) return;
  buffers_[0] = at::zeros({most}, options);
  if (communicator.is_asynchronous()) buffers_[1] = at::zeros({most}, options);
}

// Of all blocks' numbers: they travel in one buffer.
at::ScalarType ShardedBlocks::common_type(const Decoder& decoder, const HfFolder& folder) const {
  const at::ScalarType compute = decoder.compute_dtype();
  for (const StoredBlock& block : blocks_) {
    for (const Place& place : block.layout.places) {
      const auto stored = scalar_type(stored_tensor(folder, place.source, place.shape).dtype);
      if (weight_dtype(stored, compute, decoder.device()) == compute) return compute;
    }
  }
  // Every tensor is stored in bf16 and would stay so: then half the bytes travel.
  return at::kBFloat16;
}

void ShardedBlocks::divide(StoredBlock& block) const {
  const int64_t numel = block.layout.numel;
  // In units of the layout's alignment, so that parts begin at the same multiples as tensors do.
  const int64_t world = communicator_.world(), units = numel / BlockLayout::kAlignment;
  const int64_t each = (units + world - 1) / world * BlockLayout::kAlignment;
  block.begin = std::min(communicator_.rank() * each, numel);
  block.end = std::min(block.begin + each, numel);
}

// Reads this process's part, and looks at the shapes of all.
void ShardedBlocks::load(StoredBlock& block, const HfFolder& folder,
                         const at::TensorOptions& options) const {
  block.part = at::zeros({block.end - block.begin}, options);
  for (const Place& place : block.layout.places) {
    const int64_t first = std::clamp(block.begin - place.begin, int64_t{0}, place.numel);
    const int64_t last = std::clamp(block.end - place.begin, int64_t{0}, place.numel);
    const at::Tensor values =
        load_elements(folder, place.source, place.shape, first, last - first,
                      c10::typeMetaToScalarType(options.dtype()), options.device());
    if (last == first) continue;
    block.part.narrow(0, place.begin + first - block.begin, last - first).copy_(values);
  }
}

// One process has the block already.
ShardedBlocks::Gathering ShardedBlocks::start(int64_t layer) {
  const StoredBlock& block = blocks_[layer];
  if (communicator_.world() == 1) return {layer, Pending(block.part)};
  const at::Tensor& buffer = buffers_[1].defined() ? buffers_[layer % 2] : buffers_[0];
  const at::Tensor all = buffer.narrow(0, 0, block.layout.numel);
  // The buffer held another block: this process's part of this one goes to its place there, and the
  // others' arrive around it.
  all.narrow(0, block.begin, block.end - block.begin).copy_(block.part);
  return {layer, communicator_.start_all_gather(all, block.begin, block.end)};
}

void ShardedBlocks::acquire(int64_t layer) {
  const c10::AutoGradMode no_grad(false);
  if (next_ && next_->layer != layer) {  // a pass was not gone on with
    next_->pending.wait();
    next_.reset();
  }
  Gathering gathering = next_ ? *std::exchange(next_, std::nullopt) : start(layer);
  blocks_[layer].layout.show(gathering.pending.wait());
  const int64_t after = layer + 1;
  // The next block travels while this one runs. With one buffer it would overwrite it.
  if (communicator_.is_asynchronous() && after < static_cast<int64_t>(blocks_.size())) {
    next_ = start(after);
  }
}

void ShardedBlocks::release(int64_t layer) { blocks_[layer].layout.hide(); }

}  // namespace

Decoder load_sharded_decoder(const HfFolder& folder, const ModelSpec& spec,
                             at::ScalarType compute_dtype, at::Device device,
                             Communicator& communicator) {
  const c10::AutoGradMode no_grad(false);
  Decoder decoder = load_decoder(folder, spec, compute_dtype, device, BlockSlots::kOpen);
  decoder.set_block_source(std::make_unique<ShardedBlocks>(decoder, folder, communicator));
  return decoder;
}

}  // namespace littlebit
