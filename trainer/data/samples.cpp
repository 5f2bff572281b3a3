#include "trainer/data/samples.hpp"

namespace blocktrain::trainer {

std::string_view to_string(Split split) { return split == Split::train ? "training" : "held-out"; }

std::optional<std::int64_t> Samples::distinct_targets(const SampleOrder&, std::int64_t) const { return std::nullopt; }

}  // namespace blocktrain::trainer
