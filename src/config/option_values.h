// Makes the OptionValue of each kind of variable. See option_values.cpp for what each accepts.
#pragma once

#include <memory>

#include "config/option_node.h"
#include "littlebit/config/option_group.h"

namespace littlebit {

std::unique_ptr<OptionValue> flag_value(bool* value);
std::unique_ptr<OptionValue> integer_value(int64_t* value, IntegerRange range);
std::unique_ptr<OptionValue> number_value(double* value, NumberRange range);
std::unique_ptr<OptionValue> text_value(std::string* value);
std::unique_ptr<OptionValue> path_value(std::filesystem::path* value);
std::unique_ptr<OptionValue> texts_value(std::vector<std::string>* values);
std::unique_ptr<OptionValue> choice_value(std::function<int()> get, std::function<void(int)> set,
                                          std::vector<std::string> choices);

}  // namespace littlebit
