# The CUDA language, where it was asked for and a toolkit is there. Sets BLOCKTRAIN_CUDA_FOUND.
set(BLOCKTRAIN_CUDA_FOUND OFF)
if(BLOCKTRAIN_CUDA)
  # Off: as on a machine without a toolkit, to try that where there is one.
  option(BLOCKTRAIN_CUDA_SEARCH "Look for a CUDA toolkit" ON)
  mark_as_advanced(BLOCKTRAIN_CUDA_SEARCH)
  if(BLOCKTRAIN_CUDA_SEARCH)
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
  endif()
  if(CMAKE_CUDA_COMPILER)
    # Machine code for Ampere and Hopper; later chips compile what Ampere's was made from when they first run.
    set(CMAKE_CUDA_ARCHITECTURES "80;90a-real" CACHE STRING "GPUs to build for, as CMake names them")
    enable_language(CUDA)
    # CMake before 3.26 does not know that nvcc 12 and later compile C++20.
    if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_EXTENSIONS OFF)
    set(CMAKE_CUDA_FLAGS_RELEASE "-O3")  # no NDEBUG: preconditions stay on
    if(CCACHE)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${BLOCKTRAIN_CCACHE})
    endif()
    set(BLOCKTRAIN_CUDA_FOUND ON)
  else()
    message(WARNING "no CUDA toolkit found (nvcc in PATH or CUDA_HOME): building without CUDA; blocktrain then runs on "
                    "the CPU and says so")
  endif()
endif()
