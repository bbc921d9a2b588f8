// --estimate-memory: what one process of a run holds and sends, as tables and as JSON, for any
// number of processes, and which ways to divide the run would fit a device.

#include "littlebit/train/estimate.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/device/memory.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"
#include "memory_plan.h"
#include "plan.h"
#include "session.h"
#include "traffic_plan.h"

namespace littlebit {
namespace {

constexpr int64_t kMaxProcesses = 1 << 20;

// Of the teacher's matrices: as the files say, beside config.json alone as that says.
std::optional<at::ScalarType> stored_dtype(const Session& session, Decoder& shape) {
  HfFolder& folder = *session.teacher_folder;
  if (folder.has_tensor_files()) {
    try {
      folder.open_tensors();
      std::optional<at::ScalarType> found;
      shape.visit_linears([&](LinearSlot& slot) {
        const TensorView* view = found ? nullptr : find_tensor(folder, slot.weight.tensor);
        if (view != nullptr && is_floating(view->dtype)) found = scalar_type(view->dtype);
      });
      return found;
    } catch (const Error&) {  // a run will say it
      return std::nullopt;
    }
  }
  for (const char* key : {"torch_dtype", "dtype"}) {
    const Json& config = folder.config();
    const auto word = config.find(key);
    if (word == config.end() || !word->is_string()) continue;
    if (*word == "float32") return at::kFloat;
    if (*word == "bfloat16") return at::kBFloat16;
    if (*word == "float16") return at::kHalf;
  }
  return std::nullopt;
}

std::string shown(double bytes) {
  return bytes < 0x1p63 ? format_bytes(static_cast<uint64_t>(bytes)) : "more than 8 EiB";
}

double sum_sent(std::span<const TrafficPart> parts) {
  double sum = 0;
  for (const TrafficPart& part : parts) sum += part.sent;
  return sum;
}

// A run's shapes and what can be asked of them.
class Estimate {
 public:
  explicit Estimate(const Session& session)
      : session_(session),
        shape_(empty_decoder(session.spec, session.dtype, at::Device(at::kCPU))),
        stored_(stored_dtype(session, shape_)) {}

  std::vector<MemoryPart> memory(ShardingChoice choice, int64_t rank) {
    choice.rank = rank;
    return memory_parts(shape_, session_.plans, session_.options, session_.device, stored_, choice);
  }
  // As a run on a device of that much memory would decide; 0: unknown, replicated unless asked for.
  bool shards(int64_t world, double device_memory) {
    const double bytes = teacher_block_bytes(shape_);
    return shards_teacher(session_.options.train.teacher, session_.device, world,
                          device_memory > 0 ? bytes : 0, device_memory) &&
           world > 1;
  }
  double total(const ShardingChoice& choice, int64_t rank) {
    return device_bytes(memory(choice, rank));
  }
  // Of a device that is not the host's memory; see plan.h.
  bool fits_streamed_only(ShardingChoice choice, double free) {
    choice.teacher_sharded = choice.teacher_spread = choice.teacher_streamed = false;
    if (total(choice, 0) <= free) return false;
    choice.teacher_sharded = choice.world > 1;
    if (choice.teacher_sharded && total(choice, 0) <= free) return false;
    choice.teacher_sharded = false;
    choice.teacher_streamed = true;
    return total(choice, 0) <= free;
  }
  bool streams_on_host(const ShardingChoice& choice) const {
    const int64_t tokens =
        sequences_at_once(session_.options, choice.world) * session_.options.data.sequence_length;
    return stored_ && littlebit::streams_on_host(*stored_, session_.dtype, tokens);
  }
  HostCopies copies(const ShardingChoice& choice) {
    return host_copies(shape_, session_.plans, session_.options, session_.device, choice);
  }
  std::vector<TrafficPart> traffic(const ShardingChoice& choice) {
    return traffic_parts(shape_, session_.plans, session_.options, choice);
  }

