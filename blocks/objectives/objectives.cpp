#include "blocks/objectives/objectives.hpp"

#include "blocks/objectives/categorical.hpp"
#include "blocks/objectives/classification.hpp"
#include "blocks/objectives/gaussian.hpp"
#include "blocks/objectives/masked.hpp"

namespace blocktrain::blocks {
namespace {

// A number of masked tokens is one block's alone.
constexpr SettingDefault masked_defaults[] = {{"noise.overlap", "0"}};

constexpr ObjectiveEntry all[] = {
    {"gaussian", "the squared error of numbers found again in Gaussian noise", Levels::sigma, gaussian_from,
     options_of<GaussianOptions>},
    {"categorical", "the cross-entropy of classes whose embeddings lie under Gaussian noise", Levels::sigma,
     categorical_from, options_of<CategoricalOptions>, categorical_defaults},
    {"masked", "the cross-entropy of tokens found again behind masks", Levels::masked, masked_tokens_from, no_options,
     masked_defaults},
    {"classification", "the cross-entropy of classes, without noise", Levels::none, classification_from, no_options},
};

}  // namespace

std::span<const ObjectiveEntry> objectives() { return all; }

}  // namespace blocktrain::blocks
