// Every operation out of messages from process to process. Gloo's own collectives would move twice
// as much for a reduce-scatter, copy the whole for it, and cannot tell who did not come.
//
// An operation is one round, or two: everybody sends to everybody what is theirs and takes what is
// its own. Sums are taken in the order of ranks, those of bf16 in fp32, rounded once.
#include "distributed/gloo_communicator.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <span>

#include "distributed/peers.h"
#include "littlebit/core/error.h"
#include "littlebit/device/device.h"

namespace littlebit {
namespace {

constexpr int64_t kSmallBytes = 32 << 10;     // whole to everybody, rather than in two rounds
constexpr int64_t kSmallBroadcast = 1 << 20;  // the same, where one process does all sending
constexpr int64_t kStagingBytes = 8 << 20;    // for summands of others, all together
constexpr int64_t kMinPieceBytes = 64 << 10;  // of a message
bool is_known(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
    case at::kFloat:
    case at::kBFloat16:
    case at::kLong:
    case at::kInt:
    case at::kByte:
      return true;
    default:
      return false;
  }
}

// Elements [begin, end) of a flat tensor of n that are process r's, where a slice has `each`.
struct Slices {
  int64_t n, each;
  int64_t begin(int64_t r) const { return std::min(r * each, n); }
  int64_t size(int64_t r) const { return std::min((r + 1) * each, n) - begin(r); }
  at::Tensor of(const at::Tensor& flat, int64_t r) const {
    return flat.narrow(0, begin(r), size(r));
  }
};

class GlooCommunicator : public HostCommunicator {
 public:
  GlooCommunicator(const Environment& environment, const ProcessGroupOptions& options)
      : peers_(environment, options), rank_(peers_.rank()), world_(peers_.world()) {}
  GlooCommunicator(Peers& all, const std::vector<int64_t>& ranks)
      : peers_(all, ranks), rank_(peers_.rank()), world_(peers_.world()) {}

  int64_t rank() const override { return rank_; }
  int64_t world() const override { return world_; }
  void all_reduce_sum(const at::Tensor& values) override;
  at::Tensor reduce_scatter_sum(const at::Tensor& all, int64_t begin, int64_t end) override;
  void all_gather(const at::Tensor& all, int64_t begin, int64_t end) override;
  void broadcast(const at::Tensor& values, int64_t root) override;
  std::vector<std::string> gather(const std::string& text) override;
  bool any(bool mine) override;
  void barrier() override;
  void enter(const std::string& phase, double timeout_seconds) override {
    peers_.enter(phase, timeout_seconds);
  }
  void finish() override;
  void fail(const std::string& why) noexcept override;
  Communicator& connect_part(const std::vector<int64_t>& ranks) override;
  std::unique_ptr<HostCommunicator> make_part(const std::vector<int64_t>& ranks) override {
    return std::make_unique<GlooCommunicator>(peers_, ranks);
  }
  int64_t rank_in_all() const override { return peers_.rank_in_all(); }
  c10::intrusive_ptr<c10d::Store> store(const std::string& prefix) override {
    return peers_.store(prefix);
  }
  std::string phase() const override { return peers_.phase(); }
  double timeout() const override { return peers_.timeout(); }
  void stay() noexcept override { peers_.meeting().stay(); }
  std::string why_lost(bool late, const std::string& what) override {
    const std::vector<int64_t> others = peers_.others_in_all();
    return late ? peers_.meeting().why_late(others) : peers_.meeting().why_failed(others, what);
  }

 private:
  Call begin(const char* operation, const at::Tensor& values);
  Slices slices_of(const Call& call, const at::Tensor& all, int64_t first, int64_t last);
  void add_others(const Call& call, const at::Tensor& all, const Slices& slices);
  void take_others(const Call& call, const at::Tensor& all, const Slices& slices);
  void add_whole(const Call& call, const at::Tensor& flat);
  at::Tensor sum_in_order(const at::Tensor& mine, std::span<const at::Tensor> others) const;

