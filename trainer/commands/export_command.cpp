// blocktrain export: the weights as safetensors, what they compute, and a loader for PyTorch.

#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "trainer/commands/commands.hpp"
#include "trainer/eval/trained_network.hpp"
#include "trainer/export/architecture_export.hpp"
#include "trainer/export/network_export.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/units.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {

int export_command(const ExportArguments& arguments) {
  const std::string out = arguments.out.empty() ? arguments.run + "/export" : arguments.out;
  // On the CPU in float32, whatever the run computed on: what the outputs of others are compared with is the truth that
  // the float32 weights of the file say, and the same to the bit with a GPU and without.
  TrainedNetwork network(task_of, arguments.run, {"parallel.device=cpu"});
  require_export_folder(out);
  print_warnings(network);
  const ExportedFolder written = export_network(network, out, arguments.weights_only);

  show("{}: {}, {} parameters\n", out, network.summary(), count(static_cast<double>(network.parameter_count())));
  for (const ExportedFile& file : written.files) {
    show("  {:<22}  {:>10}{}\n", file.name, bytes(static_cast<double>(file.bytes)),
         file.replaced ? "  (replaced)" : "");
  }
  for (const std::string& name : written.removed) {
    show("  {:<22}  removed: it belonged to the weights that were replaced\n", name);
  }
  if (arguments.weights_only) return 0;
  const ArchitectureExport& architecture = architecture_export_of(network);
  show(
      "Compare with PyTorch (1.13 or newer):  python {0}/{1} --check\n"
      "Use, with {0} in PYTHONPATH:           from {2} import Model\n"
      "                                       {3} = Model.load(\"{0}\").{4}\n",
      out, architecture.loader_file, std::filesystem::path(architecture.loader_file).stem().string(),
      architecture.result, architecture.call);
  return 0;
}

}  // namespace blocktrain::trainer
