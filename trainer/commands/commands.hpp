#pragma once
/// The commands of the program. Each takes what the command line said and returns an exit code; errors are
/// exceptions, turned into messages and exit codes in main.cpp.

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/tasks/generate_arguments.hpp"

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

/// blocktrain data PATH
struct DataArguments {
  std::string path;
  std::string task;                    ///< what reads the data; empty: the first that can
  std::string tokenizer;               ///< as data.tokenizer; empty: what that says
  std::vector<std::string> overrides;  ///< of the task's keys data.*
  bool json = false;
};
int data_command(const DataArguments& arguments);

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
  std::vector<int> blocks;             ///< 0, 1, ..: the first of run's blocks, which alone are measured; empty: all
  std::vector<std::string> overrides;  ///< of eval.*, parallel.* and data.path
};
int eval_command(const EvalArguments& arguments);

/// blocktrain generate RUN
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
