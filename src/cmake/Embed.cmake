# littlebit_embed_tasks(TARGET): the files of configs/eval/tasks become a source file of TARGET (src/eval/builtin_tasks.h).
function(littlebit_embed_tasks target)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/configs/eval/tasks/*.yaml)
  list(SORT files)
  set(rows "")
  foreach(file IN LISTS files)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} yaml)
    string(APPEND rows "    {\"${name}\", R\"yaml(${yaml})yaml\"},\n")
  endforeach()
  set(source ${CMAKE_BINARY_DIR}/generated/builtin_tasks.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[
// Made from configs/eval/tasks by src/cmake/Embed.cmake.
#include "eval/builtin_tasks.h"

namespace littlebit {
namespace {

constexpr BuiltinTask kTasks[] = {
@rows@};

}  // namespace

std::span<const BuiltinTask> builtin_tasks() { return kTasks; }

}  // namespace littlebit
]])
  target_sources(${target} PRIVATE ${source})
endfunction()

# littlebit_embed(TARGET NAME FILE HEADER): the text of FILE becomes what the function NAME of TARGET returns, which HEADER
# declares.
function(littlebit_embed target name file header)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${file})
  file(READ ${CMAKE_SOURCE_DIR}/${file} text)
  set(source ${CMAKE_BINARY_DIR}/generated/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [[
// Made from @file@ by src/cmake/Embed.cmake.
#include "@header@"

namespace littlebit {

std::string_view @name@() { return R"text(@text@)text"; }

}  // namespace littlebit
]])
  target_sources(${target} PRIVATE ${source})
endfunction()
