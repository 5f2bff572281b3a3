#include "trainer/formats/gguf_types.hpp"

#include <algorithm>
#include <array>

namespace blocktrain::trainer {
namespace {

constexpr std::array types{
    GgufTensorType{0, "F32", 1, 4},       GgufTensorType{1, "F16", 1, 2},       GgufTensorType{2, "Q4_0", 32, 18},
    GgufTensorType{3, "Q4_1", 32, 20},    GgufTensorType{6, "Q5_0", 32, 22},    GgufTensorType{7, "Q5_1", 32, 24},
    GgufTensorType{8, "Q8_0", 32, 34},    GgufTensorType{9, "Q8_1", 32, 36},    GgufTensorType{10, "Q2_K", 256, 84},
    GgufTensorType{11, "Q3_K", 256, 110}, GgufTensorType{12, "Q4_K", 256, 144}, GgufTensorType{13, "Q5_K", 256, 176},
    GgufTensorType{14, "Q6_K", 256, 210}, GgufTensorType{15, "Q8_K", 256, 292}, GgufTensorType{24, "I8", 1, 1},
    GgufTensorType{25, "I16", 1, 2},      GgufTensorType{26, "I32", 1, 4},      GgufTensorType{27, "I64", 1, 8},
    GgufTensorType{28, "F64", 1, 8},      GgufTensorType{30, "BF16", 1, 2},
};

}  // namespace

const GgufTensorType* gguf_tensor_type(std::uint32_t id) {
  const auto* found = std::find_if(types.begin(), types.end(), [&](const GgufTensorType& t) { return t.id == id; });
  return found == types.end() ? nullptr : found;
}

}  // namespace blocktrain::trainer
