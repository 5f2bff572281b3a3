#pragma once

#include <string_view>

namespace blocktrain::trainer {

/// scripts/export/blocktrain_dit.py, as it was when the program was built.
std::string_view loader_source();

}  // namespace blocktrain::trainer
