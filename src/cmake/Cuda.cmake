# The CUDA library: build/lib/liblittlebit_cuda.so, which the programs load when a GPU is asked for (device/cuda.h).
# LITTLEBIT_CUDA auto: made where nvcc and NVIDIA's libraries beside LibTorch are; ON: an error where they are not; OFF.
set(LITTLEBIT_CUDA auto CACHE STRING "The CUDA library: auto (where nvcc is), ON, OFF")
set_property(CACHE LITTLEBIT_CUDA PROPERTY STRINGS auto ON OFF)

# Sets `why` to what is missing, or to nothing.
function(littlebit_find_cuda why)
  find_program(LITTLEBIT_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(NOT LITTLEBIT_NVCC)
    set(${why} "there is no nvcc" PARENT_SCOPE)
    return()
  endif()
  set(nvidia ${libtorch}/../nvidia)
  find_file(LITTLEBIT_CUDART libcudart.so.13 HINTS ${nvidia}/cu13/lib ${libtorch}/lib /usr/local/cuda/lib64 NO_DEFAULT_PATH)
  find_file(LITTLEBIT_CUBLAS libcublas.so.13 HINTS ${nvidia}/cu13/lib ${libtorch}/lib /usr/local/cuda/lib64 NO_DEFAULT_PATH)
  find_file(LITTLEBIT_NCCL libnccl.so.2 HINTS ${nvidia}/nccl/lib ${libtorch}/lib /usr/local/cuda/lib64 NO_DEFAULT_PATH)
  find_path(LITTLEBIT_NCCL_INCLUDE nccl.h HINTS ${nvidia}/nccl/include /usr/local/cuda/include NO_DEFAULT_PATH)
  foreach(file LITTLEBIT_CUDART LITTLEBIT_CUBLAS LITTLEBIT_NCCL LITTLEBIT_NCCL_INCLUDE)
    if(NOT ${file})
      set(${why} "one of NVIDIA's libraries is missing beside LibTorch (${file}): run `make setup`" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  if(NOT EXISTS ${libtorch}/lib/libtorch_cuda.so)
    set(${why} "${libtorch} is a LibTorch without CUDA" PARENT_SCOPE)
    return()
  endif()
  set(${why} "" PARENT_SCOPE)
endfunction()

set(missing "LITTLEBIT_CUDA is OFF")
if(NOT LITTLEBIT_CUDA STREQUAL "OFF")
  littlebit_find_cuda(missing)
  if(missing AND LITTLEBIT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LITTLEBIT_CUDA is ON, but ${missing}")
  endif()
endif()
if(missing)
  message(STATUS "CUDA: not built (${missing})")
  # One of an earlier build would be loaded still.
  file(REMOVE ${CMAKE_BINARY_DIR}/lib/liblittlebit_cuda.so)
  return()
endif()
message(STATUS "CUDA: ${LITTLEBIT_NVCC}")

# The last as PTX too, for GPUs to come.
set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90-real 100-real 120)
set(CMAKE_CUDA_COMPILER ${LITTLEBIT_NVCC})
set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # the one that LibTorch uses, below
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # CMake 3.25 does not know it

foreach(library c10_cuda torch_cuda)
  add_library(${library} SHARED IMPORTED)
  set_target_properties(${library} PROPERTIES IMPORTED_LOCATION ${libtorch}/lib/lib${library}.so)
endforeach()
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cuda/*.cpp ${CMAKE_SOURCE_DIR}/cuda/*.cu)
add_library(littlebit_cuda SHARED ${sources})
set_target_properties(littlebit_cuda PROPERTIES
  LINKER_LANGUAGE CXX CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
target_include_directories(littlebit_cuda PRIVATE ${CMAKE_SOURCE_DIR}/include)
target_include_directories(littlebit_cuda SYSTEM PRIVATE ${LITTLEBIT_NCCL_INCLUDE} ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
  ${libtorch}/include/torch/csrc/api/include)  # headers of c10d ask for it
target_compile_definitions(littlebit_cuda PRIVATE USE_C10D_NCCL)
target_compile_options(littlebit_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra>
  $<$<COMPILE_LANGUAGE:CUDA>:--threads=2 --compress-mode=size>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${LITTLEBIT_WERROR}>>:--Werror=all-warnings>)
target_link_libraries(littlebit_cuda PRIVATE torch_cuda c10_cuda torch ${LITTLEBIT_CUDART} ${LITTLEBIT_CUBLAS} ${LITTLEBIT_NCCL})
target_link_options(littlebit_cuda PRIVATE -Wl,--no-undefined -Wl,-rpath-link,${libtorch}/lib)
