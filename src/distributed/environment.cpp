// One reader for each way of starting processes, and which of them is believed.
#include "littlebit/distributed/environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/node_list.h"

namespace littlebit {
namespace {

constexpr const char *kSlurm = "Slurm", *kOpenMpi = "Open MPI", *kPmi = "PMI";

constexpr int64_t kDefaultPort = 29500;  // torchrun's
// Ports that follow from the number of a job: below those that systems hand out by themselves.
constexpr int64_t kFirstPort = 15000, kNumPorts = 16000;

// Of one way of starting processes: rank and world, and what else it tells. Local numbers that it
// does not tell are -1.
struct Source {
  std::string name, rank_variable, world_variable;
  int64_t rank = 0, world = 0, local_rank = -1, local_world = -1;
  std::string address;  // of rank 0's host, where it is known
  int64_t port = kDefaultPort;
  std::string hint;  // what to do where several hosts have no address
};

class Reader {
 public:
  explicit Reader(const Variables& variables) : variables_(variables) {}

  std::string text(const std::string& name) const {
    const auto found = variables_.find(name);
    return found == variables_.end() ? "" : found->second;
  }
  bool has(const std::string& name) const { return !text(name).empty(); }

  // The first of `names` that is set.
  std::string first_of(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      if (has(name)) return name;
    }
    return "";
  }

  int64_t number(const std::string& name, int64_t least, int64_t most = INT32_MAX) const {
    const std::string value = text(name);
    int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (value.empty() || error != std::errc() || end != value.data() + value.size() ||
        number < least || number > most) {
      throw UsageError(said(name) + ", where a whole number from " + std::to_string(least) +
                           (most < INT32_MAX ? " to " + std::to_string(most) : "") + " is expected",
                       "unset it, or start the processes by a launcher that sets it");
    }
    return number;
  }
  int64_t number_or(const std::string& name, int64_t otherwise, int64_t least) const {
    return has(name) ? number(name, least) : otherwise;
  }

  // "RANK is 3", "RANK is not set"
  std::string said(const std::string& name) const {
    const auto found = variables_.find(name);
    return name + (found == variables_.end() ? " is not set" : " is \"" + found->second + "\"");
  }
  std::string said(const std::string& a, const std::string& b) const {
    return said(a) + " and " + said(b);
  }

