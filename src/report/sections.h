// The sections of report.html, each as HTML; "" where the run folder has nothing for it.
#pragma once

#include <string>

#include "run_data.h"

namespace littlebit {

// result_sections.cpp
std::string headline(const ReportData& data, const std::string& folder_name);
std::string score_section(const ReportData& data);
std::string training_section(const ReportData& data);

// model_sections.cpp
std::string bytes_section(const ReportData& data);
std::string layer_section(const ReportData& data);

// settings_sections.cpp
std::string config_section(const ReportData& data);
std::string environment_section(const ReportData& data);

}  // namespace littlebit
