// Which process this is, by the variables of every way of starting processes that we know.
#include "littlebit/distributed/environment.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/node_list.h"

using namespace littlebit;
using Catch::Matchers::Contains;

namespace {

using Names = std::vector<std::string>;

// What torchrun 2.11 sets for rank 5 of 2 hosts with 4 processes each.
Variables torchrun() {
  return {{"RANK", "5"},
          {"WORLD_SIZE", "8"},
          {"LOCAL_RANK", "1"},
          {"LOCAL_WORLD_SIZE", "4"},
          {"GROUP_RANK", "1"},
          {"ROLE_RANK", "5"},
          {"MASTER_ADDR", "node1"},
          {"MASTER_PORT", "29400"},
          {"TORCHELASTIC_RESTART_COUNT", "2"},
          {"TORCHELASTIC_MAX_RESTARTS", "3"},
          {"TORCHELASTIC_RUN_ID", "none"},
          {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
}

// What srun sets for the last of 2 + 2 + 1 tasks.
Variables slurm() {
  return {{"SLURM_JOB_ID", "4711"},
          {"SLURM_STEP_ID", "3"},
          {"SLURM_PROCID", "4"},
          {"SLURM_NTASKS", "5"},
          {"SLURM_STEP_NUM_TASKS", "5"},
          {"SLURM_LOCALID", "0"},
          {"SLURM_NODEID", "2"},
          {"SLURM_JOB_NODELIST", "gpu[007-009,100]"},
          {"SLURM_STEP_NODELIST", "gpu[008-009,100]"},
          {"SLURM_STEP_TASKS_PER_NODE", "2(x2),1"}};
}

Variables open_mpi(const std::string& rank, const std::string& world, const std::string& local_rank,
                   const std::string& local_world) {
  return {{"OMPI_COMM_WORLD_RANK", rank},
          {"OMPI_COMM_WORLD_SIZE", world},
          {"OMPI_COMM_WORLD_LOCAL_RANK", local_rank},
          {"OMPI_COMM_WORLD_LOCAL_SIZE", local_world},
          {"PMIX_NAMESPACE", "prterun-host-4242@1"}};
}

Variables with(Variables variables, const Variables& more) {
  for (const auto& [name, value] : more) variables[name] = value;
  return variables;
}

Variables without(Variables variables, const Names& names) {
  for (const std::string& name : names) variables.erase(name);
  return variables;
}

// "rank/world local/local_world address:port found", as one line to compare.
std::string read(const Variables& variables) {
  const Environment e = read_environment(variables);
  const auto number = [](int64_t n) { return std::to_string(n); };
  return number(e.rank) + "/" + number(e.world) + " " + number(e.local_rank) + "/" +
         number(e.local_world) + " " + e.master_address + ":" + number(e.master_port) + " " +
         e.found;
}

// Message and hint of the refusal.
std::string refusal(const Variables& variables) {
  try {
    return "not refused: " + read(variables);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kUsage);
    CHECK(!error.hint().empty());
    return std::string(error.what()) + " | " + error.hint();
  }
}

}  // namespace

TEST_CASE("one process, where nobody says otherwise") {
  CHECK(read({}) == "0/1 0/1 :0 ");
  CHECK(read({{"MASTER_ADDR", "node1"}, {"MASTER_PORT", "1"}, {"LOCAL_RANK", "3"}}) ==
        "0/1 0/1 :0 ");
  CHECK(read({{"RANK", ""}, {"WORLD_SIZE", ""}}) == "0/1 0/1 :0 ");
  CHECK(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}) == "0/1 0/1 :0 RANK and WORLD_SIZE");
  CHECK(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"LOCAL_RANK", "0"}, {"MASTER_PORT", "x"}}) ==
        "0/1 0/1 :0 RANK and WORLD_SIZE");
  CHECK(read(open_mpi("0", "1", "0", "1")) == "0/1 0/1 :0 Open MPI");
}