 private:
  const Session& session_;
  Decoder shape_;
  std::optional<at::ScalarType> stored_;
};

// The other ways to divide the same run, those that send less first.
std::vector<ShardingChoice> ways_of(const ShardingChoice& choice) {
  std::vector<ShardingChoice> ways;
  for (const int parts : {0, 1, 2, 3}) {  // streamed, whole, of a host, of all
    for (const bool per_microbatch : {false, true}) {
      if (choice.world == 1 && (parts > 1 || per_microbatch)) continue;
      ShardingChoice way = choice;
      way.teacher_streamed = parts == 0;
      way.teacher_sharded = parts > 1;
      way.teacher_spread = false;
      if (parts == 3 && way.teacher_parts() == way.world) continue;
      way.teacher_spread = parts == 3;
      way.reduce_per_microbatch = per_microbatch;
      ways.push_back(way);
    }
  }
  return ways;
}

const char* teacher_word(const ShardingChoice& way) {
  if (way.teacher_streamed) return "streamed";
  if (!way.teacher_sharded) return "replicated";
  return way.teacher_spread ? "spread" : "sharded";
}
const char* reduce_word(const ShardingChoice& way) {
  return way.reduce_per_microbatch ? "microbatch" : "step";
}

// Of the first process, and of the last one where it holds less.
void print_parts(Estimate& estimate, const ShardingChoice& choice) {
  const std::vector<MemoryPart> first = estimate.memory(choice, 0),
                                last = estimate.memory(choice, choice.world - 1);
  const double total = device_bytes(first), least = device_bytes(last);
  const bool both = shown(total) != shown(least);
  std::vector<std::string> header = {"memory while training", "about"};
  if (choice.world > 1) header[1] = "process 0 of " + std::to_string(choice.world);
  if (both) header.push_back("process " + std::to_string(choice.world - 1));
  const auto print = [&](bool on_host, double most, double fewest) {
    header[0] = on_host ? "in the host's memory" : "memory while training";
    Table table(header);
    for (size_t i = 0; i < first.size(); ++i) {
      if (first[i].on_host != on_host) continue;
      std::vector<std::string> row = {first[i].what, shown(first[i].bytes)};
      if (both) row.push_back(shown(last[i].bytes));
      table.add(row);
    }
    table.add(both ? std::vector<std::string>{"total", shown(most), shown(fewest)}
                   : std::vector<std::string>{"total", shown(most)});
    table.print();
  };
  print(/*on_host=*/false, total, least);
  if (const double host = host_bytes(first); host > 0) {
    print(/*on_host=*/true, host, host_bytes(last));
  }
  const HostCopies copies = estimate.copies(choice);
  if (copies.to_device + copies.to_host > 0) {
    log_info("copied in a step: to the device " + shown(copies.to_device) + ", to the host " +
             shown(copies.to_host));
  }
}

void print_traffic(Estimate& estimate, const ShardingChoice& choice, double bandwidth) {
  const std::vector<TrafficPart> parts = estimate.traffic(choice);
  if (parts.empty()) return;
  std::vector<std::string> header = {"sent in a step by a process", "operation", "calls", "bytes"};
  if (bandwidth > 0) header.push_back("takes");
  Table table(header, {0, 1});
  const auto add = [&](const std::string& what, const std::string& operation,
                       const std::string& calls, double sent) {
    std::vector<std::string> row = {what, operation, calls, shown(sent)};
    if (bandwidth > 0) row.push_back(format_digits(1000 * sent / bandwidth, 3) + " ms");
    table.add(row);
  };
  for (const TrafficPart& part : parts) {
    add(part.what, part.operation, format_digits(part.calls, 12), part.sent);
  }
  add("total", "", "", sum_sent(parts));
  table.print();
}

void print_fit(Estimate& estimate, const ShardingChoice& choice, double memory) {
  const double total = estimate.total(choice, 0);
  if (total <= memory) {
    log_info("the run fits into " + shown(memory) + ", with " + shown(memory - total) + " left");
  } else {
    log_info("the run does not fit into " + shown(memory) + ": " + shown(total - memory) +
             " are missing");
  }
  if (choice.world == 1) return;
  Table table({"teacher", "gradients summed per", "memory", "sent in a step", ""}, {0, 1, 4});
  for (const ShardingChoice& way : ways_of(choice)) {
    const double bytes = estimate.total(way, 0);
    table.add({teacher_word(way), reduce_word(way), shown(bytes),
               shown(sum_sent(estimate.traffic(way))), bytes <= memory ? "fits" : ""});
  }
  table.print();
}

Json memory_json(std::span<const MemoryPart> parts) {
  Json list = Json::array();
  for (const MemoryPart& part : parts) {
    list.push_back({{"what", part.what}, {"bytes", part.bytes}, {"on_host", part.on_host}});
  }
  return list;
}

Json traffic_json(std::span<const TrafficPart> parts) {
  Json list = Json::array();
  for (const TrafficPart& part : parts) {
    list.push_back({{"what", part.what},
                    {"operation", part.operation},
                    {"calls", part.calls},
                    {"payload", part.payload},
                    {"sent", part.sent}});
  }
  return list;
}

Json way_json(Estimate& estimate, const ShardingChoice& way, const EstimateRequest& request) {
  const std::vector<MemoryPart> parts = estimate.memory(way, 0);
  const std::vector<TrafficPart> traffic = estimate.traffic(way);
  const double total = device_bytes(parts), sent = sum_sent(traffic);
  Json json = {{"teacher", teacher_word(way)},
               {"gradient_reduce", reduce_word(way)},
               {"memory", memory_json(parts)},
               {"total", total},
               {"host_total", host_bytes(parts)},
               {"traffic", traffic_json(traffic)},
               {"sent", sent}};
  const HostCopies copies = estimate.copies(way);
  json["copied_to_device"] = copies.to_device;
  json["copied_to_host"] = copies.to_host;
  if (request.device_memory > 0) json["fits"] = total <= request.device_memory;
  if (request.bandwidth > 0) json["seconds"] = sent / request.bandwidth;
  return json;
}

ShardingChoice choice_of(const RunOptions& options, const EstimateRequest& request) {
  const int64_t processes = request.processes;
  if (processes < 1 || processes > kMaxProcesses) {
    throw UsageError("--processes was given " + std::to_string(processes),
                     "a number from 1 to " + std::to_string(kMaxProcesses));
  }
  const int64_t per_host = request.processes_per_host;
  if (per_host < 0 || per_host > processes || (per_host > 0 && processes % per_host != 0)) {
    throw UsageError("--processes-per-host was given " + std::to_string(per_host) + ", of " +
                         std::to_string(processes) + " processes",
                     "a number that divides --processes");
  }
  check_batch(options, processes);
  return sharding_of(options, processes, per_host);
}

// Free for one process; on the CPU those of a host share it.
double free_for_one(at::Device device, const ShardingChoice& choice) {
  const double sharers = device_traits(device).is_host ? static_cast<double>(choice.per_host) : 1;
  return free_memory(device) / sharers;
}

void choose_teacher(Session& session, ShardingChoice& choice) {
  TeacherPlacement& teacher = session.options.train.teacher;
  choice.teacher_streamed = teacher == TeacherPlacement::kStreamed;
  if (teacher != TeacherPlacement::kAuto || !device_traits(session.device).is_host) return;
  if (!Estimate(session).streams_on_host(choice)) return;
  teacher = TeacherPlacement::kStreamed;
  choice.teacher_streamed = true;
  log_info("train.teacher: auto: streamed, its matrices are converted to " +
           std::string(name_of(session.dtype)) + " block by block");
}

// optim.state_device: auto, for a process with that much free on its device and on the host. On a
// CPU both are the same place.
void choose_state_device(Session& session, ShardingChoice& choice, double free, double host_free) {
  StateDevice& place = session.options.optim.state_device;
  if (place == StateDevice::kAuto || device_traits(session.device).is_host) {
    place = StateDevice::kDevice;
    choice.state_on_host = false;
    const double total = Estimate(session).total(choice, 0);
    if (!device_traits(session.device).is_host && free > 0 && total > free) {
      choice.state_on_host = true;
      const double host = host_bytes(Estimate(session).memory(choice, 0));
      if (host <= host_free) place = StateDevice::kCpu;
      log_info("optim.state_device: auto: " +
               std::string(host <= host_free ? "cpu" : "device, for the host has no room either") +
               "; on the device about " + shown(total) + " would be taken and " + shown(free) +
               " are free, on the host " + shown(host));
    }
  }
  choice.state_on_host = place == StateDevice::kCpu;
}

// train.recompute: auto, for a process with that much free.
void choose_recompute(Session& session, const ShardingChoice& choice, double free) {
  Recompute& recompute = session.options.train.recompute;
  if (recompute != Recompute::kAuto) return;
  const KeptInputs& inputs = session.options.train.inputs;
  const bool is_away = inputs.place == InputsPlace::kCpu && !device_traits(session.device).is_host;
  if (is_away || inputs.type == BlockInputs::kBf16) {
    recompute = Recompute::kFull;
    log_info(std::string("train.recompute: auto: full, as train.block_inputs") +
             (is_away ? "_device is cpu" : " is bf16"));
    return;
  }
  constexpr double kMaxOfFree = 0.5;
  recompute = Recompute::kNone;
  const double total = Estimate(session).total(choice, 0);
  if (total <= kMaxOfFree * free) {
    log_info("train.recompute: auto: none, activations are kept until the backward pass");
    return;
  }
  recompute = Recompute::kFull;
  log_info("train.recompute: auto: full, since keeping all activations would take about " +
           shown(total) + " and " + shown(free) + " are free");
}

// As a run on a device of that much memory would.
void place_teacher(Estimate& estimate, const Session& session, ShardingChoice& choice,
                   double device_memory) {
  choice.teacher_sharded = estimate.shards(choice.world, device_memory);
  const bool is_open = session.options.train.teacher == TeacherPlacement::kAuto &&
                       !device_traits(session.device).is_host && device_memory > 0;
  if (!is_open || !estimate.fits_streamed_only(choice, device_memory)) return;
  choice.teacher_sharded = false;
  choice.teacher_streamed = true;
}

Session open_estimate(const RunOptions& options, const OptionTree& tree, ShardingChoice& choice,
                      double device_memory) {
  Session session = options.train.device == DeviceKind::kCuda
                        ? open_model(options, at::Device(at::kCUDA, 0))
                        : open_model(options);
  make_plans(session, tree);
  const bool is_here = device_memory == 0 && options.train.device != DeviceKind::kCuda;
  const double free = is_here ? free_for_one(session.device, choice) : device_memory;
  choose_teacher(session, choice);
  // Of another machine's host nothing is known: the table says what it must have.
  choose_state_device(session, choice, free, std::numeric_limits<double>::infinity());
  choose_recompute(session, choice, free);
  return session;
}

}  // namespace

bool fits_streamed_only(const Session& session, double free) {
  return Estimate(session).fits_streamed_only(
      sharding_of(session.options, session.processes->world(), session.local_world), free);
}

void choose_by_memory(Session& session) {
  ShardingChoice choice =
      sharding_of(session.options, session.processes->world(), session.local_world);
  const double free = free_for_one(session.device, choice);
  const double sharers = static_cast<double>(choice.per_host);
  choose_teacher(session, choice);
  choose_state_device(session, choice, free, free_memory(at::Device(at::kCPU)) / sharers);
  choose_recompute(session, choice, free);
}

void print_memory(const Session& session) {
  Estimate estimate(session);
  print_parts(estimate, sharding_of(session.options, session.processes->world()));
}

void estimate_memory(const RunOptions& options, const OptionTree& tree,
                     const EstimateRequest& request) {
  ShardingChoice choice = choice_of(options, request);
  const Session session = open_estimate(options, tree, choice, request.device_memory);
  print_model(session);
  Estimate estimate(session);
  place_teacher(estimate, session, choice, request.device_memory);
  print_parts(estimate, choice);
  print_traffic(estimate, choice, request.bandwidth);
  if (request.device_memory > 0) print_fit(estimate, choice, request.device_memory);
}

std::string estimate_memory_json(const RunOptions& options, const OptionTree& tree,
                                 const EstimateRequest& request) {
  ShardingChoice choice = choice_of(options, request);
  const Session session = open_estimate(options, tree, choice, request.device_memory);
  Estimate estimate(session);
  place_teacher(estimate, session, choice, request.device_memory);
  Json json = way_json(estimate, choice, request);
  json["processes"] = choice.world;
  json["processes_per_host"] = choice.per_host;
  json["device"] = device_traits(session.device).name;
  json["micro_batches"] = micro_batches(options, choice.world);
  json["sequences_at_once"] = sequences_at_once(options, choice.world);
  json["total_of_last"] = estimate.total(choice, choice.world - 1);
  json["ways"] = Json::array();
  for (const ShardingChoice& way : ways_of(choice)) {
    json["ways"].push_back(way_json(estimate, way, request));
  }
  return to_json_pretty(json);
}

}  // namespace littlebit
