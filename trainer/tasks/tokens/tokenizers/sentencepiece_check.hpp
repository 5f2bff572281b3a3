#pragma once
/// What the SentencePiece library takes on trust in a model, looked at before the library gets it: the file is a
/// protocol buffer whose lengths hold, pieces are texts with finite scores, and the table of its normaliser leads
/// nowhere outside itself.

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace blocktrain::trainer {

/// What is wrong with a model; none where the library may have it. What the library finds wrong itself comes on top.
std::optional<std::string> sentencepiece_fault(std::span<const std::byte> model);

}  // namespace blocktrain::trainer
