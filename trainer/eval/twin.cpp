#include "trainer/eval/twin.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/support/text.hpp"

namespace blocktrain::trainer {

void require_comparable(const TrainedNetwork& run, const TrainedNetwork& twin) {
  const Config &a = run.config(), &b = twin.config();
  std::vector<std::string> differs;
  const auto same = [&differs](bool equal, const char* key) {
    if (!equal) differs.emplace_back(key);
  };
  same(architecture_of(a).task == architecture_of(b).task, "the task (model.architecture)");
  same(run.data().digest == twin.data().digest, "the data (data.path)");
  if (run.block(0).levels_per_sample() > 0 && twin.block(0).levels_per_sample() > 0) {
    same(a.noise.partition == b.noise.partition, "noise.partition");
    same(a.noise.sigma_min == b.noise.sigma_min, "noise.sigma_min");
    same(a.noise.sigma_max == b.noise.sigma_max, "noise.sigma_max");
    same(a.noise.p_mean == b.noise.p_mean, "noise.p_mean");
    same(a.noise.p_std == b.noise.p_std, "noise.p_std");
    same(a.noise.sigma_data == b.noise.sigma_data, "noise.sigma_data");
  }
  same(twin.blocks() == 1 || twin.blocks() == a.blocks.count, "blocks.count");
  if (!differs.empty()) {
    throw InputError(
        fmt::format("--twin: '{}' does not compare with '{}': they differ in {}; accepted: a run of the same data and "
                    "noise range, trained end to end or with as many blocks",
                    twin.folder(), run.folder(), join(differs)));
  }
}

}  // namespace blocktrain::trainer