  Peers peers_;
  int64_t rank_, world_;
  std::vector<std::unique_ptr<Communicator>> parts_;  // of connect_part()
};

Communicator& GlooCommunicator::connect_part(const std::vector<int64_t>& ranks) {
  return *parts_.emplace_back(make_part(ranks));
}

void GlooCommunicator::finish() {
  for (const auto& part : parts_) part->finish();
  barrier();
  peers_.close();
}

void GlooCommunicator::fail(const std::string& why) noexcept {
  peers_.fail(why);
  for (const auto& part : parts_) part->fail(why);
}

Call GlooCommunicator::begin(const char* operation, const at::Tensor& values) {
  LB_ASSERT(device_traits(values.device()).is_host, "Gloo connects CPUs");
  LB_ASSERT(is_known(values.scalar_type()), "a type that processes exchange");
  return peers_.begin(operation, static_cast<int64_t>(values.nbytes()));
}

// How long the slices are follows from one's own, unless that is empty: then rank 0 says it. Who
// has none is known to all who have one.
Slices GlooCommunicator::slices_of(const Call& call, const at::Tensor& all, int64_t first,
                                   int64_t last) {
  const int64_t n = all.numel();
  LB_ASSERT(all.dim() == 1 && all.is_contiguous(), "a flat tensor");
  LB_ASSERT(0 <= first && first <= last && last <= n, "a slice of the tensor");
  if (n == 0) return {0, 0};
  Slices slices{.n = n, .each = rank_ == 0 ? last : first / std::max<int64_t>(rank_, 1)};
  const at::Tensor size = at::empty({1}, at::kLong);
  Round round;
  if (rank_ == 0) {
    size.fill_(slices.each);
    for (const int64_t peer : peers_.others()) {
      if (slices.size(peer) == 0) peers_.send(call, round, peer, size);
    }
  } else if (first == n) {
    peers_.receive(call, round, 0, size);
  }
  peers_.wait(call, round);
  if (rank_ != 0 && first == n) slices.each = size.item<int64_t>();
  LB_ASSERT(slices.begin(rank_) == first && slices.size(rank_) == last - first,
            "slices of equal sizes but for the last ones, in the order of ranks");
  LB_ASSERT(slices.each * world_ >= n, "slices that leave nothing out");
  return slices;
}

// `mine` += the others' (by rank, without this one), as if all had been added in the order of
// ranks; the result may be another tensor. Floating-point sums depend on their order: by ranks they
// are the same in every process, and from run to run, whoever's message came first.
at::Tensor GlooCommunicator::sum_in_order(const at::Tensor& mine,
                                          std::span<const at::Tensor> others) const {
  const bool rounds = mine.scalar_type() == at::kBFloat16;
  const auto mine_at = static_cast<size_t>(rank_);
  at::Tensor sum;
  for (size_t r = 0; r <= others.size(); ++r) {
    const at::Tensor& given = r == mine_at ? mine : others[r < mine_at ? r : r - 1];
    const at::Tensor summand = rounds ? given.to(at::kFloat) : given;
    sum = sum.defined() ? sum.add_(summand) : summand;
  }
  return sum;
}

// Everybody's part of this process's slice, added to it; piece by piece, so that what waits to be
// added stays small. While one is added the next is on its way.
void GlooCommunicator::add_others(const Call& call, const at::Tensor& all, const Slices& slices) {
  const int64_t item = static_cast<int64_t>(all.element_size());
  // Two sets of pieces, one for each of the other processes. All cut alike, so that the n-th
  // message from a process is the n-th piece.
  const int64_t bytes = std::max(kStagingBytes / 2 / (world_ - 1), kMinPieceBytes);
  const int64_t piece = std::min(bytes / item, slices.each);
  const at::Tensor mine = slices.of(all, rank_);
  const at::Tensor staging =
      at::empty({2, world_ - 1, std::min(piece, mine.numel())}, all.options());
  const auto part_of = [&](int64_t rank, int64_t index) {
    const int64_t begin = std::min(index * piece, slices.size(rank));
    return slices.of(all, rank).narrow(0, begin, std::min(piece, slices.size(rank) - begin));
  };
  const auto staged = [&](int64_t index) {
    std::vector<at::Tensor> parts;
    const int64_t size = part_of(rank_, index).numel();
    for (int64_t i = 0; i + 1 < world_; ++i) {
      parts.push_back(staging[index % 2][i].narrow(0, 0, size));
    }
    return parts;
  };
  const auto post = [&](int64_t index, Round& round) {
    const std::vector<at::Tensor> parts = staged(index);
    for (const int64_t peer : peers_.others()) {
      peers_.receive(call, round, peer, parts[static_cast<size_t>(peer < rank_ ? peer : peer - 1)]);
    }
    for (const int64_t peer : peers_.others()) peers_.send(call, round, peer, part_of(peer, index));
  };
  const int64_t num_pieces = (slices.each + piece - 1) / piece;
  Round now, next;
  post(0, now);
  for (int64_t index = 0; index < num_pieces; ++index) {
    if (index + 1 < num_pieces) post(index + 1, next);
    peers_.wait(call, now);
    const at::Tensor part = part_of(rank_, index);
    if (part.numel() > 0) {
      const at::Tensor sum = sum_in_order(part, staged(index));
      if (!sum.is_same(part)) part.copy_(sum);
    }
    // `next` is empty again: wait() left `now` so.
    std::swap(now, next);
  }
}

void GlooCommunicator::take_others(const Call& call, const at::Tensor& all, const Slices& slices) {
  Round round;
  for (const int64_t peer : peers_.others())
    peers_.receive(call, round, peer, slices.of(all, peer));
  for (const int64_t peer : peers_.others()) peers_.send(call, round, peer, slices.of(all, rank_));
  peers_.wait(call, round);
}

void GlooCommunicator::add_whole(const Call& call, const at::Tensor& flat) {
  const at::Tensor staging = at::empty({world_ - 1, flat.numel()}, flat.options());
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i + 1 < world_; ++i) parts.push_back(staging[i]);
  Round round;
  for (const int64_t peer : peers_.others()) {
    peers_.receive(call, round, peer, parts[static_cast<size_t>(peer < rank_ ? peer : peer - 1)]);
  }
  for (const int64_t peer : peers_.others()) peers_.send(call, round, peer, flat);
  peers_.wait(call, round);
  const at::Tensor sum = sum_in_order(flat, parts);
  if (!sum.is_same(flat)) flat.copy_(sum);
}

