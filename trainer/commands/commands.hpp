#pragma once
/// The commands of the program. Each takes what the command line said and returns an exit code; errors are
/// exceptions, turned into messages and exit codes in main.cpp.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace blocktrain::trainer {

/// blocktrain plan CONFIG
struct PlanArguments {
  std::string config;
  std::vector<std::string> overrides;
  int world = 0;             ///< ranks to plan for; 0: one per block
  bool show_config = false;  ///< print the resolved config with every default instead
  bool json = false;
};
int plan_command(const PlanArguments& arguments);

/// blocktrain train CONFIG
struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool resume = false;
  bool quiet = false;  ///< no progress
};
int train_command(const TrainArguments& arguments);

/// blocktrain eval RUN
struct EvalArguments {
  std::string run;
  std::string twin;                    ///< RUN folder of the end-to-end twin; empty: none
  std::string out;                     ///< JSON; empty: RUN/eval.json
  std::vector<std::string> overrides;  ///< of eval.*, parallel.* and data.path
};
int eval_command(const EvalArguments& arguments);

/// blocktrain generate RUN
struct GenerateArguments {
  std::string run;
  std::string out;          ///< PNG; empty: RUN/samples.png
  std::vector<int> labels;  ///< classes asked for; empty: all in turn
  int count = 64;
  int steps = 0;                   ///< 0: the last of eval.steps
  std::optional<double> guidance;  ///< none: eval.guidance
  std::string sampler;             ///< empty: eval.sampler
  std::uint64_t seed = 0;
  bool beside_real = false;  ///< draw real images of the same classes to the left
  int scale = 0;             ///< pixels per pixel; 0: chosen so that the picture is easy to see
  std::vector<std::string> overrides;
};
int generate_command(const GenerateArguments& arguments);

/// blocktrain export RUN
struct ExportArguments {
  std::string run;
  std::string out;            ///< folder; empty: RUN/export
  bool weights_only = false;  ///< without the PyTorch loader
};
int export_command(const ExportArguments& arguments);

/// blocktrain doctor
struct DoctorArguments {
  bool json = false;
};
int doctor_command(const DoctorArguments& arguments);

}  // namespace blocktrain::trainer
