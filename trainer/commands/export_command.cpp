// blocktrain export: the weights as safetensors, with a PyTorch loader that reproduces the outputs.

#include <fmt/format.h>

#include <filesystem>

#include "trainer/commands/commands.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/export/export.hpp"
#include "trainer/run/units.hpp"

namespace blocktrain::trainer {

int export_command(const ExportArguments& arguments) {
  const std::string out = arguments.out.empty() ? arguments.run + "/export" : arguments.out;
  TrainedNetwork network(arguments.run, {});
  print_warnings(network);
  export_weights(network, out);
  fmt::print("{}: {} parameters of {} as safetensors\n", out + "/model.safetensors",
             count(static_cast<double>(network.parameter_count())), network.summary());
  if (!arguments.weights_only) {
    export_loader(network, out);
    fmt::print("{}: PyTorch, nothing else needed; compare it with this program's outputs:\n  python3 {} --check\n",
               out + "/blocktrain_dit.py", out + "/blocktrain_dit.py");
  }
  return 0;
}

}  // namespace blocktrain::trainer
