// Messages, before they come to the sinks: several processes of a run share what they tell.
#include "littlebit/logging/console.h"

#include "littlebit/logging/shared_problems.h"
#include "logging/held_problems.h"
#include "logging/sinks.h"

namespace littlebit {

void log_info(std::string_view message) { sinks::message(sinks::Level::kInfo, message); }
void log_warning(std::string_view message) {
  if (!held_problems().take_warning(message)) sinks::message(sinks::Level::kWarning, message);
}
void log_error(std::string_view message, std::string_view hint) {
  show_held_warnings();
  if (held_problems().is_left_to_first(message)) return;
  std::string text(message);
  if (!hint.empty()) text.append("\nhint: ").append(hint);
  sinks::message(sinks::Level::kError, text);
}
void open_log_file(const std::filesystem::path& file) { sinks::open_file(file); }
void show_problems_only() { sinks::show_problems_only(); }

}  // namespace littlebit
