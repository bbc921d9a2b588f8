# Compiler, linker and warning settings for our own code.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")  # assertions stay on: they are ours, and cheap

find_program(LITTLEBIT_CCACHE ccache)
if(LITTLEBIT_CCACHE)
  # Paths relative to the checkout, so that a clone elsewhere finds what this one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
    CCACHE_SLOPPINESS=pch_defines,time_macros ${LITTLEBIT_CCACHE})
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)  # what ccache needs to see precompiled headers
endif()
find_program(LITTLEBIT_MOLD mold)
if(LITTLEBIT_MOLD)
  # Without RELRO: mold 1.10 (Debian 12's) lets it begin at a thread-local of one byte, which ATen's headers bring, one byte
  # before the segment. Where that begins on a page, about one program in 256, the program cannot be loaded.
  add_link_options(-fuse-ld=mold -Wl,-z,norelro)
endif()

add_library(littlebit_flags INTERFACE)
target_compile_options(littlebit_flags INTERFACE -Wall -Wextra -Wshadow -Wno-missing-field-initializers $<$<BOOL:${LITTLEBIT_WERROR}>:-Werror>)
target_include_directories(littlebit_flags INTERFACE ${CMAKE_SOURCE_DIR}/include)
target_compile_definitions(littlebit_flags INTERFACE LITTLEBIT_VERSION="${PROJECT_VERSION}")
if(LITTLEBIT_FUZZ)
  set(LITTLEBIT_SANITIZE ON)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(LITTLEBIT_SANITIZE)
  # -O1 and line numbers only: what is compiled here runs for seconds, and instrumented code at -O2 takes twice as long
  # to compile. Settings of the run time (leaks, limits) stand in tests/support/sanitizers.cpp.
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -g1")
  set(sanitizers -fsanitize=address,undefined)
  add_compile_options(${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(${sanitizers})
  # GCC sees uninitialised memory in what its own instrumentation makes of an empty std::optional.
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
endif()
