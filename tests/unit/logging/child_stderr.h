// Runs code in a child process and returns what it wrote to stderr: a file, or a pseudo terminal.
// What logging knows of its terminal is settled at first use, so a test program must not log before
// it forks.
#pragma once

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "littlebit/core/read_file.h"
#include "temp_folder.h"

namespace littlebit {

inline void run_as_child(int descriptor, const std::function<void()>& body) {
  dup2(descriptor, STDERR_FILENO);
  try {
    body();
  } catch (...) {
    _exit(1);
  }
  _exit(0);
}

inline std::string stderr_of(const std::function<void()>& body) {
  const TempFolder folder;
  const int file = open((folder / "stderr").c_str(), O_CREAT | O_RDWR, 0600);
  const pid_t child = fork();
  if (child == 0) run_as_child(file, body);
  int status = 0;
  waitpid(child, &status, 0);
  close(file);
  REQUIRE(status == 0);
  return read_file(folder / "stderr");
}

inline std::string terminal_of(const std::function<void()>& body, unsigned short columns = 80) {
  int master = -1, slave = -1;
  const winsize size{24, columns, 0, 0};
  REQUIRE(openpty(&master, &slave, nullptr, nullptr, &size) == 0);
  const pid_t child = fork();
  if (child == 0) {
    setenv("TERM", "xterm", 1);
    run_as_child(slave, body);
  }
  close(slave);
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t got = read(master, buffer, sizeof buffer);  // EIO once the child has ended
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  close(master);
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(status == 0);
  return text;
}

}  // namespace littlebit
