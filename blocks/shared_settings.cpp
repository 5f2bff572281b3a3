#include "blocks/shared_settings.hpp"

namespace blocktrain::blocks {

Setting patch_setting(int& patch) {
  return {"model", "patch", integer(patch, 1, 1024),
          "Side of the square of pixels that makes one token; divides the image's height and width."};
}

void check_patch(int patch, std::span<const Setting> all, std::vector<Conflict>& out) {
  const auto* shape = value_of<std::vector<int>>(all, "data.shape");
  if (shape == nullptr || shape->size() != 3) return;
  const int height = (*shape)[1], width = (*shape)[2];
  if (height % patch == 0 && width % patch == 0) return;
  out.push_back({{"model.patch", "data.shape"},
                 "found model.patch " + std::to_string(patch) + " with images of " + std::to_string(height) + "x" +
                     std::to_string(width) +
                     " (data.shape); accepted: a patch that divides the image's height and width"});
}

Setting mlp_ratio_setting(std::int64_t& ratio) {
  return {"model", "mlp_ratio", integer(ratio, 1, 64), "Hidden width of a layer's MLP, as a multiple of model.width."};
}

Setting dropout_setting(double& dropout) {
  return {"model", "dropout", below(dropout, 0, 1),
          "Share of numbers that are dropped in training, of the embeddings and of what every attention and MLP adds."};
}

Setting context_setting(std::int64_t& context) {
  return {"model", "context", integer(context, 1, std::int64_t{1} << 20), "Tokens that the network sees at a time."};
}

}  // namespace blocktrain::blocks