 private:
  const Variables& variables_;
};

// Rank and world by their variables; both are there.
Source read_source(const Reader& read, const std::string& name, const std::string& rank,
                   const std::string& world, const std::string& local_rank,
                   const std::string& local_world) {
  Source source{.name = name, .rank_variable = rank, .world_variable = world};
  source.world = read.number(world, 1);
  source.rank = read.number(rank, 0);
  if (source.rank >= source.world) {
    throw UsageError(read.said(rank, world) + ": ranks count from 0 to one less than the world",
                     "unset both, or start the processes by a launcher that sets them");
  }
  if (!local_rank.empty()) source.local_rank = read.number_or(local_rank, -1, 0);
  if (!local_world.empty()) source.local_world = read.number_or(local_world, -1, 1);
  if (source.local_world > source.world) {
    throw UsageError(read.said(local_world, world) + ": more processes on this host than in all",
                     "unset both, or start the processes by a launcher that sets them");
  }
  const int64_t local_end = source.local_world > 0 ? source.local_world : source.world;
  if (source.local_rank >= local_end) {
    throw UsageError(read.said(local_rank, source.local_world > 0 ? local_world : world) +
                         ": there are not so many processes on this host",
                     "unset both, or start the processes by a launcher that sets them");
  }
  return source;
}

// torchrun and the launcher of --nproc both set RANK and WORLD_SIZE; these tell them apart.
bool by_torchrun(const Reader& read) {
  return !read.first_of({"TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"}).empty();
}
bool by_ourselves(const Reader& read) { return read.has("LITTLEBIT_LAUNCHER"); }

bool is_this_host(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

std::optional<Source> read_ranks(const Reader& read) {
  if (!read.has("RANK") && !read.has("WORLD_SIZE")) return std::nullopt;
  if (!read.has("RANK") || !read.has("WORLD_SIZE")) {
    throw UsageError(read.said("RANK", "WORLD_SIZE") + ": each needs the other",
                     "set both, or neither");
  }
  const char* name = by_ourselves(read)  ? "--nproc"
                     : by_torchrun(read) ? "torchrun"
                                         : "RANK and WORLD_SIZE";
  Source source = read_source(read, name, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE");
  source.hint = "set MASTER_ADDR to the host of rank 0, and MASTER_PORT to a free port there";
  if (source.world == 1) {
    source.local_rank = std::max<int64_t>(source.local_rank, 0);
    source.local_world = 1;
  } else if (source.local_world < 0 && is_this_host(read.text("MASTER_ADDR"))) {
    // Rank 0 is reached on this host, so all processes are on it.
    source.local_world = source.world;
  }
  if (source.local_rank < 0) {
    source.local_rank = source.local_world > 0 ? source.rank % source.local_world : 0;
  }
  if (source.local_world < 0) source.local_world = source.local_rank + 1;  // as far as is known
  return source;
}

std::optional<Source> read_open_mpi(const Reader& read) {
  if (!read.has("OMPI_COMM_WORLD_RANK") || !read.has("OMPI_COMM_WORLD_SIZE")) return std::nullopt;
  Source source = read_source(read, kOpenMpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                              "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE");
  source.hint = "add to the line of mpirun: -x MASTER_ADDR=<host of rank 0> -x MASTER_PORT=29500";
  // What all processes of one mpirun have in common and no other's has.
  const std::string job = read.first_of({"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"});
  if (!job.empty()) {
    source.port =
        kFirstPort + static_cast<int64_t>(std::hash<std::string>()(read.text(job)) % kNumPorts);
  }
  return source;
}

std::optional<Source> read_pmi(const Reader& read) {
  if (!read.has("PMI_RANK") || !read.has("PMI_SIZE")) return std::nullopt;
  Source source = read_source(read, kPmi, "PMI_RANK", "PMI_SIZE",
                              read.first_of({"MPI_LOCALRANKID", "PMI_LOCAL_RANK"}),
                              read.first_of({"MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"}));
  source.hint =
      "add to the line of mpiexec: -genv MASTER_ADDR <host of rank 0> -genv MASTER_PORT 29500";
  return source;
}

// Of a step (srun). The batch script itself has a SLURM_PROCID too, but no step: it is one process,
// however many tasks its job has.
std::optional<Source> read_slurm(const Reader& read) {
  const std::string step = read.first_of({"SLURM_STEP_ID", "SLURM_STEPID"}),
                    tasks = read.first_of({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"}),
                    job = read.first_of({"SLURM_JOB_ID", "SLURM_JOBID"});
  if (!read.has("SLURM_PROCID") || step.empty() || tasks.empty()) return std::nullopt;
  Source source = read_source(read, kSlurm, "SLURM_PROCID", tasks, "SLURM_LOCALID", "");
  source.hint =
      "set MASTER_ADDR to the host of rank 0, as `scontrol show hostnames` names it first";
  if (source.local_rank < 0) {
    throw UsageError(
        read.said("SLURM_PROCID", "SLURM_LOCALID") + ": the rank on this host is missing",
        "start the processes by srun");
  }
  // The numbers of jobs on one host are close to each other, as are those of a job's steps.
  if (!job.empty()) {
    source.port = kFirstPort + (read.number(job, 0) * 16 + read.number(step, 0) % 16) % kNumPorts;
  }
  const std::string nodes =
      read.first_of({"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"});
  const std::vector<std::string> hosts =
      nodes.empty() ? std::vector<std::string>() : parse_node_list(read.text(nodes));
  if (!hosts.empty()) source.address = hosts.front();

  const std::string per_node = read.first_of({"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"});
  if (hosts.size() == 1) {
    source.local_world = source.world;
    source.address = "127.0.0.1";
  } else if (!per_node.empty() && read.has("SLURM_NODEID")) {
    const std::vector<int64_t> counts = parse_tasks_per_node(read.text(per_node));
    const auto node = static_cast<size_t>(read.number("SLURM_NODEID", 0));
    if (node >= counts.size()) {
      throw UsageError(read.said("SLURM_NODEID", per_node) + ": there is no such node in it",
                       "start the processes by srun");
    }
    source.local_world = counts[node];
  } else {
    source.local_world = read.number_or("SLURM_NTASKS_PER_NODE", source.local_rank + 1, 1);
  }
  if (source.local_rank >= source.local_world || source.local_world > source.world) {
    throw UsageError(read.said("SLURM_LOCALID") + " of " + std::to_string(source.local_world) +
                         " processes on this host, " + read.said(tasks),
                     "start the processes by srun");
  }
  return source;
}

// A launcher inside another's process sees the outer one's variables too, and starts more
// processes than that one knows of. Otherwise both must say the same.
void check_agreement(const Reader& read, const Source& inner, const Source& outer) {
  if (inner.world > outer.world) return;
  if (inner.world == outer.world && inner.rank == outer.rank) return;
  throw UsageError(read.said(inner.rank_variable, inner.world_variable) + ", but " +
                       read.said(outer.rank_variable, outer.world_variable),
                   "unset those that do not belong to this start (" + inner.rank_variable + ", " +
                       inner.world_variable + ", or start it outside of " + outer.name + ")");
}

// The innermost that was found; nullopt: one process.
std::optional<Source> choose(const Reader& read) {
  const std::optional<Source> ranks = read_ranks(read), open_mpi = read_open_mpi(read),
                              pmi = read_pmi(read), slurm = read_slurm(read);
  if (ranks) {
    // torchrun and we start every process ourselves: what is outside counts agents, not processes.
    if (!by_torchrun(read) && !by_ourselves(read)) {
      for (const auto* outer : {&open_mpi, &pmi, &slurm}) {
        if (*outer) check_agreement(read, *ranks, **outer);
      }
    }
    Source source = *ranks;
    // A script may have set RANK and WORLD_SIZE from Slurm's variables: what Slurm tells beyond
    // them still holds.
    if (slurm && slurm->rank == source.rank && slurm->world == source.world) {
      if (source.address.empty()) source.address = slurm->address;
      if (!read.has("LOCAL_RANK")) source.local_rank = slurm->local_rank;
      if (!read.has("LOCAL_WORLD_SIZE")) source.local_world = slurm->local_world;
    }
    return source;
  }
  if (open_mpi) return open_mpi;  // inside Slurm its daemons are the step's tasks
  if (pmi && slurm && pmi->rank == slurm->rank && pmi->world == slurm->world) return slurm;
  return pmi ? pmi : slurm;
}

std::string address_of(const Reader& read, const Source& source) {
  if (read.has("MASTER_ADDR")) return read.text("MASTER_ADDR");
  if (source.local_world == source.world) return "127.0.0.1";
  if (!source.address.empty()) return source.address;
  throw UsageError("there are " + std::to_string(source.world) + " processes (" + source.name +
                       "), not all of them on this host as far as is known, and " +
                       read.said("MASTER_ADDR"),
                   source.hint);
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "an unknown host";
}

Variables environment_variables() {
  Variables variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view line = *entry;
    const size_t equals = line.find('=');
    if (equals != std::string_view::npos) {
      variables.emplace(line.substr(0, equals), line.substr(equals + 1));
    }
  }
  return variables;
}

Environment read_environment(const Variables& variables) {
  const Reader read(variables);
  const std::optional<Source> source = choose(read);
  Environment environment;
  environment.interface = split(read.text("GLOO_SOCKET_IFNAME"), ',').front();
  if (!source) return environment;
  environment.found = source->name;
  environment.rank = source->rank;
  environment.world = source->world;
  environment.local_rank = std::max<int64_t>(source->local_rank, 0);
  environment.local_world = std::max<int64_t>(source->local_world, environment.local_rank + 1);
  if (source->world == 1) return environment;

  environment.master_address = address_of(read, *source);
  environment.master_port =
      read.has("MASTER_PORT") ? read.number("MASTER_PORT", 1, 65535) : source->port;
  // Python's str(True) and str(False). torchrun's agent already runs a store at that address: rank
  // 0 joins it instead of opening one.
  environment.agent_store = read.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (by_torchrun(read)) {
    // After a restart by torchrun the store still has the keys of the attempt before.
    environment.key_prefix = "/worker/attempt_" +
                             std::to_string(read.number_or("TORCHELASTIC_RESTART_COUNT", 0, 0)) +
                             "/";
  }
  if (environment.rank == 0 && read.has("LITTLEBIT_LISTENING_SOCKET")) {
    environment.listening_socket = static_cast<int>(read.number("LITTLEBIT_LISTENING_SOCKET", 0));
  }
  return environment;
}

int64_t share_of_cores(const Environment& environment, int64_t cores, int64_t host_cores) {
  const bool may_be_bound =
      environment.found == kSlurm || environment.found == kOpenMpi || environment.found == kPmi;
  // Bound to a part that several share, as a socket's, they have no more than a share of the host.
  const int64_t share = may_be_bound && cores < host_cores
                            ? std::min(cores, host_cores / environment.local_world)
                            : cores / environment.local_world;
  return std::max<int64_t>(1, share);
}

int64_t host_cores() { return std::max<int64_t>(1, sysconf(_SC_NPROCESSORS_ONLN)); }

}  // namespace littlebit
