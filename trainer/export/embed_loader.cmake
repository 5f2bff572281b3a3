# cmake -DINPUT=FILE -DOUTPUT=FILE.cpp -P embed_loader.cmake: a file as an array of bytes.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"trainer/export/loader_source.hpp\"

namespace blocktrain::trainer {
namespace {
constexpr unsigned char source[] = {
${bytes}
};
}  // namespace

std::string_view loader_source() { return {reinterpret_cast<const char*>(source), sizeof source}; }

}  // namespace blocktrain::trainer
")
