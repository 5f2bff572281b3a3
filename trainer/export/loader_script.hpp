#pragma once
/// The PyTorch loader, scripts/export/blocktrain_dit.py, as it was when this program was built.

#include <string_view>

namespace blocktrain::trainer {

std::string_view loader_script();

}  // namespace blocktrain::trainer