TEST_CASE("torchrun's variables, with the store of its agent under the attempt") {
  CHECK(read(torchrun()) == "5/8 1/4 node1:29400 torchrun");
  const Environment environment = read_environment(torchrun());
  CHECK(environment.agent_store);
  CHECK(environment.key_prefix == "/worker/attempt_2/");
  CHECK(!environment.is_one_host());
  CHECK(environment.listening_socket == -1);
  CHECK(
      !read_environment(with(torchrun(), {{"TORCHELASTIC_USE_AGENT_STORE", "False"}})).agent_store);
  // torchrun as a task of Slurm's or of mpirun's: their tasks are its agents, one a host.
  const Variables task = {{"SLURM_PROCID", "1"},       {"SLURM_NTASKS", "2"},
                          {"SLURM_LOCALID", "0"},      {"SLURM_STEP_ID", "0"},
                          {"SLURM_JOB_ID", "9"},       {"SLURM_NODEID", "1"},
                          {"SLURM_NODELIST", "n[1-2]"}};
  CHECK(read(with(torchrun(), task)) == "5/8 1/4 node1:29400 torchrun");
  CHECK(read(with(torchrun(), open_mpi("1", "2", "0", "1"))) == "5/8 1/4 node1:29400 torchrun");
  // Two agents with one process each: the sizes agree by chance, not the ranks.
  const Variables two =
      with(torchrun(),
           {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"LOCAL_WORLD_SIZE", "1"}});
  CHECK(read(with(two, task)) == "0/2 0/1 node1:29400 torchrun");
}

TEST_CASE("RANK and WORLD_SIZE by hand") {
  const Variables hand = {
      {"RANK", "2"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "localhost"}, {"MASTER_PORT", "5000"}};
  CHECK(read(hand) == "2/3 2/3 localhost:5000 RANK and WORLD_SIZE");  // all on this host
  CHECK(!read_environment(hand).agent_store);
  CHECK(read_environment(hand).key_prefix.empty());
  CHECK(read(without(hand, {"MASTER_PORT"})) == "2/3 2/3 localhost:29500 RANK and WORLD_SIZE");
  CHECK(read(with(hand, {{"MASTER_ADDR", "node7"}})) == "2/3 0/1 node7:5000 RANK and WORLD_SIZE");
  CHECK(read(with(hand, {{"MASTER_ADDR", "node7"}, {"LOCAL_WORLD_SIZE", "2"}})) ==
        "2/3 0/2 node7:5000 RANK and WORLD_SIZE");
  CHECK(read({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "2"}}) ==
        "1/2 1/2 127.0.0.1:29500 RANK and WORLD_SIZE");
  CHECK(read(with(hand, {{"LITTLEBIT_LAUNCHER", "123"}})) == "2/3 2/3 localhost:5000 --nproc");
  // The socket is rank 0's.
  CHECK(read_environment(with(hand, {{"LITTLEBIT_LISTENING_SOCKET", "7"}})).listening_socket == -1);
  CHECK(read_environment(with(hand, {{"LITTLEBIT_LISTENING_SOCKET", "7"}, {"RANK", "0"}}))
            .listening_socket == 7);
  CHECK(read_environment(with(hand, {{"GLOO_SOCKET_IFNAME", "eth1,eth2"}})).interface == "eth1");
}

TEST_CASE("Slurm's variables: the step's first host, a port from job and step") {
  CHECK(read(slurm()) == "4/5 0/1 gpu008:26379 Slurm");  // 15000 + (4711 * 16 + 3) % 16000
  CHECK(
      read(with(slurm(), {{"SLURM_PROCID", "3"}, {"SLURM_NODEID", "1"}, {"SLURM_LOCALID", "1"}})) ==
      "3/5 1/2 gpu008:26379 Slurm");
  CHECK(read(with(slurm(), {{"SLURM_STEP_ID", "4"}})) == "4/5 0/1 gpu008:26380 Slurm");
  CHECK(read(with(slurm(), {{"SLURM_JOB_ID", "4712"}})) == "4/5 0/1 gpu008:26395 Slurm");
  CHECK(read(with(slurm(), {{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "77"}})) ==
        "4/5 0/1 10.0.0.1:77 Slurm");
  // Older names, and fewer of them.
  const Variables old = without(slurm(), {"SLURM_STEP_ID", "SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS",
                                          "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"});
  CHECK(read(with(old, {{"SLURM_STEPID", "3"},
                        {"SLURM_JOBID", "4711"},
                        {"SLURM_NTASKS_PER_NODE", "2"}})) == "4/5 0/2 gpu007:26379 Slurm");
  // On one host nobody needs its name.
  const Variables one = with(slurm(), {{"SLURM_STEP_NODELIST", "n1"},
                                       {"SLURM_STEP_TASKS_PER_NODE", "5"},
                                       {"SLURM_NODEID", "0"},
                                       {"SLURM_LOCALID", "4"}});
  CHECK(read(one) == "4/5 4/5 127.0.0.1:26379 Slurm");
  CHECK(read_environment(one).is_one_host());
  // The batch script of a job of many tasks is one process: it is no step.
  CHECK(read(without(slurm(), {"SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"})) == "0/1 0/1 :0 ");
  // srun --mpi=pmi2 sets PMI's variables too.
  CHECK(read(with(slurm(), {{"PMI_RANK", "4"}, {"PMI_SIZE", "5"}})) ==
        "4/5 0/1 gpu008:26379 Slurm");
  // A script that exports what Slurm says.
  CHECK(read(with(slurm(), {{"RANK", "4"}, {"WORLD_SIZE", "5"}})) ==
        "4/5 0/1 gpu008:29500 RANK and WORLD_SIZE");
}

