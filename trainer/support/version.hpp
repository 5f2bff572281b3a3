#pragma once

namespace blocktrain::trainer {

/// "0.1.0", with the commit where the build knew it: "0.1.0 (1a2b3c4d)".
const char* version();

}  // namespace blocktrain::trainer
