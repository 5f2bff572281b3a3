#include "trainer/train/train.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <span>

#include "blocks/parameters.hpp"
#include "comm/host.hpp"
#include "kernels/error.hpp"
#include "trainer/checkpoint/manifest.hpp"
#include "trainer/checkpoint/resume.hpp"
#include "trainer/config/experiment.hpp"
#include "trainer/coordinator/coordinator.hpp"
#include "trainer/coordinator/gather_host_facts.hpp"
#include "trainer/data/data_facts.hpp"
#include "trainer/exchange/block_transport.hpp"
#include "trainer/exchange/replica_transport.hpp"
#include "trainer/exchange/shared_exchange.hpp"
#include "trainer/ledger/totals.hpp"
#include "trainer/plan/compute_device.hpp"
#include "trainer/plan/heldout_memory.hpp"
#include "trainer/plan/memory_check.hpp"
#include "trainer/plan/network.hpp"
#include "trainer/run_folder/run_folder.hpp"
#include "trainer/run_folder/run_lock.hpp"
#include "trainer/run_folder/run_remains.hpp"
#include "trainer/support/exit_status.hpp"
#include "trainer/support/file_system.hpp"
#include "trainer/support/output.hpp"
#include "trainer/support/share.hpp"
#include "trainer/support/stop_signal.hpp"
#include "trainer/support/threads.hpp"
#include "trainer/support/units.hpp"
#include "trainer/tasks/tasks.hpp"
#include "trainer/worker/device_memory_check.hpp"
#include "trainer/worker/device_runtime.hpp"