TEST_CASE("Open MPI's and PMI's variables") {
  const std::string one_host = read(open_mpi("1", "2", "1", "2"));
  CHECK_THAT(one_host, Contains("1/2 1/2 127.0.0.1:") && Contains("Open MPI"));
  const Environment other = read_environment(
      with(open_mpi("1", "2", "1", "2"), {{"PMIX_NAMESPACE", "prterun-host-4243@1"}}));
  CHECK(other.master_port != read_environment(open_mpi("1", "2", "1", "2")).master_port);
  CHECK(other.master_port >= 15000);
  CHECK(other.master_port < 31000);
  CHECK(
      read(with(open_mpi("5", "8", "1", "4"), {{"MASTER_ADDR", "n1"}, {"MASTER_PORT", "29501"}})) ==
      "5/8 1/4 n1:29501 Open MPI");
  // mpirun inside Slurm: its daemons are the tasks.
  CHECK(read(with(with(slurm(), open_mpi("1", "20", "1", "4")),
                  {{"MASTER_ADDR", "n1"}, {"MASTER_PORT", "7"}})) == "1/20 1/4 n1:7 Open MPI");
  const Variables pmi = {{"PMI_RANK", "3"},
                         {"PMI_SIZE", "4"},
                         {"MPI_LOCALRANKID", "1"},
                         {"MPI_LOCALNRANKS", "2"},
                         {"MASTER_ADDR", "n1"}};
  CHECK(read(pmi) == "3/4 1/2 n1:29500 PMI");
  CHECK(read(with(without(pmi, {"MASTER_ADDR"}), {{"MPI_LOCALNRANKS", "4"}})) ==
        "3/4 1/4 127.0.0.1:29500 PMI");
  CHECK(read(with(pmi, {{"SLURM_PROCID", "1"},
                        {"SLURM_NTASKS", "2"},
                        {"SLURM_LOCALID", "0"},
                        {"SLURM_STEP_ID", "0"}})) == "3/4 1/2 n1:29500 PMI");
}

TEST_CASE("several hosts without the address of one: told how to give it") {
  CHECK_THAT(refusal(open_mpi("5", "8", "1", "4")), Contains("8 processes (Open MPI)") &&
                                                        Contains("MASTER_ADDR is not set") &&
                                                        Contains("-x MASTER_ADDR="));
  CHECK_THAT(refusal({{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}}), Contains("-genv MASTER_ADDR"));
  CHECK_THAT(refusal(without(torchrun(), {"MASTER_ADDR"})), Contains("MASTER_ADDR is not set"));
  CHECK_THAT(refusal({{"RANK", "1"}, {"WORLD_SIZE", "2"}}), Contains("MASTER_ADDR is not set"));
}

