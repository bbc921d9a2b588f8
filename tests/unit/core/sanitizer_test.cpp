// That the sanitizers of the preset `asan` see what they are switched on for: a planted fault ends
// a child process.
#if defined(__SANITIZE_ADDRESS__)

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <new>

namespace {

struct Animal {
  virtual ~Animal() = default;
  virtual int legs() const = 0;
};
struct Cat : Animal {
  int legs() const override { return 4; }
};
struct Stone {
  virtual ~Stone() = default;
  virtual int grains() const { return 1; }
};

// One storage, two classes of one name: what two rooms that define a class alike come to.
__attribute__((noinline)) int legs_of(void* storage) {
  return static_cast<Animal*>(storage)->legs();
}

int exit_code_of(void (*body)()) {
  const pid_t child = fork();
  if (child == 0) {
    close(2);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("an object used as one of another class is seen by UBSan's vptr check") {
  CHECK(exit_code_of([] {
          const Cat cat;
          if (legs_of(const_cast<Cat*>(&cat)) != 4) _exit(9);
        }) == 0);
  CHECK(exit_code_of([] {
          Stone stone;
          legs_of(&stone);
        }) != 0);
}

#endif
