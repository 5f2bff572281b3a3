// blocktrain: the command line. Reads what was asked for, runs it, and turns errors into messages and exit codes:
// 0 success, 1 the run failed, 2 the input is wrong, 75 interrupted and saved.

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kernels/error.hpp"
#include "trainer/commands/commands.hpp"
#include "trainer/config/config.hpp"
#include "trainer/config/option.hpp"
#include "trainer/config/suggest.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/text.hpp"
#include "trainer/support/threads.hpp"
#include "trainer/support/version.hpp"

namespace {

using namespace blocktrain;
using namespace blocktrain::trainer;

constexpr const char* set_help =
    "Override a key of the config, e.g. --set optimizer.learning_rate=3e-4; repeat for more";

/// Under mpirun every rank reads the same command line; only the first speaks about it.
bool speaks() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* rank = std::getenv(name)) return std::string(rank) == "0";
  }
  return true;
}

/// For the other ranks: mpirun ends the whole job when the first process ends with an error, and the one that speaks is
/// to have spoken by then.
int let_the_first_speak(int code) {
  std::this_thread::sleep_for(std::chrono::seconds(1));
  return code;
}

/// An option whose value is read as that of a key of the config is. `type` stands for the value in the help.
void add_value(CLI::App* app, const std::string& names, const SettingValue& value, const std::string& help,
               const std::string& type) {
  const std::string name = names.substr(names.rfind(',') + 1);  // the long one
  app->add_option_function<std::string>(
         names, [name, value](const std::string& text) { read_option(name, text, value); }, help)
      ->type_name(type);
}

/// What is wrong with the command line, and what is accepted. The parser says of a misspelt command only that one is
/// missing.
std::string describe(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  if (!chosen.empty()) {
    return std::string(error.what()) + "; accepted: see blocktrain " + chosen.front()->get_name() + " --help";
  }
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); }))
    names.push_back(command->get_name());
  const std::string accepted = join(names);
  if (argc < 2) return "found no command; accepted: " + accepted + " (see blocktrain --help)";
  if (argv[1][0] == '-')
    return "found the unknown option " + std::string(argv[1]) + "; accepted: see blocktrain --help";
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  const std::string_view meant = nearest(argv[1], candidates);
  return "found the unknown command " + std::string(argv[1]) +
         (meant.empty() ? std::string() : " (did you mean " + std::string(meant) + "?)") + "; accepted: " + accepted;
}

}  // namespace

