# Everything we stand on; why each is here is said in docs/dependencies.md.
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(ZLIB REQUIRED)
find_package(CLI11 REQUIRED)

function(littlebit_library target header library)
  find_path(${target}_INCLUDE ${header} REQUIRED)
  find_library(${target}_LIBRARY ${library} REQUIRED)
  add_library(${target} INTERFACE IMPORTED)
  target_include_directories(${target} INTERFACE ${${target}_INCLUDE})
  target_link_libraries(${target} INTERFACE ${${target}_LIBRARY})
endfunction()
littlebit_library(xxhash xxhash.h xxhash)
littlebit_library(sentencepiece sentencepiece_processor.h sentencepiece)
littlebit_library(PCRE2::8 pcre2.h pcre2-8)
littlebit_library(zstd zstd.h libzstd.a)  # static: its reading half is small

# LibTorch, by our own imported target: the wheel's TorchConfig.cmake does not suit a C++ program (docs/dependencies.md).
set(libtorch ${LIBTORCH})
if(NOT libtorch AND DEFINED ENV{LIBTORCH})
  set(libtorch $ENV{LIBTORCH})
endif()
if(NOT libtorch)
  if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(libtorch $ENV{XDG_CACHE_HOME}/littlebit/libtorch-2.11.0/torch)
  else()
    set(libtorch $ENV{HOME}/.cache/littlebit/libtorch-2.11.0/torch)
  endif()
endif()
if(NOT EXISTS ${libtorch}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "no LibTorch in ${libtorch}: run `make setup`, or give -DLIBTORCH=DIR (DIR/lib/libtorch_cpu.so)")
endif()
add_library(c10 SHARED IMPORTED)
set_target_properties(c10 PROPERTIES IMPORTED_LOCATION ${libtorch}/lib/libc10.so)
add_library(torch SHARED IMPORTED)
set_target_properties(torch PROPERTIES IMPORTED_LOCATION ${libtorch}/lib/libtorch_cpu.so)
target_include_directories(torch SYSTEM INTERFACE ${libtorch}/include)
target_link_libraries(torch INTERFACE c10)
# Where libcudart and libcupti lie, which the wheel's libtorch_cpu.so needs at link time.
foreach(folder ${libtorch}/../nvidia/cu13/lib ${libtorch}/lib)
  if(EXISTS ${folder})
    target_link_options(torch INTERFACE -Wl,-rpath-link,${folder})
  endif()
endforeach()
# at::parallel_for is a template of OpenMP pragmas: our code must be compiled with them too.
target_compile_options(torch INTERFACE -fopenmp)
target_link_options(torch INTERFACE -fopenmp)
# libsentencepiece and libc10 both export FLAGS_minloglevel, an object of 32 bytes and one of 4. All references bind to
# the library named first: it must be the one with room for both, or sentencepiece's start-up writes over c10's flags
# behind it, and a failed allocation aborts instead of throwing. No other name is exported by both.
target_link_options(torch INTERFACE
  "SHELL:-Wl,--push-state,--no-as-needed ${sentencepiece_LIBRARY} -Wl,--pop-state")
