// Runs a program of the build as a user would and keeps what it said.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "littlebit/core/read_file.h"
#include "support/paths.h"
#include "temp_folder.h"

namespace littlebit::test {

struct Outcome {
  int code = -1;
  std::string out, err;
};

inline std::string shell_quoted(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// A line of the shell.
inline Outcome run_line(const std::string& line) {
  const TempFolder temp;
  const std::string whole = "{ " + line + "\n} </dev/null >" +
                            shell_quoted((temp / "out").string()) + " 2>" +
                            shell_quoted((temp / "err").string());
  const int status = std::system(whole.c_str());
  if (!WIFEXITED(status)) throw std::runtime_error("killed: " + line);
  return {WEXITSTATUS(status), read_file(temp / "out"), read_file(temp / "err")};
}

// `prefix` stands before the program in the shell's line: "ulimit -f 1;".
inline Outcome run_program(const std::string& program, const std::vector<std::string>& arguments,
                           const std::string& prefix = "") {
  std::string line = prefix + " " + std::string(littlebit::test::kBinaryDir) + "/bin/" + program;
  for (const std::string& argument : arguments) line += " " + shell_quoted(argument);
  return run_line(line);
}

}  // namespace littlebit::test
