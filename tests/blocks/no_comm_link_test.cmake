# Independence of blocks is a fact of the link: blocktrain_blocks needs nothing of comm, the trainer, files or YAML.
#   cmake -DLIBRARY=libblocktrain_blocks.a -DNM=nm -DLINKED=a,b,.. -DSOURCES=blocks -P no_comm_link_test.cmake
# LINKED: everything the target links, directly or not, as CMake found it when configuring.
cmake_policy(VERSION 3.22)
set(wrong "")

string(REPLACE "," ";" linked "${LINKED}")
foreach(target IN LISTS linked)
  if(NOT target MATCHES "^(blocktrain_(kernels|settings|random123)|Threads::Threads)$")
    string(APPEND wrong "blocktrain_blocks links ${target}\n")
  endif()
endforeach()
if(NOT "blocktrain_kernels" IN_LIST linked)
  message(FATAL_ERROR "the list of linked targets is not what this test takes it for: ${LINKED}")
endif()

execute_process(COMMAND ${NM} --undefined-only --demangle ${LIBRARY} OUTPUT_VARIABLE undefined
                RESULT_VARIABLE status)
if(NOT status EQUAL 0 OR NOT undefined MATCHES "blocktrain::kernels::Arena::allocate")
  message(FATAL_ERROR "${NM} does not show the symbols that ${LIBRARY} needs")
endif()
string(REGEX MATCHALL "[^\n]*( U (MPI_|nccl|H5)|blocktrain::(comm|trainer)::|YAML::|std::basic_[io]?fstream)[^\n]*" found
       "${undefined}")
foreach(symbol IN LISTS found)
  string(APPEND wrong "blocktrain_blocks needs the symbol ${symbol}\n")
endforeach()

file(GLOB_RECURSE sources ${SOURCES}/*.hpp ${SOURCES}/*.cpp)
foreach(source IN LISTS sources)
  file(STRINGS ${source} included REGEX "^#include [<\"](comm|trainer|mpi|nccl|hdf5|yaml-cpp|fstream|filesystem)[/.>\"]")
  foreach(line IN LISTS included)
    string(APPEND wrong "${source}: ${line}\n")
  endforeach()
endforeach()
if(NOT sources)
  message(FATAL_ERROR "no sources in ${SOURCES}")
endif()

if(wrong)
  message(FATAL_ERROR "blocks/ may depend on kernels/ alone:\n${wrong}")
endif()