TEST_CASE("variables that contradict each other are refused with their values") {
  const auto contains = [](const Variables& variables, const Names& words) {
    const std::string text = refusal(variables);
    INFO(text);
    for (const std::string& word : words) CHECK_THAT(text, Contains(word));
  };
  contains({{"RANK", "1"}}, {"RANK is \"1\"", "WORLD_SIZE is not set"});
  contains({{"WORLD_SIZE", "4"}}, {"RANK is not set", "WORLD_SIZE is \"4\""});
  contains({{"RANK", "4"}, {"WORLD_SIZE", "4"}}, {"RANK is \"4\"", "WORLD_SIZE is \"4\""});
  contains({{"RANK", "-1"}, {"WORLD_SIZE", "4"}}, {"RANK is \"-1\""});
  contains({{"RANK", "0"}, {"WORLD_SIZE", "0"}}, {"WORLD_SIZE is \"0\""});
  contains({{"RANK", "0x1"}, {"WORLD_SIZE", "4"}}, {"RANK is \"0x1\""});
  contains({{"RANK", "1"}, {"WORLD_SIZE", "4 "}}, {"WORLD_SIZE is \"4 \""});
  contains({{"RANK", "1"}, {"WORLD_SIZE", "99999999999"}}, {"WORLD_SIZE is \"99999999999\""});
  contains(with(torchrun(), {{"LOCAL_RANK", "4"}}),
           {"LOCAL_RANK is \"4\"", "LOCAL_WORLD_SIZE is \"4\""});
  contains(with(torchrun(), {{"LOCAL_WORLD_SIZE", "9"}}),
           {"LOCAL_WORLD_SIZE is \"9\"", "WORLD_SIZE is \"8\""});
  contains(with(torchrun(), {{"MASTER_PORT", "0"}}), {"MASTER_PORT is \"0\""});
  contains(with(torchrun(), {{"MASTER_PORT", "65536"}}), {"MASTER_PORT is \"65536\""});
  contains(with(torchrun(), {{"TORCHELASTIC_RESTART_COUNT", "two"}}), {"\"two\""});
  // The same in every task, because it was exported before srun.
  contains(with(slurm(), {{"RANK", "0"}, {"WORLD_SIZE", "5"}, {"MASTER_ADDR", "n1"}}),
           {"RANK is \"0\"", "SLURM_PROCID is \"4\""});
  contains(with(slurm(), {{"RANK", "0"}, {"WORLD_SIZE", "1"}}),
           {"WORLD_SIZE is \"1\"", "SLURM_STEP_NUM_TASKS is \"5\"", "outside of Slurm"});
  contains(with(open_mpi("1", "2", "1", "2"), {{"RANK", "0"}, {"WORLD_SIZE", "2"}}),
           {"RANK is \"0\"", "OMPI_COMM_WORLD_RANK is \"1\""});
  contains(open_mpi("2", "2", "0", "2"), {"OMPI_COMM_WORLD_RANK is \"2\""});
  contains(open_mpi("1", "4", "2", "2"), {"OMPI_COMM_WORLD_LOCAL_RANK is \"2\""});
  contains(without(slurm(), {"SLURM_LOCALID"}), {"SLURM_LOCALID is not set"});
  contains(with(slurm(), {{"SLURM_NODEID", "3"}}), {"SLURM_NODEID is \"3\"", "2(x2),1"});
  contains(with(slurm(), {{"SLURM_LOCALID", "1"}}), {"SLURM_LOCALID is \"1\""});
  contains(with(slurm(), {{"SLURM_STEP_NODELIST", "n[1-"}}), {"n[1-"});
}