int main(int argc, char** argv) {
  use_cpus_at_start();
  set_unread_output(UnreadOutput::ends_the_program);
  // A file that reaches the limit of its size (ulimit -f) is to be an error of that write, with a message.
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App app{
      "blocktrain trains a deep network one block per GPU: each block is an independent denoiser over its own noise "
      "interval, so no gradient and no activation crosses between blocks."};
  app.name("blocktrain");
  app.set_version_flag("--version", std::string("blocktrain ") + version());
  app.require_subcommand(1);
  app.footer(
      "Run one command with --help for its options. Exit codes: 0 success, 1 the run failed, 2 the input is wrong, 75 "
      "interrupted and saved (continue with --resume).");
  int exit_code = 0;
  // Commands whose work is elsewhere: nobody has to read what they say.
  bool prints_by_the_way = false;
  const auto more_than_print = [&](const auto& command) {
    prints_by_the_way = true;
    set_unread_output(UnreadOutput::is_dropped);
    return command();
  };

  PlanArguments plan;
  auto* plan_app = app.add_subcommand(
      "plan", "Show who trains what, the noise intervals, parameters, FLOPs, exact bytes and traffic");
  plan_app->add_option("CONFIG", plan.config, "The experiment, a YAML file")->required();
  plan_app->add_option("--set", plan.overrides, set_help)->allow_extra_args(false);
  add_value(plan_app, "-n,--world", blocks::IntValue{&plan.world, {1, 1000000}},
            "Ranks to plan for (default: one per block)", "N");
  plan_app->add_flag("--show-config", plan.show_config,
                     "Print the resolved config with every default, and what each key means");
  plan_app->add_flag("--json", plan.json, "Print the plan as JSON");
  plan_app->callback([&] { exit_code = plan_command(plan); });

  DataArguments data;
  auto* data_app = app.add_subcommand("data", "Show what is in a data set: sizes, a sample of texts, duplicates");
  data_app->add_option("PATH", data.path, "A file of text or of token ids, or a folder of data")->required();
  data_app->add_option("--task", data.task,
                       "What reads the data: images, labels or tokens (default: told by the files)");
  data_app->add_option("--tokenizer", data.tokenizer,
                       "What makes tokens of text, as data.tokenizer: bytes, or the path of a tokenizer's file");
  data_app
      ->add_option("--set", data.overrides,
                   "Override a key data.* of that task, e.g. --set data.documents=apart; repeat for more")
      ->allow_extra_args(false);
  data_app->add_flag("--json", data.json, "Print as JSON");
  data_app->callback([&] { exit_code = data_command(data); });

  TrainArguments train;
  auto* train_app = app.add_subcommand("train", "Train; start it with mpirun -np N, any number of ranks works");
  train_app->add_option("CONFIG", train.config, "The experiment, a YAML file")->required();
  train_app->add_option("--set", train.overrides, set_help)->allow_extra_args(false);
  train_app->add_flag("--resume", train.resume, "Continue the run in log.directory; starts fresh when there is none");
  train_app->add_flag("--quiet", train.quiet, "No progress, only the result and errors");
  train_app->callback([&] { exit_code = more_than_print([&] { return train_command(train); }); });

  EvalArguments eval;
  auto* eval_app = app.add_subcommand(
      "eval", "Measure the quality of the assembled network, per sigma and overall; mpirun -np N shares the work");
  eval_app->add_option("RUN", eval.run, "Folder of a run")->required();
  eval_app->add_option("--twin", eval.twin, "Folder of the end-to-end run to show beside it");
  add_value(eval_app, "--blocks", blocks::IntListValue{&eval.blocks, {0, 4095}, {1, 4096}},
            "Measure the first blocks of RUN without the others: 0, or 0,1 and so on (default: all)", "B,B,...");
  eval_app->add_option("-o,--out", eval.out,
                       "JSON file to write (default: RUN/eval.json; with --blocks 0 RUN/eval.blocks-0.json)");
  eval_app
      ->add_option("--set", eval.overrides,
                   "Override a key of eval.*, parallel.*, or of where the data lie (data.path); repeat for more")
      ->allow_extra_args(false);
  eval_app->callback([&] { exit_code = more_than_print([&] { return eval_command(eval); }); });

  GenerateArguments generate;
  auto* generate_app = app.add_subcommand(
      "generate", "Generate images or texts from the assembled network; mpirun -np N shares the work");
  generate_app->add_option("RUN", generate.run, "Folder of a run")->required();
  generate_app->add_option("-o,--out", generate.out,
                           "File to write (default: RUN/samples.png, of texts RUN/samples.jsonl)");
  add_value(generate_app, "--labels", blocks::IntListValue{&generate.labels, {0, most_classes - 1}, {1, 65536}},
            "Classes to ask for, e.g. 3,1,4 (default: all in turn)", "L,L,...");
  add_value(generate_app, "-n,--count", blocks::IntValue{&generate.count, {1, 65536}},
            "How many to make (default: 64 images, 4 texts)", "N");
  add_value(generate_app, "--steps", blocks::IntValue{&generate.steps, {1, 100000}},
            "Sampling steps (default: the last of eval.steps; of texts one for each token)", "N");
  double guidance = 0;
  add_value(generate_app, "--guidance", blocks::NumberValue{&guidance, {0, 100}},
            "Classifier-free guidance: 1 for none, 0 for no class at all (default: eval.guidance)", "G");
  generate_app->add_option("--sampler", generate.sampler, "euler, heun or ancestral (default: eval.sampler)");
  add_value(generate_app, "--seed", blocks::SeedValue{&generate.seed}, "Seed of all that is drawn (default: 0)", "N");
  generate_app->add_flag("--beside-real", generate.beside_real,
                         "Show real images of the same classes beside the generated ones");
  add_value(generate_app, "--scale", blocks::IntValue{&generate.scale, {1, 64}},
            "Screen pixels per image pixel (default: what is easy to see)", "N");
  generate_app->add_option("--prompt", generate.prompts, "How texts begin; repeat for several in turn")
      ->allow_extra_args(false);
  double temperature = 0, top_p = 0;
  add_value(generate_app, "--temperature", blocks::NumberValue{&temperature, {0, 100}},
            "Temperature of the softmax that tokens are drawn from; 0: the likeliest (default: 1)", "T");
  add_value(generate_app, "--top-p", blocks::NumberValue{&top_p, {1e-6, 1}},
            "Draw from the likeliest tokens that have this probability together (default: 1)", "P");
  generate_app->add_option("--order", generate.order,
                           "Which masked tokens are found first: chance or confidence (default: chance)");
  generate_app
      ->add_option("--set", generate.overrides,
                   "Override a key of eval.*, parallel.*, or of where the data lie (data.path); repeat for more")
      ->allow_extra_args(false);
  generate_app->callback([&] {
    if (generate_app->count("--guidance") > 0) generate.guidance = guidance;
    if (generate_app->count("--temperature") > 0) generate.temperature = temperature;
    if (generate_app->count("--top-p") > 0) generate.top_p = top_p;
    exit_code = more_than_print([&] { return generate_command(generate); });
  });

  ExportArguments exported;
  auto* export_app = app.add_subcommand("export", "Write the weights as safetensors, with a standalone PyTorch loader");
  export_app->add_option("RUN", exported.run, "Folder of a run")->required();
  export_app->add_option("-o,--out", exported.out, "Folder to write (default: RUN/export)");
  export_app->add_flag("--weights-only", exported.weights_only, "Leave out the PyTorch loader");
  export_app->callback([&] { exit_code = more_than_print([&] { return export_command(exported); }); });

  DoctorArguments doctor;
  auto* doctor_app = app.add_subcommand("doctor", "Show what this machine offers and what is missing");
  doctor_app->add_flag("--json", doctor.json, "Print as JSON");
  doctor_app->callback([&] { exit_code = doctor_command(doctor); });

  auto* reference_app = app.add_subcommand("config-reference", "Print docs/config.md");
  reference_app->group("");  // for those who change the config's description
  reference_app->callback([] { std::cout << config_reference_markdown(); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return speaks() ? app.exit(e) : 0;  // --help, --version
    if (!speaks()) return let_the_first_speak(2);
    complain(describe(app, e, argc, argv));
    return 2;
  } catch (const QuietExit& e) {
    return e.code();  // another rank has said why
  } catch (const InputError& e) {
    if (!speaks()) return let_the_first_speak(2);  // every rank has read the same
    complain(e.what());
    return 2;
  } catch (const std::exception& e) {
    complain(message_of(e));
    return 1;
  }
  if (!prints_by_the_way && !output_is_written()) {
    complain(std::string("the output could not be written: ") + std::strerror(errno));
    return 1;
  }
  return exit_code;
}
