# cmake -DINPUT=LOADER.py -DCOMMON=COMMON.py -DFUNCTION=NAME -DSCRIPT=OUT.py -DOUTPUT=OUT.cpp -P embed_loader.cmake
#
# Puts what loaders have in common in place of LOADER.py's imports, so that OUT.py stands alone, and makes NAME() of
# loader_source.hpp give it, as an array of bytes. LOADER.py imports nothing that COMMON.py does not.
file(READ ${INPUT} loader)
file(READ ${COMMON} common)
get_filename_component(module ${COMMON} NAME_WE)
string(FIND "${loader}" "\nimport " begin)
string(REGEX MATCH "from ${module} import \\([^)]*\\)\n" last "${loader}")
string(FIND "${loader}" "${last}" end)
string(FIND "${common}" "\nimport " common_begin)
if(last STREQUAL "" OR begin EQUAL -1 OR end LESS begin OR common_begin EQUAL -1)
  message(FATAL_ERROR "${INPUT}: its last import has to be 'from ${module} import (...)'")
endif()
string(SUBSTRING "${common}" ${common_begin} -1 common)
string(SUBSTRING "${loader}" 0 ${begin} head)
math(EXPR length "${end} - ${begin}")
string(SUBSTRING "${loader}" ${begin} ${length} imports)
string(REGEX MATCHALL "[^\n]+" imports "${imports}")
foreach(line IN LISTS imports)
  string(FIND "${common}" "\n${line}\n" found)
  if(found EQUAL -1)
    message(FATAL_ERROR "${INPUT}: '${line}' has to stand in ${COMMON}, too")
  endif()
endforeach()
string(LENGTH "${last}" length)
math(EXPR end "${end} + ${length}")
string(SUBSTRING "${loader}" ${end} -1 body)
file(WRITE ${SCRIPT} "${head}${common}${body}")


file(READ ${SCRIPT} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"trainer/export/loader_source.hpp\"

namespace blocktrain::trainer {
namespace {
constexpr unsigned char source[] = {
${bytes}
};
}  // namespace

std::string_view ${FUNCTION}() { return {reinterpret_cast<const char*>(source), sizeof source}; }

}  // namespace blocktrain::trainer
")
