# The Parquet library: build/lib/liblittlebit_parquet.so, which the programs load when they meet a Parquet file
# (data/parquet.h). LITTLEBIT_PARQUET auto: made where `.ci/setup parquet` put Apache Arrow; ON: an error where it is not;
# OFF. Nothing else is linked against Arrow, and the bundle goes without.
set(LITTLEBIT_PARQUET auto CACHE STRING "The Parquet library: auto (where Arrow was fetched), ON, OFF")
set_property(CACHE LITTLEBIT_PARQUET PROPERTY STRINGS auto ON OFF)

set(arrow_version 26.0.1)
if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(arrow $ENV{XDG_CACHE_HOME}/littlebit/arrow-${arrow_version}/pyarrow)
else()
  set(arrow $ENV{HOME}/.cache/littlebit/arrow-${arrow_version}/pyarrow)
endif()
if(LITTLEBIT_PARQUET STREQUAL "OFF" OR NOT EXISTS ${arrow}/../complete)
  if(LITTLEBIT_PARQUET STREQUAL "ON")
    message(FATAL_ERROR "LITTLEBIT_PARQUET is ON, but Apache Arrow is not in ${arrow}: run `.ci/setup parquet`")
  endif()
  message(STATUS "Parquet: not built (`.ci/setup parquet` fetches Apache Arrow)")
  # One of an earlier build would be loaded still.
  file(REMOVE ${CMAKE_BINARY_DIR}/lib/liblittlebit_parquet.so)
  return()
endif()
message(STATUS "Parquet: ${arrow}")

foreach(library arrow parquet)
  file(GLOB file ${arrow}/lib${library}.so.*)
  add_library(${library} SHARED IMPORTED)
  set_target_properties(${library} PROPERTIES IMPORTED_LOCATION ${file})
  target_include_directories(${library} SYSTEM INTERFACE ${arrow}/include)
endforeach()
add_library(littlebit_parquet SHARED parquet/library.cpp parquet/rows.cpp)
set_target_properties(littlebit_parquet PROPERTIES
  CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib BUILD_RPATH ${arrow})
target_link_libraries(littlebit_parquet PRIVATE parquet arrow littlebit_flags)
