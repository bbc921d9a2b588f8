// Two kinds of source: on the host blocks are converted when they are asked for, elsewhere they are
// on their way one block ahead:
//
//     thread         read block 2 into pinned memory        read block 3 ...
//     side stream        wait for the buffer, copy block 2      ...
//     computing      block 1 runs                    wait for the copy, block 2 runs ...
#include "littlebit/distill/streamed_teacher.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <future>
#include <optional>
#include <utility>
#include <vector>

#include "block_layout.h"
#include "littlebit/core/read_file.h"
#include "littlebit/device/device.h"
#include "littlebit/device/side_stream.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"

namespace littlebit {
namespace {

// The blocks in their files.
class StoredBlocks {
 public:
  // Fills the slots of the decoder's blocks. With `keeps_mapped` matrices that need no conversion
  // are there for good.
  StoredBlocks(Decoder& decoder, const HfFolder& folder, bool keeps_mapped);

  int64_t count() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t largest() const;  // numbers of a flat buffer
  const BlockLayout& layout(int64_t layer) const { return blocks_[layer].layout; }
  // Into the block's flat buffer, converted; on the host.
  void read(int64_t layer, const at::Tensor& flat) const;
  void drop_pages(int64_t layer) const;

 private:
  struct StoredBlock {
    BlockLayout layout;
    std::vector<TensorView> views;  // of the layout's places
  };
  std::vector<StoredBlock> blocks_;
};

StoredBlocks::StoredBlocks(Decoder& decoder, const HfFolder& folder, bool keeps_mapped)
    : blocks_(static_cast<size_t>(decoder.spec().num_layers)) {
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    StoredBlock& block = blocks_[layer];
    block.layout = lay_out_block(decoder, static_cast<int64_t>(layer));
    std::vector<Place>& places = block.layout.places;
    std::vector<Place> coming;
    for (Place& place : places) {
      const TensorView view = stored_tensor(folder, place.source, place.shape);
      const at::ScalarType type =
          place.is_bias
              ? decoder.compute_dtype()
              : weight_dtype(scalar_type(view.dtype), decoder.compute_dtype(), decoder.device());
      const at::Tensor loaded = load_tensor(view, type, at::kCPU, folder.path().string());
      // The tensor is the file's own memory: nothing to convert, so the system reads its pages when
      // they are used, and may drop them.
      if (keeps_mapped && loaded.const_data_ptr() == view.data.data()) {
        place.tensor() = loaded;
        continue;
      }
      block.views.push_back(view);
      coming.push_back(std::move(place));
    }
    places = std::move(coming);
    if (places.empty()) block.layout.numel = 0;
  }
}

int64_t StoredBlocks::largest() const {
  int64_t most = 0;
  for (const StoredBlock& block : blocks_) most = std::max(most, block.layout.numel);
  return most;
}

void StoredBlocks::read(int64_t layer, const at::Tensor& flat) const {
  const StoredBlock& block = blocks_[layer];
  for (size_t i = 0; i < block.views.size(); ++i) {
    const Place& place = block.layout.places[i];
    flat.narrow(0, place.begin, place.numel).view(place.shape).copy_(map_tensor(block.views[i]));
  }
}

void StoredBlocks::drop_pages(int64_t layer) const {
  for (const TensorView& view : blocks_[layer].views) littlebit::drop_pages(view.data);
}

class ConvertedBlocks : public BlockSource {
 public:
  ConvertedBlocks(Decoder& decoder, const HfFolder& folder)
      : stored_(decoder, folder, /*keeps_mapped=*/true),
        buffer_(at::empty({stored_.largest()}, decoder.compute_dtype())) {}

  void acquire(int64_t layer) override {
    const c10::AutoGradMode no_grad(false);
    if (stored_.layout(layer).places.empty()) return;
    stored_.read(layer, buffer_);
    stored_.drop_pages(layer);  // the system keeps what it has memory for
    stored_.layout(layer).show(buffer_);
  }
  void release(int64_t layer) override { stored_.layout(layer).hide(); }
  bool is_collective() const override { return false; }

 private:
  StoredBlocks stored_;
  at::Tensor buffer_;
};

class StreamedBlocks : public BlockSource {
 public:
  StreamedBlocks(Decoder& decoder, const HfFolder& folder);
  ~StreamedBlocks() override;

