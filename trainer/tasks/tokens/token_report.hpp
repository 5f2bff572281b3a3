#pragma once
/// What `blocktrain data` says of data of tokens.

#include <string>

#include "trainer/tasks/task.hpp"
#include "trainer/tasks/tokens/token_data_options.hpp"

namespace blocktrain::trainer {

/// Reads all of the data at `path`: sizes, tokens, documents, exact duplicates and what they cost, a piece of the text
/// as tokens have it. Throws as TokenDataset::open().
DataReport report_tokens(const std::string& path, const TokenDataOptions& options);

}  // namespace blocktrain::trainer
