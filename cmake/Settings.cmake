# Compiler settings shared by every target, as the interface target blocktrain_settings.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)  # libraries of CUDA lie where the loader does not look
set(CMAKE_CXX_FLAGS_RELEASE "-O3")  # no NDEBUG: preconditions stay on

add_library(blocktrain_settings INTERFACE)
target_include_directories(blocktrain_settings INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(blocktrain_settings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow>)
# GCC 12 sees overlaps in std::string's own concatenation that are not there.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(blocktrain_settings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(BLOCKTRAIN_WERROR)
  target_compile_options(blocktrain_settings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
                         $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
endif()
if(BLOCKTRAIN_SANITIZE)
  target_compile_options(blocktrain_settings INTERFACE -fsanitize=${BLOCKTRAIN_SANITIZE} -fno-sanitize-recover=all
                         -fno-omit-frame-pointer -g1)
  target_link_options(blocktrain_settings INTERFACE -fsanitize=${BLOCKTRAIN_SANITIZE})
endif()

# -O0 for code that does not compute, in the builds for tests under sanitizers: they see the same or more there, and GCC
# takes half the time. The fuzz targets run what they test many thousand times a second, and stay optimised.
set(BLOCKTRAIN_COLD_OPTIONS "")
if(BLOCKTRAIN_SANITIZE AND NOT BLOCKTRAIN_FUZZ)
  set(BLOCKTRAIN_COLD_OPTIONS -O0)
endif()

# By what the compiler itself says of the headers it read (DEPEND): otherwise ccache preprocesses every file that it does
# not know, which costs a fresh build a tenth and more. Without the two sloppinesses it keeps nothing that uses a
# precompiled header.
find_program(CCACHE ccache)
if(CCACHE)
  set(BLOCKTRAIN_CCACHE env CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${BLOCKTRAIN_CCACHE})
endif()

# blocktrain_library(NAME SOURCES ... LINKS ...): a static library of one folder.
function(blocktrain_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC blocktrain_settings ${ARG_LINKS})
endfunction()
