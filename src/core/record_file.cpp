// Records appended to a file of its own. O_EXCL: a file that is there already is never written to.
#include "littlebit/core/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>

#include "file_ops.h"

namespace littlebit {

RecordFile::RecordFile(const std::filesystem::path& path) : path_(path) {
  const int error = file_ops::try_open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, &descriptor_);
  if (error != 0) file_ops::output_error("create", path, error);
}

RecordFile::~RecordFile() { close(descriptor_); }

void RecordFile::append(std::string_view bytes) {
  struct stat before {};
  const bool known = fstat(descriptor_, &before) == 0;
  const int error = file_ops::try_write_all(descriptor_, std::as_bytes(std::span(bytes)), path_);
  if (error == 0) return;
  // A torn record that stays is one that readers pass over.
  if (known && ftruncate(descriptor_, before.st_size) != 0) errno = 0;
  file_ops::output_error("append to", path_, error);
}

}  // namespace littlebit
