// The two compressions that are read, by name.
#include "data/unpacker.h"

#include "data/inflater.h"
#include "data/zstd_unpacker.h"

namespace littlebit {

bool is_packed_name(const std::filesystem::path& path) {
  return path.extension() == ".gz" || path.extension() == ".zst";
}

std::filesystem::path unpacked_name(const std::filesystem::path& path) {
  return is_packed_name(path) ? path.parent_path() / path.stem() : path;
}

std::unique_ptr<Unpacker> make_unpacker(const std::filesystem::path& path,
                                        std::span<const std::byte> data) {
  if (path.extension() == ".zst") return std::make_unique<ZstdUnpacker>(path.string(), data);
  return std::make_unique<Inflater>(path.string(), data);
}

}  // namespace littlebit