TEST_CASE("node lists are read as scontrol show hostnames does") {
  const auto hosts = [](const char* list) { return join(parse_node_list(list), " "); };
  CHECK(hosts("n1") == "n1");
  CHECK(hosts("login") == "login");
  CHECK(hosts("a-b.c-3") == "a-b.c-3");
  CHECK(hosts("n[1]") == "n1");
  CHECK(hosts("n[1-3]") == "n1 n2 n3");
  CHECK(hosts("n[9-11]") == "n9 n10 n11");
  CHECK(hosts("n[09-11]") == "n09 n10 n11");
  CHECK(hosts("n[001-003,007]") == "n001 n002 n003 n007");
  CHECK(hosts("n[098-101]") == "n098 n099 n100 n101");
  CHECK(hosts("n[3,1-2]") == "n3 n1 n2");
  CHECK(hosts("n[1-2]-ib0") == "n1-ib0 n2-ib0");
  CHECK(hosts("n[1-2]-ib[0-1]") == "n1-ib0 n1-ib1 n2-ib0 n2-ib1");
  CHECK(hosts("n[001-003,007]-ib[0-1]") ==
        "n001-ib0 n001-ib1 n002-ib0 n002-ib1 n003-ib0 n003-ib1 n007-ib0 n007-ib1");
  CHECK(hosts("[1-2]") == "1 2");
  CHECK(hosts("r[1-2]c[1-2]n[01-02]") ==
        "r1c1n01 r1c1n02 r1c2n01 r1c2n02 r2c1n01 r2c1n02 r2c2n01 r2c2n02");
  CHECK(hosts("login1,n[1-2,5],gpu[01-02],z") == "login1 n1 n2 n5 gpu01 gpu02 z");
  CHECK(hosts(" a , b ") == "a b");
  CHECK(hosts("a,,b,") == "a b");
  CHECK(hosts("n[0-0]") == "n0");
  CHECK(hosts("n[00]") == "n00");
  CHECK(parse_node_list("n[1-65536]").size() == 65536);
  CHECK(parse_node_list("n[1-65536]").back() == "n65536");
  CHECK(parse_node_list("n[0-255]x[0-255]").size() == 65536);

  for (const char* wrong : {"",
                            " ",
                            ",",
                            "n[",
                            "n]",
                            "n[1",
                            "n1]",
                            "n[]",
                            "n[1-]",
                            "n[-1]",
                            "n[1-2",
                            "n[1--2]",
                            "n[2-1]",
                            "n[a-b]",
                            "n[1,]",
                            "n[,1]",
                            "n[[1-2]]",
                            "n[1-[2]]",
                            "n[1.5]",
                            "n[1 - 2]",
                            "n[1-65537]",
                            "n[0-256]x[0-255]",
                            "n[1-65536],m",
                            "n[1-99999999999999999999]"}) {
    INFO(wrong);
    CHECK_THROWS_AS(parse_node_list(wrong), UsageError);
  }
}

TEST_CASE("tasks on each node") {
  using Counts = std::vector<int64_t>;
  CHECK(parse_tasks_per_node("4") == Counts{4});
  CHECK(parse_tasks_per_node("2(x3),1") == Counts{2, 2, 2, 1});
  CHECK(parse_tasks_per_node("1,2,3(x1)") == Counts{1, 2, 3});
  for (const char* wrong : {"", "x", "2(x)", "2(x3", "2(3)", "(x3)", "2,,1", "2(x70000)", "-1"}) {
    INFO(wrong);
    CHECK_THROWS_AS(parse_tasks_per_node(wrong), UsageError);
  }
}

TEST_CASE("cores are shared by the processes of a host") {
  CHECK(share_of_cores({}, 6, 6) == 6);
  CHECK(share_of_cores({.rank = 1, .world = 8, .local_rank = 1, .local_world = 4}, 6, 6) == 1);
  CHECK(share_of_cores({.rank = 1, .world = 8, .local_rank = 1, .local_world = 2}, 6, 6) == 3);
  CHECK(share_of_cores({.local_world = 4}, 2, 2) == 1);
  CHECK(host_cores() >= 1);
}

TEST_CASE("cores that a launcher bound a process to are not divided again") {
  for (const char* launcher : {"Slurm", "Open MPI", "PMI"}) {
    const Environment environment{.world = 8, .local_world = 8, .found = launcher};
    INFO(launcher);
    CHECK(share_of_cores(environment, 4, 64) == 4);   // to its own
    CHECK(share_of_cores(environment, 32, 64) == 8);  // to a socket, with three others
    CHECK(share_of_cores(environment, 64, 64) == 8);  // not bound
    CHECK(share_of_cores(environment, 1, 64) == 1);
    CHECK(share_of_cores(environment, 2, 4) == 1);  // more processes than cores
  }
  // These bind nothing: a smaller affinity is that of all of them together.
  for (const char* launcher : {"--nproc", "torchrun", "RANK and WORLD_SIZE"}) {
    CHECK(share_of_cores({.world = 4, .local_world = 4, .found = launcher}, 8, 64) == 2);
  }
}

namespace {

// "NAME=value" by word, as `env` printed it in a task.
Variables recorded(const std::string& words) {
  Variables variables;
  for (const std::string& word : split(words, ' ')) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) variables[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return variables;
}

}  // namespace

