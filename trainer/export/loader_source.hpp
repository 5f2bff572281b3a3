#pragma once

#include <string_view>

namespace blocktrain::trainer {

/// scripts/export/blocktrain_ARCHITECTURE.py with what it imports of blocktrain_common.py, as they were when the
/// program was built.
std::string_view dit_loader();
std::string_view vit_loader();

}  // namespace blocktrain::trainer
