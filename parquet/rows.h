// Whole rows of a Parquet file, nested as they are.
#pragma once

#include <memory>
#include <string>

#include "littlebit/data/parquet.h"

namespace littlebit {

std::unique_ptr<ParquetRows> open_rows(const std::string& path, ParquetProblem& problem);

}  // namespace littlebit
