#include "trainer/data/samples.hpp"

namespace blocktrain::trainer {

std::string_view to_string(Split split) { return split == Split::train ? "training" : "held-out"; }

}  // namespace blocktrain::trainer