namespace blocktrain::trainer {
namespace {

constexpr auto control = comm::TrafficPurpose::control;

/// The config that rank 0 loaded and checked, on all ranks.
Config share_config(comm::Communicator& world, const TrainRequest& request, RunFolderState& state) {
  Config config;
  std::string yaml;
  all_or_none(world, [&] {
    if (world.rank() != 0) return;
    config = load_config(request.config_path, request.overrides);
    if (config.parallel.transport == TransportChoice::local && std::string(world.transport()) == "mpi" &&
        world.size() > 1) {
      throw InputError(
          "parallel.transport: 'local' means ranks as threads of one process, but " + std::to_string(world.size()) +
          " processes were started; start it without mpirun and set parallel.ranks, or use transport auto");
    }
    state = inspect_run_folder(config, request.resume);
    yaml = to_yaml(config);
  });
  share(world, yaml);
  std::string fresh(1, state == RunFolderState::fresh ? 'f' : 'r');
  share(world, fresh);
  state = fresh == "f" ? RunFolderState::fresh : RunFolderState::resumable;
  if (world.rank() != 0) {
    config = load_config_text(yaml, "config of rank 0", {});
  }
  return config;
}

/// What the noise schedule follows from besides the keys: of a run that goes on as it was computed in the beginning.
void settle_information(comm::Communicator& world, Config& config, const Samples& data, RunFolderState state) {
  if (!needs_information(config)) return;
  all_or_none(world, [&] {
    if (world.rank() != 0) return;
    const std::string& root = config.log.directory;
    if (state == RunFolderState::resumable) {
      const Experiment before = experiment_of(load_run_config(root));
      const auto found = load_manifest(root, experiment_of(config), trained_blocks(config), before);
      if (found) config.noise.information = found->manifest.information;
    }
    if (config.noise.information.empty()) {
      config.noise.information = class_information(config, data.layout(), data.class_counts());
    }
  });
  share(world, config.noise.information);
}

/// All ranks have to read the same data.
void require_same_data(comm::Communicator& world, const DataFacts& mine) {
  const auto all = world.all_gather(std::as_bytes(std::span(mine.digest)), control);
  all_or_none(world, [&] {
    if (world.rank() != 0) return;
    for (std::size_t r = 1; r < all.size(); ++r) {
      if (all[r] != all[0]) {
        throw InputError("data.path: rank " + std::to_string(r) + " found other data at '" + mine.path +
                         "' than rank 0; every rank has to see the same files");
      }
    }
  });
}

/// Rank 0 finds in the folder where each block goes on, makes what is missing, and all ranks look whether they see it.
/// Nothing is written before everything has been checked, under the lock.
std::unique_ptr<RunLock> open_run_folder(comm::Communicator& world, const RunPaths& paths, const Config& config,
                                         const DataFacts& data, const Plan& plan, RunFolderState state,
                                         ResumePlan& resume) {
  std::unique_ptr<RunLock> lock;
  std::string token;
  all_or_none(world, [&] {
    if (world.rank() != 0) return;
    std::vector<std::string> warnings;
    if (state == RunFolderState::resumable) {
      const DataFacts before = facts_of_run(
          paths, [&data] { return data; }, warnings);
      if (before.digest != data.digest) {
        throw InputError("data.path: '" + data.path + "' holds other data than the run in '" + paths.root +
                         "' was trained on ('" + before.path + "'); nothing was changed. Give the same data to resume");
      }
    }
    lock = std::make_unique<RunLock>(paths);
    if (!lock->note().empty()) warnings.push_back(lock->note());
    if (state == RunFolderState::fresh && std::filesystem::exists(paths.config())) {
      throw InputError("log.directory: '" + paths.root +
                       "' was given a run by another process just now; nothing was changed. Choose another folder");
    }
    const auto blocks = static_cast<int>(plan.blocks.size());
    const bool coupled = plan.coupling.coupled();
    if (state == RunFolderState::fresh) {
      resume = find_resume_points(paths.root, experiment_of(config), blocks, coupled);
    } else {
      const Config before = load_run_config(paths.root);
      resume = find_resume_points(paths.root, experiment_of(config), blocks, coupled, experiment_of(before));
      for (const auto& more : {lost_parts(paths, resume), changed_budget(before, config, resume)}) {
        warnings.insert(warnings.end(), more.begin(), more.end());
      }
    }
    resume.warnings.insert(resume.warnings.begin(), warnings.begin(), warnings.end());
    if (std::filesystem::exists(paths.ledger())) read_totals(paths.ledger());  // refuses a damaged one
    if (state == RunFolderState::resumable) {
      // Nothing is written until its checkpoints have been read; its config shows whether all see the folder.
      token = paths.config();
      return;
    }
    create_run_folder(paths, config, to_json(data));
    token = paths.root + "/" + seen_by_all_prefix + std::to_string(getpid());
    const FileDescriptor file(::open(token.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
    if (!file.open()) throw InputError("log.directory: cannot write in '" + paths.root + "': " + std::strerror(errno));
  });
  share(world, token);
  std::exception_ptr failure;
  try {
    all_or_none(world, [&] {
      if (access(token.c_str(), F_OK) != 0) {
        throw InputError("log.directory: '" + paths.root +
                         "' of rank 0 is not seen here; it has to be on a file system that all ranks share");
      }
    });
  } catch (...) {
    failure = std::current_exception();
  }
  if (world.rank() == 0 && state == RunFolderState::fresh) unlink(token.c_str());
  if (failure) std::rethrow_exception(failure);
  return lock;
}

/// Weights of a block: from its checkpoint, or initial.
void fill_state(OwnedBlock& b, const Config& config, const std::string& run, const std::string& identity,
                const std::string& file, std::int64_t step) {
  const blocks::BlockPlace& place = b.network->place();
  if (file.empty()) {
    blocks::initialize(b.state.parameters, b.network->parameters(), trained_block_seed(config, b.block), config.seed);
    if (!b.state.average.empty()) {
      std::memcpy(b.state.average.data, b.state.parameters.data, b.state.parameters.bytes());
    }
    return;
  }
  BlockFileHeader expected;
  expected.block = b.block;
  expected.blocks = place.count;
  expected.step = step;
  expected.seed = trained_block_seed(config, b.block);
  expected.experiment = identity;
  expected.training = config.blocks.training;
  expected.first_layer = place.first_layer;
  expected.layers = place.layers;
  const auto span = [](const kernels::Tensor& t) {
    return t.empty() ? std::span<float>() : std::span<float>(t.as<float>(), static_cast<std::size_t>(t.size()));
  };
  BlockTensors<float> tensors;
  tensors.parameters = span(b.state.parameters);
  tensors.first_moment = span(b.state.first_moment);
  tensors.second_moment = span(b.state.second_moment);
  tensors.average = span(b.state.average);
  read_block_file(checkpoints_folder(run) / file, expected, b.network->parameters(), tensors);
  b.state.step = step;
}

}  // namespace

int train(comm::Communicator& world, const TrainRequest& request) {
  // 1. The config, read by rank 0; nothing is created before everything has been checked.
  RunFolderState folder_state = RunFolderState::fresh;
  Config config = share_config(world, request, folder_state);
  const auto timeout = config.parallel.timeout();
  world.set_deadline(timeout);
  config.parallel.device = resolve_device(world, config);
  const RunPaths paths{config.log.directory};

  // 2. The data and the plan.
  const Task& task = task_of(config);
  std::unique_ptr<Samples> data;
  DataFacts facts;
  Plan plan;
  all_or_none(world, [&] {
    data = task.open(config);
    facts = data->facts();
  });
  settle_information(world, config, *data, folder_state);
  all_or_none(world, [&] { plan = make_plan(config, facts.layout, world.size()); });
  require_same_data(world, facts);
  const auto warn = [&world](const std::string& text) {
    if (world.rank() == 0) complain("warning: " + text);
  };
  for (const std::string& note : data->notes()) warn(note);

  const comm::HostMap hosts = comm::map_hosts(world);
  const ThreadChoice threads = choose_threads(world, hosts, config.parallel.threads);
  const int ranks_in_process = std::string(world.transport()) == "mpi" ? 1 : world.size();
  require_memory(world, hosts, config, facts.layout, plan, memory_bounds(threads.threads, ranks_in_process));

  // 3. The RUN folder, and where each block goes on.
  ResumePlan resume;
  const std::unique_ptr<RunLock> lock = open_run_folder(world, paths, config, facts, plan, folder_state, resume);
  std::vector<std::int64_t> start_steps;
  std::vector<std::string> start_files;  // empty for initial weights
  for (const ResumePoint& p : resume.blocks) {
    start_steps.push_back(p.step);
    start_files.push_back(p.file ? p.file->name : std::string());
  }
  share(world, start_steps);
  share(world, start_files);
  resume.information = config.noise.information;
  Experiment experiment = experiment_of(config);
  experiment.identity = resume.experiment;
  share(world, experiment.identity);

  // 4. The device; memory, weights, batches.
  const RankPlan& mine = plan.ranks[static_cast<std::size_t>(world.rank())];
  const int host = hosts.host_of_rank[static_cast<std::size_t>(world.rank())];
  std::unique_ptr<kernels::Device> device;
  all_or_none(world, [&] { device = make_device(world, hosts, config, threads.threads); });
  require_device_memory(world, config, facts.layout, plan, *device);
  std::optional<RankArenas> arenas;
  std::vector<OwnedBlock> owned;
  std::unique_ptr<BatchLoader> loader;
  kernels::Tensor transport_buffer;
  HeldoutMemory heldout;
  all_or_none(world, [&] {
    arenas.emplace(RankArenas::take(*device, mine.bytes));
    std::vector<blocks::BlockPlace> places;
    for (const int b : mine.blocks) places.push_back(plan.blocks[static_cast<std::size_t>(b)].place);
    owned = bind_blocks(*arenas, config, facts.layout, places,
                        std::min(plan.micro_batch, static_cast<std::int64_t>(mine.shard.size())),
                        static_cast<std::int64_t>(mine.shard.size()), mine.replicas);
    for (OwnedBlock& b : owned) {
      const auto i = static_cast<std::size_t>(b.block);
      fill_state(b, config, paths.root, experiment.identity, start_files[i], start_steps[i]);
    }
    if (config.eval.every_steps > 0) {
      heldout = HeldoutMemory::bind(*arenas, on_gpu(config), facts.layout, *owned.front().network,
                                    std::min(plan.micro_batch, static_cast<std::int64_t>(mine.shard.size())));
    }
    BatchLoaderOptions options;
    options.batch = plan.batch;
    options.begin = static_cast<std::int64_t>(mine.shard.begin);
    options.end = static_cast<std::int64_t>(mine.shard.end);
    options.seed = config.seed;
    options.first_step = static_cast<std::uint32_t>(owned.front().state.step);
    options.deadline = timeout;
    options.warn = warn;  // of the data of its host; other ranks' are the same
    loader = std::make_unique<BatchLoader>(*data, SampleOrder(config.seed, data->count(Split::train)), options,
                                           arenas->batch);
    transport_buffer = bind_transport_buffer(*arenas, on_gpu(config), plan.rebalances, world.size());
  });

  // 5. Who shares a machine, and who shares a block's batch.
  const std::unique_ptr<comm::Communicator> group = world.split(mine.replicas > 1 ? mine.blocks.front() : -1);
  const std::vector<comm::RankDevice> devices = gather_rank_devices(world, device->facts());
  const GpuAssignment boards = assign_boards(hosts, devices);
  const auto connected = [&](comm::Communicator& ranks_of, const std::vector<int>& ranks, bool lasting) {
    return DeviceGroup{ranks_of, ranks, devices, config.parallel.gpu_transport, timeout, lasting};
  };
  std::vector<int> everybody(static_cast<std::size_t>(world.size()));
  std::iota(everybody.begin(), everybody.end(), 0);
  std::optional<BlockTransport> transport;
  ReplicaTransport replicas;
  const std::unique_ptr<comm::Communicator> meetings = plan.coupling.coupled() ? world.split(0) : nullptr;
  std::optional<SharedExchange> shared;
  if (meetings != nullptr) shared.emplace(*meetings, plan.placement, owned.front().meeting);
  all_or_none(world, [&] {
    // Worked out by rank 0: every rank draws from the same intervals to the last bit.
    if (world.rank() == 0) write_schedule(*device, owned.front(), training_intervals(config));
    transport.emplace(connected(world, everybody, plan.rebalances), transport_buffer, *device, owned.front(),
                      plan.rebalances);
    if (group == nullptr) return;
    const std::vector<int>& ranks = plan.placement.ranks_of_block[static_cast<std::size_t>(mine.blocks.front())];
    replicas = ReplicaTransport(connected(*group, ranks, true), owned.front().staging);
  });

  // 6. The coordinator, on rank 0.
  std::unique_ptr<Coordinator> coordinator;
  const std::vector<HostFacts> host_facts = gather_host_facts(world, hosts, threads);
  const std::string device_name = device_names(world, device->facts());
  all_or_none(world, [&] {
    if (world.rank() != 0) return;
    const auto distinct_targets = [&data = *data, order = SampleOrder(config.seed, data->count(Split::train))](
                                      std::int64_t visits) { return data.distinct_targets(order, visits); };
    coordinator = std::make_unique<Coordinator>(
        world, CoordinatorSettings{config, plan, paths, experiment, facts, task.description(facts), distinct_targets,
                                   hosts, host_facts, boards.places, device_name, resume, request.progress});
    // Behind the manifest, which has the keys of this config now: a manifest without keys is known by the config.yaml
    // of before.
    if (folder_state == RunFolderState::resumable) create_run_folder(paths, config, to_json(facts));
  });
  std::vector<std::uint8_t> budget_is_spent{coordinator != nullptr && coordinator->budget_is_spent()};
  share(world, budget_is_spent);

  // 7. Training: this thread computes, another reports.
  ReporterSettings settings;
  settings.run_folder = paths.root;
  settings.experiment = experiment.identity;
  settings.training = config.blocks.training;
  settings.timeout = timeout;
  settings.host = host;
  settings.samples_energy = hosts.ranks_of_host[static_cast<std::size_t>(host)].front() == world.rank();
  settings.gpus = boards.owned_by(world.rank());
  settings.powercap_root = config.energy.powercap_root;
  settings.sample_seconds = config.energy.sample_seconds;
  const ArenasInUse in_arenas = arenas_in_use(world, plan, devices, *arenas);
  std::optional<DeviceRuntimeMeter> gpu_memory;
  if (plan.on_gpu) gpu_memory.emplace(*device, open_nvml(), in_arenas.process, in_arenas.board);
  settings.host_arena_bytes = in_arenas.host;
  settings.gpu_memory = gpu_memory ? &*gpu_memory : nullptr;
  std::optional<Reporter> reporter;
  // Together: no step anywhere begins before the sensors of its host are read.
  all_or_none(world, [&] { reporter.emplace(world, settings); });
  if (coordinator) coordinator->start();

  int code = 0;
  std::string message;
  try {
    if (budget_is_spent.front() != 0) {
      for (const OwnedBlock& b : owned) {
        const bool done = b.state.step >= config.budget.steps;
        reporter->block_ended(b.block, b.state.step, done ? BlockEnd::done : BlockEnd::stopped, "");
      }
    } else {
      Worker worker({config, plan, world, replicas.get(), shared ? &*shared : nullptr, *device, *arenas, owned,
                     *transport, facts.layout, *loader, *data, config.eval.every_steps > 0 ? &heldout : nullptr,
                     *reporter, host, request.after_step});
      worker.run();
    }
  } catch (const QuietExit& e) {
    code = e.code();
  } catch (const InputError& e) {
    code = 2;
    message = e.what();
  } catch (const std::exception& e) {
    code = 1;
    message = message_of(e);
  }
  bool all_left = true;
  const auto leave_connections = [&] {
    all_left = replicas.abandon() && all_left;
    all_left = transport->abandon() && all_left;
  };
  if (code != 0 && !message.empty()) leave_connections();
  const int run_code = reporter->finish(code, message);
  if (coordinator) coordinator->join();
  // Some rank may have left its connections; to end them in order, all would have to be there.
  if (run_code != 0 && run_code != exit_interrupted) leave_connections();
  if (!all_left) {
    // Something of the transport is stuck on the device, and to free memory there would wait for it. The ledger is
    // whole.
    complain(fmt::format("rank {}: NCCL could not be ended and is left behind", world.rank()));
    world.abort(run_code);
  }
  return run_code;
}

}  // namespace blocktrain::trainer
