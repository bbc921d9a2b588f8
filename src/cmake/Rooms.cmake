# littlebit_room(NAME [ATEN] ROOMS r... USES [PUBLIC x...] [PRIVATE y...]): static library littlebit_<name> from
# src/<name>/*.cpp. ATEN: its files include ATen.
function(littlebit_room name)
  cmake_parse_arguments(ARG "ATEN" "" "ROOMS;USES" ${ARGN})
  cmake_parse_arguments(LINK "" "" "PUBLIC;PRIVATE" ${ARG_USES})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  list(TRANSFORM ARG_ROOMS PREPEND littlebit_)
  if(NOT sources)
    add_library(littlebit_${name} INTERFACE)
    target_link_libraries(littlebit_${name} INTERFACE ${ARG_ROOMS} ${LINK_PUBLIC})
    return()
  endif()
  add_library(littlebit_${name} STATIC ${sources})
  target_link_libraries(littlebit_${name} PUBLIC ${ARG_ROOMS} ${LINK_PUBLIC} PRIVATE ${LINK_PRIVATE} littlebit_flags)
  target_include_directories(littlebit_${name} PUBLIC ${CMAKE_SOURCE_DIR}/include PRIVATE ${CMAKE_SOURCE_DIR}/src)
  if(ARG_ATEN)
    littlebit_precompile_aten(littlebit_${name} littlebit_nn)
  endif()
endfunction()

# ATen's headers take 5 seconds a file; precompiled, a tenth of that. `owner` is the target that compiles them (with the
# headers of ARGN) and whose result every other target reuses; all of them have the same compile options.
function(littlebit_precompile_aten target owner)
  if(target STREQUAL owner)
    target_precompile_headers(${target} PRIVATE
      <ATen/core/Tensor.h> <ATen/TensorOperators.h> <filesystem> <functional> <map> <memory> <optional> <span> <string>
      <vector> ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

# littlebit_program(NAME ROOMS r...): apps/<name>.cpp, whose function of that name apps/main.cpp calls.
function(littlebit_program name)
  cmake_parse_arguments(ARG "" "" "ROOMS" ${ARGN})
  list(TRANSFORM ARG_ROOMS PREPEND littlebit_)
  string(REPLACE "-" "_" function ${name})
  add_executable(${name} apps/main.cpp apps/${function}.cpp)
  target_compile_definitions(${name} PRIVATE LITTLEBIT_PROGRAM=${function})
  target_link_libraries(${name} PRIVATE ${ARG_ROOMS} CLI11::CLI11 littlebit_flags)
endfunction()

# littlebit_bundle(NAME ROOMS r...): every program in one file, for .ci/bundle; not part of `all`.
function(littlebit_bundle name)
  cmake_parse_arguments(ARG "" "" "ROOMS" ${ARGN})
  list(TRANSFORM ARG_ROOMS PREPEND littlebit_)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/apps/littlebit_*.cpp)
  add_executable(${name} EXCLUDE_FROM_ALL apps/bundle.cpp ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_ROOMS} CLI11::CLI11 littlebit_flags)
endfunction()
