// A reader that has gone away is no reason to stop: the rest is read, and dropped.
#include "distributed/line_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace littlebit {
namespace {

constexpr size_t kMaxLine = 1 << 20;  // longer ones are broken

void write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written > 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      // The terminal or pipe that this goes to is full: nothing is dropped, so the loop waits here.
      pollfd out{.fd = descriptor, .events = POLLOUT, .revents = 0};
      poll(&out, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace

LineRelay::LineRelay(int from, int to, std::string mark)
    : from_(from), to_(to), mark_(std::move(mark)) {
  // One loop reads the pipes of all processes: none may hold it up.
  fcntl(from_, F_SETFL, fcntl(from_, F_GETFL) | O_NONBLOCK);
}

LineRelay::LineRelay(LineRelay&& other) noexcept
    : from_(std::exchange(other.from_, -1)),
      to_(other.to_),
      mark_(std::move(other.mark_)),
      rest_(std::move(other.rest_)) {}

LineRelay::~LineRelay() {
  if (from_ >= 0) ::close(from_);
}

void LineRelay::relay() {
  std::array<char, 1 << 16> buffer{};
  while (from_ >= 0) {
    const ssize_t size = read(from_, buffer.data(), buffer.size());
    if (size > 0) {
      write_lines({buffer.data(), static_cast<size_t>(size)});
    } else if (size == 0 || (errno != EINTR && errno != EAGAIN)) {
      close();
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

void LineRelay::close() {
  if (from_ < 0) return;
  ::close(std::exchange(from_, -1));
  if (!rest_.empty()) write_lines("\n");
}

// Each line by one write, so that lines of several processes are not mixed up.
void LineRelay::write_lines(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    rest_ += bytes.substr(0, end);
    bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
    if (end == std::string_view::npos && rest_.size() < kMaxLine) return;
    write_all(to_, mark_ + std::exchange(rest_, std::string()) + "\n");
  }
}

}  // namespace littlebit