TEST_CASE("as Slurm 22.05.8 set it: two tasks of one node, three of two nodes") {
  CHECK(read(recorded("SLURM_CPUS_ON_NODE=2 SLURM_GTIDS=0,1 SLURM_JOBID=1 SLURM_JOB_ID=1 "
                      "SLURM_JOB_NODELIST=vm SLURM_JOB_NUM_NODES=1 SLURM_LOCALID=1 SLURM_NNODES=1 "
                      "SLURM_NODEID=0 SLURM_NODELIST=vm SLURM_NPROCS=2 SLURM_NTASKS=2 "
                      "SLURM_PROCID=1 SLURM_STEPID=0 SLURM_STEP_ID=0 SLURM_STEP_NODELIST=vm "
                      "SLURM_STEP_NUM_NODES=1 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_TASKS_PER_NODE=2 "
                      "SLURM_TASKS_PER_NODE=2")) == "1/2 1/2 127.0.0.1:15016 Slurm");
  const std::string two_nodes =
      "SLURM_JOB_ID=1 SLURM_JOB_NODELIST=gpu[1-2] SLURM_NNODES=2 SLURM_NTASKS=3 SLURM_STEPID=0 "
      "SLURM_STEP_ID=0 SLURM_STEP_NODELIST=gpu[1-2] SLURM_STEP_NUM_TASKS=3 "
      "SLURM_STEP_TASKS_PER_NODE=2,1 SLURM_TASKS_PER_NODE=2,1 ";
  CHECK(read(recorded(two_nodes + "SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0")) ==
        "0/3 0/2 gpu1:15016 Slurm");
  CHECK(read(recorded(two_nodes + "SLURM_PROCID=1 SLURM_LOCALID=1 SLURM_NODEID=0")) ==
        "1/3 1/2 gpu1:15016 Slurm");
  CHECK(read(recorded(two_nodes + "SLURM_PROCID=2 SLURM_LOCALID=0 SLURM_NODEID=1")) ==
        "2/3 0/1 gpu1:15016 Slurm");
}

TEST_CASE("as Open MPI 4.1.4 set it") {
  const Variables variables = recorded(
      "OMPI_APP_CTX_NUM_PROCS=2 OMPI_COMMAND=env OMPI_COMM_WORLD_LOCAL_RANK=1 "
      "OMPI_COMM_WORLD_LOCAL_SIZE=2 OMPI_COMM_WORLD_NODE_RANK=1 OMPI_COMM_WORLD_RANK=1 "
      "OMPI_COMM_WORLD_SIZE=2 OMPI_FIRST_RANKS=0 OMPI_MCA_ess_base_jobid=2023489537 "
      "OMPI_MCA_ess_base_vpid=1 OMPI_MCA_orte_ess_num_procs=2 OMPI_MCA_orte_num_nodes=1 "
      "OMPI_NUM_APP_CTX=1 OMPI_UNIVERSE_SIZE=2 PMIX_ID=2023489537.1 PMIX_NAMESPACE=2023489537 "
      "PMIX_RANK=1 PMIX_VERSION=4.2.2rc2");
  CHECK_THAT(read(variables),
             Catch::Matchers::StartsWith("1/2 1/2 127.0.0.1:") && Contains(" Open MPI"));
  // Over two hosts it says nothing of their addresses.
  CHECK_THAT(refusal(with(variables, {{"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                                      {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}})),
             Contains("-x MASTER_ADDR"));
}

TEST_CASE("as torchrun 2.11.0 set it") {
  const Variables variables = recorded(
      "GROUP_RANK=0 GROUP_WORLD_SIZE=1 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 "
      "MASTER_PORT=29500 RANK=1 ROLE_NAME=default ROLE_RANK=1 ROLE_WORLD_SIZE=2 "
      "TORCHELASTIC_MAX_RESTARTS=0 TORCHELASTIC_RESTART_COUNT=0 TORCHELASTIC_RUN_ID=none "
      "TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT "
      "TORCHELASTIC_USE_AGENT_STORE=True TORCH_NCCL_ASYNC_ERROR_HANDLING=1 WORLD_SIZE=2");
  CHECK(read(variables) == "1/2 1/2 127.0.0.1:29500 torchrun");
  CHECK(read_environment(variables).agent_store);
  CHECK(read_environment(variables).key_prefix == "/worker/attempt_0/");
}
