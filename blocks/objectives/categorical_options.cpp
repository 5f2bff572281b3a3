#include "blocks/objectives/categorical_options.hpp"

namespace blocktrain::blocks {

void CategoricalOptions::describe(std::vector<Setting>& out) {
  out.push_back({"objective", "evidence", one_of(evidence),
                 "Logits of a block: learned, head(c_skip z + c_out F), or analytic, head(F) + z E^T / sigma^2, which "
                 "leaves what the noisy embedding tells of its class to arithmetic."});
  out.push_back({"objective", "target_embedding", one_of(target_embedding),
                 "The table of class embeddings that all blocks share: frozen, as it starts, without any traffic; "
                 "periodic, trained by each block and averaged every objective.average_every_steps steps; "
                 "synchronized, trained by all blocks in lockstep."});
  out.push_back({"objective", "average_every_steps", integer(average_every_steps, 1, most_steps),
                 "Steps between two averages of a periodic target_embedding."});
}

}  // namespace blocktrain::blocks
