#include "trainer/data/data_config.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void DataConfig::describe(std::vector<Setting>& out) {
  // That the data are the same is checked by their digest.
  out.push_back(
      not_training({"data", "path", PathValue{&path},
                    "Folder with the data set's files, or a file of text. Relative to the current directory.", true}));
  out.push_back({"data", "batch", integer(batch, 1, most_samples), "Samples per step and block."});
  out.push_back({"data", "micro_batch", integer(micro_batch, 0, most_samples),
                 "Samples per forward and backward pass; less needs less memory and more passes. 0: chosen by the "
                 "plan."});
}

void DataConfig::check(std::vector<Conflict>& out) const {
  if (micro_batch <= batch) return;
  out.push_back({{"data.micro_batch", "data.batch"},
                 "found data.micro_batch " + std::to_string(micro_batch) + " with data.batch " + std::to_string(batch) +
                     "; accepted: at most the batch, or 0"});
}

}  // namespace blocktrain::trainer
