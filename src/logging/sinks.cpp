// The only place that sees spdlog: its loggers, levels and clock. The sinks themselves are ours,
// because messages have to make room for the live line and files are written by the file layer.
#include "logging/sinks.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"

namespace littlebit {
namespace {

bool environment_has(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

// Names from files may hold anything; a terminal would obey it.
std::string printable(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F) {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += c;
    }
  }
  return out;
}

class ConsoleSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  bool on_terminal() const { return terminal_; }

  void show_live(const void* owner, std::string line) {
    const std::lock_guard lock(mutex_);
    const bool is_shown = !live_.empty() && live_.back().owner == owner;
    if (is_shown) {
      live_.back().line = std::move(line);
    } else {
      forget(owner);
      live_.push_back({owner, std::move(line)});
    }
    put(live_text());
  }

  void hide_live(const void* owner) {
    const std::lock_guard lock(mutex_);
    if (forget(owner)) put(kClearLine + live_text());
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    std::string out = live_.empty() ? "" : kClearLine;
    if (message.level == spdlog::level::warn) out += label("warning:", "\x1b[33m");
    if (message.level == spdlog::level::err) out += label("error:", "\x1b[1;31m");
    put(out.append(text).append("\n") + live_text());
  }
  void flush_() override {}

 private:
  struct Live {
    const void* owner;
    std::string line;
  };
  static inline const std::string kClearLine = "\r\x1b[K";

  std::string label(const std::string& word, const char* color) const {
    return (color_ ? color + word + "\x1b[0m" : word) + " ";
  }
  std::string live_text() const { return live_.empty() ? "" : "\r" + live_.back().line + "\x1b[K"; }
  bool forget(const void* owner) {
    return std::erase_if(live_, [owner](const Live& each) { return each.owner == owner; }) > 0;
  }
  // In one call, so that lines of several processes do not mix.
  static void put(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stderr); }

  const bool terminal_ = isatty(STDERR_FILENO) == 1 && environment_has("TERM") &&
                         std::string_view(std::getenv("TERM")) != "dumb";
  const bool color_ = terminal_ && !environment_has("NO_COLOR");
  std::vector<Live> live_;
};

class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void open(const std::filesystem::path& path) {
    auto opened = std::make_unique<AppendFile>(path);
    const std::lock_guard lock(mutex_);
    file_ = std::move(opened);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (!file_) return;
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    try {
      file_->append_line({line.data(), line.size()});
    } catch (const OutputError& error) {
      // The log must not end the work it tells of: what matters is written elsewhere, and checked.
      file_.reset();
      const std::string text =
          std::string("warning: nothing more is written to the log file: ") + error.what() + "\n";
      std::fwrite(text.data(), 1, text.size(), stderr);
    }
  }
  void flush_() override {}

 private:
  std::unique_ptr<AppendFile> file_;
};

struct Output {
  std::shared_ptr<ConsoleSink> console = std::make_shared<ConsoleSink>();  // spdlog's interface
  std::shared_ptr<FileSink> file = std::make_shared<FileSink>();
  spdlog::logger to_both{"littlebit", {console, file}};
  spdlog::logger to_file{"littlebit", file};
  Output() {
    file->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%d %H:%M:%S.%e %l: %v", spdlog::pattern_time_type::local, ""));
  }
};

Output& output() {
  static Output* const the_output = new Output;  // never destroyed: destructors may still log
  return *the_output;
}

spdlog::level::level_enum spdlog_level(sinks::Level level) {
  return level == sinks::Level::kInfo      ? spdlog::level::info
         : level == sinks::Level::kWarning ? spdlog::level::warn
                                           : spdlog::level::err;
}

}  // namespace

namespace sinks {

void message(Level level, std::string_view text) {
  output().to_both.log(spdlog_level(level), spdlog::string_view_t(printable(text)));
}

void file_only(std::string_view text) {
  output().to_file.log(spdlog::level::info, spdlog::string_view_t(printable(text)));
}

bool on_terminal() { return output().console->on_terminal(); }

int columns() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? std::max<int>(size.ws_col, 20) : 80;
}

void show_live(const void* owner, std::string line) {
  if (!output().to_both.should_log(spdlog::level::info)) return;
  if (on_terminal()) output().console->show_live(owner, printable(line));
}

void hide_live(const void* owner) {
  if (on_terminal()) output().console->hide_live(owner);
}

size_t width(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (c & 0xC0) != 0x80;  // bytes that begin a character
  return count;
}

std::string_view fitting(std::string_view text, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80 && ++count > n) return text.substr(0, i);
  }
  return text;
}

void open_file(const std::filesystem::path& path) { output().file->open(path); }

void show_problems_only() {
  output().to_both.set_level(spdlog::level::warn);
  output().to_file.set_level(spdlog::level::warn);
}

}  // namespace sinks

}  // namespace littlebit
