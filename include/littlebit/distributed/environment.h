// Rank and number of the processes of a run, from the environment variables of whoever started
// them: torchrun, Slurm's srun, Open MPI's mpirun, a launcher that speaks PMI, our own --nproc
// (launcher.h), or a person. Without ATen: a program asks before it touches any device.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

struct Environment {
  int64_t rank = 0, world = 1;
  int64_t local_rank = 0, local_world = 1;  // among the processes of this host; picks the device
  // Where the processes meet. "" and 0 for a run of one process that was told of none.
  std::string master_address;
  int64_t master_port = 0;
  // A torchrun agent keeps the store there; else rank 0 opens it.
  bool agent_store = false;
  std::string key_prefix;  // of keys in the store: restarts of a run share an agent's
  // A socket that listens on master_port already, for rank 0; -1: none.
  int listening_socket = -1;
  std::string interface;  // the network interface to use (GLOO_SOCKET_IFNAME); "": found out
  // "torchrun", "RANK and WORLD_SIZE", "Slurm", "Open MPI", "PMI", "--nproc"; "" where there is
  // nothing.
  std::string found;

  bool is_one_host() const { return local_world == world; }
};

std::string host_name();  // of this host; "an unknown host" where the system has none

using Variables = std::map<std::string, std::string>;

Variables environment_variables();  // of this process

// Pure. UsageError, naming the variables with their values: values that contradict each other or
// are no numbers, some without the others they need, several hosts without the address of one.
Environment read_environment(const Variables& variables);

// How many cores a process computes with, at least 1. `cores`: those it may use (its affinity). Of
// torchrun, --nproc and RANK all processes of a host have the same ones and share them. Slurm, Open
// MPI and PMI launchers may have bound each to some of the host's `host_cores`: those are not
// divided again.
int64_t share_of_cores(const Environment& environment, int64_t cores, int64_t host_cores);
int64_t host_cores();

}  // namespace littlebit