  void acquire(int64_t layer) override;
  void release(int64_t layer) override;
  bool is_collective() const override { return false; }

 private:
  struct Buffer {
    at::Tensor on_host, on_device;
    StreamMark arrived, used;  // in the side stream, in the one that computes
  };
  struct Fetch {
    int64_t layer;
    std::future<void> given;  // to the side stream
  };
  void start(int64_t layer);
  void fetch(int64_t layer, Buffer& buffer) const;

  StoredBlocks stored_;
  SideStream side_;
  std::array<Buffer, 2> buffers_;
  size_t turn_ = 0;  // the buffer that was filled last
  std::optional<Fetch> next_;
};

StreamedBlocks::StreamedBlocks(Decoder& decoder, const HfFolder& folder)
    : stored_(decoder, folder, /*keeps_mapped=*/false),
      side_(decoder.device()),
      buffers_{Buffer{{}, {}, StreamMark(decoder.device()), StreamMark(decoder.device())},
               Buffer{{}, {}, StreamMark(decoder.device()), StreamMark(decoder.device())}} {
  const at::Device device = decoder.device();
  const auto options = at::TensorOptions().dtype(decoder.compute_dtype());
  const int64_t numel = stored_.largest();
  for (Buffer& buffer : buffers_) {
    buffer.on_host =
        at::empty({numel}, options.pinned_memory(device_traits(device).pins_host_memory));
    buffer.on_device = at::empty({numel}, options.device(device));
    buffer.used.set();  // the memory may have been another tensor's
  }
}

// What is on its way arrives before its memory goes. The thread and the copy both write into the
// buffers.
StreamedBlocks::~StreamedBlocks() {
  if (next_) next_->given.wait();
  for (const Buffer& buffer : buffers_) buffer.arrived.wait_on_host();
}

void StreamedBlocks::start(int64_t layer) {
  // Two buffers in turn: one is computed from, one is filled.
  turn_ = 1 - turn_;
  Buffer& buffer = buffers_[turn_];
  next_ = Fetch{layer,
                std::async(std::launch::async, [this, layer, &buffer] { fetch(layer, buffer); })};
}

void StreamedBlocks::fetch(int64_t layer, Buffer& buffer) const {
  const c10::AutoGradMode no_grad(false);
  buffer.arrived.wait_on_host();  // what the host's buffer had before has left it
  stored_.read(layer, buffer.on_host);
  side_.run([&] {
    // The device's buffer may still be read by the block that was in it.
    buffer.used.wait();
    const int64_t numel = stored_.layout(layer).numel;
    buffer.on_device.narrow(0, 0, numel)
        .copy_(buffer.on_host.narrow(0, 0, numel), /*non_blocking=*/true);
    buffer.arrived.set();
  });
}

void StreamedBlocks::acquire(int64_t layer) {
  const c10::AutoGradMode no_grad(false);
  // get() rather than wait(): a failed read is an error, whoever asked for it.
  if (next_ && next_->layer != layer) {  // a pass was not gone on with
    std::exchange(next_, std::nullopt)->given.get();
  }
  if (!next_) start(layer);
  std::exchange(next_, std::nullopt)->given.get();
  const Buffer& buffer = buffers_[turn_];
  buffer.arrived.wait();
  stored_.layout(layer).show(buffer.on_device);
  // After the last block the first one comes, for the next micro-batch.
  start((layer + 1) % stored_.count());
}

void StreamedBlocks::release(int64_t layer) {
  stored_.layout(layer).hide();
  buffers_[1 - turn_].used.set();  // the other one is being filled
}

}  // namespace

Decoder load_streamed_decoder(const HfFolder& folder, const ModelSpec& spec,
                              at::ScalarType compute_dtype, at::Device device) {
  const c10::AutoGradMode no_grad(false);
  Decoder decoder = load_decoder(folder, spec, compute_dtype, device, BlockSlots::kOpen);
  if (device_traits(device).is_host) {
    decoder.set_block_source(std::make_unique<ConvertedBlocks>(decoder, folder));
  } else {
    decoder.set_block_source(std::make_unique<StreamedBlocks>(decoder, folder));
  }
  return decoder;
}

}  // namespace littlebit