void GlooCommunicator::all_reduce_sum(const at::Tensor& values) {
  c10::NoGradGuard no_grad;
  const Call call = begin("all_reduce_sum", values);
  if (values.numel() == 0) return;
  const at::Tensor flat = values.contiguous().view({-1});
  // For few bytes the number of rounds is what costs.
  if (call.bytes <= kSmallBytes) {
    add_whole(call, flat);
  } else {
    // A reduce-scatter and an all-gather: each process adds up its slice and hands it out, so that
    // 2 (W - 1) / W of the bytes are sent, not W - 1 times all of them.
    const Slices slices{.n = flat.numel(), .each = (flat.numel() + world_ - 1) / world_};
    add_others(call, flat, slices);
    take_others(call, flat, slices);
  }
  if (!values.is_contiguous()) values.copy_(flat.view(values.sizes()));
}

at::Tensor GlooCommunicator::reduce_scatter_sum(const at::Tensor& all, int64_t first,
                                                int64_t last) {
  c10::NoGradGuard no_grad;
  const Call call = begin("reduce_scatter_sum", all);
  if (all.numel() > 0) add_others(call, all, slices_of(call, all, first, last));
  return all.narrow(0, first, last - first);
}

void GlooCommunicator::all_gather(const at::Tensor& all, int64_t first, int64_t last) {
  c10::NoGradGuard no_grad;
  const Call call = begin("all_gather", all);
  if (all.numel() > 0) take_others(call, all, slices_of(call, all, first, last));
}

// A large one in two rounds: each process gets a slice and passes it on.
void GlooCommunicator::broadcast(const at::Tensor& values, int64_t root) {
  c10::NoGradGuard no_grad;
  LB_ASSERT(0 <= root && root < world_, "a rank of the world");
  const Call call = begin("broadcast", values);
  if (values.numel() == 0) return;
  const at::Tensor flat = values.contiguous().view({-1});
  // In one round the root sends everything W - 1 times; in two it sends everything once, and the
  // others share the rest.
  const bool whole = call.bytes <= kSmallBroadcast || world_ == 2;
  const Slices slices{.n = flat.numel(), .each = (flat.numel() + world_ - 1) / world_};
  const auto part_of = [&](int64_t peer) { return whole ? flat : slices.of(flat, peer); };
  Round round;
  if (rank_ != root) peers_.receive(call, round, root, part_of(rank_));
  for (const int64_t peer : peers_.others()) {
    if (rank_ == root) peers_.send(call, round, peer, part_of(peer));
  }
  peers_.wait(call, round);
  if (!whole) take_others(call, flat, slices);
  if (!values.is_contiguous()) values.copy_(flat.view(values.sizes()));
}

std::vector<std::string> GlooCommunicator::gather(const std::string& text) {
  const Call call = peers_.begin("gather", static_cast<int64_t>(text.size()));
  // Lengths first: who receives must have the memory ready.
  at::Tensor sizes = at::zeros({world_}, at::kLong);
  sizes[rank_] = static_cast<int64_t>(text.size());
  take_others(call, sizes, {.n = world_, .each = 1});
  std::vector<std::string> texts(static_cast<size_t>(world_));
  Round round;
  const auto bytes_of = [](std::string& bytes) {
    return at::from_blob(bytes.data(), {static_cast<int64_t>(bytes.size())}, at::kByte);
  };
  for (int64_t r = 0; r < world_; ++r) {
    std::string& each = texts[static_cast<size_t>(r)];
    each = r == rank_ ? text : std::string(static_cast<size_t>(sizes[r].item<int64_t>()), '\0');
    if (r != rank_) peers_.receive(call, round, r, bytes_of(each));
  }
  for (const int64_t peer : peers_.others()) {
    peers_.send(call, round, peer, bytes_of(texts[static_cast<size_t>(rank_)]));
  }
  peers_.wait(call, round);
  return texts;
}

bool GlooCommunicator::any(bool mine) {
  const Call call = peers_.begin("any", sizeof(int64_t));
  const at::Tensor count = at::full({1}, static_cast<int64_t>(mine), at::kLong);
  add_whole(call, count);
  return count.item<int64_t>() > 0;
}

void GlooCommunicator::barrier() {
  const Call call = peers_.begin("barrier", sizeof(int64_t));
  // Whoever has a message from everybody knows that all are here.
  add_whole(call, at::zeros({1}, at::kLong));
}

}  // namespace

std::unique_ptr<HostCommunicator> make_gloo_communicator(const Environment& environment,
                                                         const ProcessGroupOptions& options) {
  return std::make_unique<GlooCommunicator>(environment, options);
}

}  // namespace littlebit
