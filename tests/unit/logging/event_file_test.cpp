// TensorBoard's files, read back by a reader of the test's own: framing, checksums, fields,
// resuming.
#include "littlebit/logging/event_file.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

using Values = std::vector<std::pair<std::string, double>>;

// A message as (field number -> values), numbers as 8 bytes.
std::multimap<int, std::string> fields_of(std::string_view message) {
  std::multimap<int, std::string> fields;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE(at < message.size());
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t key = varint();
    if ((key & 7) == 0) {
      const uint64_t value = varint();
      fields.emplace(key >> 3, std::string(reinterpret_cast<const char*>(&value), 8));
      continue;
    }
    const uint64_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : varint();
    REQUIRE(size <= message.size() - at);
    fields.emplace(key >> 3, std::string(message.substr(at, size)));
    at += size;
  }
  return fields;
}

template <class T>
T number(const std::string& bytes) {
  T value{};
  REQUIRE(bytes.size() >= sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

struct ReadEvent {
  int64_t step = 0;
  double wall_time = 0;
  std::string version;
  bool starts = false;
  std::map<std::string, float> scalars;
};

std::vector<ReadEvent> read_events(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<ReadEvent> events;
  for (const fs::path& file : files) {
    const std::string all = read_file(file);
    for (size_t at = 0; at < all.size();) {
      const auto size = number<uint64_t>(all.substr(at, 8));
      CHECK(number<uint32_t>(all.substr(at + 8, 4)) == masked_crc32c(all.substr(at, 8)));
      const std::string message = all.substr(at + 12, size);
      CHECK(number<uint32_t>(all.substr(at + 12 + size, 4)) == masked_crc32c(message));
      at += size + 16;
      ReadEvent event;
      for (const auto& [field, value] : fields_of(message)) {
        if (field == 1) event.wall_time = number<double>(value);
        if (field == 2) event.step = number<int64_t>(value);
        if (field == 3) event.version = value;
        if (field == 7) event.starts = number<uint64_t>(fields_of(value).find(1)->second) == 1;
        if (field != 5) continue;
        for (const auto& [one, scalar] : fields_of(value)) {
          const auto parts = fields_of(scalar);
          event.scalars[parts.find(1)->second] = number<float>(parts.find(2)->second);
        }
      }
      events.push_back(event);
    }
  }
  return events;
}

TEST_CASE("the checksum is CRC-32C, masked") {
  // RFC 3720, B.4: 32 bytes of zeros have 0x8A9136AA; "123456789" has 0xE3069283 (Castagnoli).
  const auto masked = [](uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8u; };
  CHECK(masked_crc32c(std::string(32, '\0')) == masked(0x8A9136AA));
  CHECK(masked_crc32c("123456789") == masked(0xE3069283));
  CHECK(masked_crc32c("") == masked(0));
}

TEST_CASE("scalars are read back with their steps; a file begins with its version") {
  const TempFolder folder;
  {
    EventFile events(folder / "tensorboard");
    events.scalars(1, Values{{"train/loss", 2.5}, {"train/learning_rate", 1e-3}});
    events.scalars(300, Values{{std::string(200, 'x'), -1}});
  }
  const std::vector<ReadEvent> events = read_events(folder / "tensorboard");
  REQUIRE(events.size() == 3);
  CHECK(events[0].version == "brain.Event:2");
  CHECK_FALSE(events[0].starts);
  CHECK(events[0].wall_time > 1.6e9);
  CHECK(events[1].step == 1);
  CHECK(events[1].scalars ==
        std::map<std::string, float>{{"train/loss", 2.5f}, {"train/learning_rate", 1e-3f}});
  CHECK(events[2].step == 300);
  CHECK(events[2].scalars.at(std::string(200, 'x')) == -1);
}

TEST_CASE("a resumed run's events: later ones and a torn record go, a new file marks the step") {
  const TempFolder folder;
  {
    EventFile events(folder.path());
    for (int step = 1; step <= 4; ++step) events.scalars(step, Values{{"train/loss", step}});
    events.scalars(2, Values{{"eval/text/perplexity", 7}});
  }
  const fs::path first = fs::directory_iterator(folder.path())->path();
  const std::string whole = read_file(first);
  write_file(first,
             whole + whole.substr(0, 20));  // as a crash in the middle of an append leaves it
  EventFile::keep(folder.path(), [](const std::string& tag, int64_t step) {
    return tag.starts_with("eval/") ? step < 2 : step <= 2;
  });
  { EventFile(folder.path(), 2).scalars(3, Values{{"train/loss", 30}}); }
  std::vector<std::pair<int64_t, float>> losses;
  int starts = 0;
  for (const ReadEvent& event : read_events(folder.path())) {
    if (event.starts) CHECK((++starts, event.step) == 3);
    CHECK(event.scalars.count("eval/text/perplexity") == 0);
    if (event.scalars.count("train/loss")) {
      losses.emplace_back(event.step, event.scalars.at("train/loss"));
    }
  }
  CHECK(starts == 1);
  CHECK(losses == std::vector<std::pair<int64_t, float>>{{1, 1.f}, {2, 2.f}, {3, 30.f}});
  EventFile::keep(folder.path(), [](const std::string&, int64_t) { return false; });
  CHECK(fs::is_empty(folder.path()));
  EventFile::keep(folder / "none", [](const std::string&, int64_t) { return true; });
}

TEST_CASE("event files of others, and links to ours, are left alone") {
  const TempFolder folder, elsewhere;
  { EventFile(elsewhere.path()).scalars(1, Values{{"train/loss", 1}}); }
  const fs::path real = fs::directory_iterator(elsewhere.path())->path();
  const std::string ours = read_file(real);
  const fs::path linked = folder / "events.out.tfevents.7.0";
  fs::create_symlink(real, linked);
  // As TensorFlow's writer begins: the version, and a writer that is not us.
  std::string theirs = ours;
  theirs.replace(theirs.find("littlebit-native"), 3, "xyz");
  const std::map<std::string, std::string> foreign = {
      {"notes-about-tfevents.txt", "hello"},
      {"events.out.tfevents.1700000000.myhost.123.0", ours},
      {"events.out.tfevents.1700000000.0", theirs},
      {"events.out.tfevents.1700000000.", ours},
      {"x.events.out.tfevents.1.0", ours}};
  for (const auto& [name, bytes] : foreign) write_file(folder / name, bytes);
  write_file(folder / "events.out.tfevents.1600000000.0", ours);
  EventFile::keep(folder.path(), [](const std::string&, int64_t) { return false; });
  for (const auto& [name, bytes] : foreign) {
    INFO(name);
    CHECK(read_file(folder / name) == bytes);
  }
  CHECK(fs::is_symlink(linked));
  CHECK(read_file(real) == ours);
  CHECK_FALSE(fs::exists(folder / "events.out.tfevents.1600000000.0"));
}

TEST_CASE("event files that hold anything at all are read without harm") {
  const TempFolder folder;
  const fs::path file = folder / "events.out.tfevents.1.0";
  for (const std::string& bytes :
       {std::string(), std::string("x"), std::string(16, '\xFF'), std::string(100, '\0'),
        std::string("\x03\0\0\0\0\0\0\0", 8) + "crc!" + "\x2A\xFF\xFF" + "crc!"}) {
    write_file(file, bytes);
    EventFile::keep(folder.path(), [](const std::string&, int64_t) { return false; });
    CHECK(read_file(file) == bytes);  // not known to be ours
  }
  write_file(folder / "file", "x");
  CHECK_THROWS_AS(EventFile(folder / "file" / "tensorboard"), OutputError);
}

}  // namespace
}  // namespace littlebit
