#pragma once
/// What `plan` tells of data of tokens.

#include <cstdint>
#include <string>

#include "trainer/tasks/task.hpp"
#include "trainer/tasks/tokens/token_data_options.hpp"

namespace blocktrain::trainer {

/// Of the data at `path` in windows of `context` tokens, by the files' names, sizes and headers; where nothing is
/// there, what the config says, which is enough. Throws InputError as TokenDataset::open() does for what is looked at.
DataOutline outline_tokens(const std::string& path, const TokenDataOptions& options, std::int64_t context);

}  // namespace blocktrain::trainer
