#include "trainer/plan/parallel_config.hpp"

namespace blocktrain::trainer {

using namespace blocks;  // the words of settings

void ParallelConfig::describe(std::vector<Setting>& out) {
  out.push_back({"parallel", "device", one_of(device),
                 "Where blocks compute, also in `blocktrain eval` and `generate`: the CPU or NVIDIA GPUs. auto takes "
                 "GPUs where every rank sees one."});
  out.push_back({"parallel", "transport", one_of(transport),
                 "How ranks talk. mpi: processes started by mpirun. local: threads of one process. auto: mpi under "
                 "mpirun, else local."});
  out.push_back({"parallel", "gpu_transport", one_of(gpu_transport),
                 "How ranks on GPUs exchange gradients of replicas, noise schedules, blocks that move and weights to "
                 "evaluate. nccl: directly, a GPU for every rank. host: through host memory. auto: nccl where it "
                 "can, else host."});
  out.push_back({"parallel", "ranks", integer(ranks, 0, 4096),
                 "Ranks of the local transport; with mpi, mpirun's -np decides. 0: one."});
  out.push_back({"parallel", "threads", integer(threads, 0, 1024),
                 "Compute threads per rank. 0: OMP_NUM_THREADS where it is set; else the CPUs that the rank may use, "
                 "shared with the ranks of its host that may use the same, and no more than its control groups "
                 "allow."});
  out.push_back({"parallel", "steps_per_visit", integer(steps_per_visit, 1, most_steps),
                 "Steps that a rank which owns several blocks trains one of them before the next."});
  out.push_back({"parallel", "rebalance", BooleanValue{&rebalance},
                 "Whether a rank whose blocks are done takes over a block of a rank that has several left. Changes no "
                 "weights."});
  out.push_back({"parallel", "timeout_seconds", number(timeout_seconds, 0.1, 86400),
                 "Longest wait for another rank, in seconds, before the run ends with an error. Time in which the rank "
                 "that waits was suspended itself does not count."});
  out.push_back({"parallel", "cuda_graphs", BooleanValue{&cuda_graphs},
                 "Whether a training step on a GPU is captured once as a CUDA graph and then replayed. false: each "
                 "operation is asked for by itself, for profilers and debuggers. Changes no weights."});
  out.push_back({"parallel", "activation_checkpointing", one_of(activation_checkpointing),
                 "What a layer keeps for its backward pass. none: its activations. layer: its input alone, and "
                 "computes the rest again: less memory, up to a third more operations, the same weights."});
}

void ParallelConfig::check(std::vector<Conflict>& out) const {
  if (ranks == 0 || transport != TransportChoice::mpi) return;
  out.push_back({{"parallel.ranks", "parallel.transport"},
                 "found parallel.ranks " + std::to_string(ranks) +
                     " with parallel.transport mpi; accepted: 0, for mpirun's -np says how many ranks there are"});
}

}  // namespace blocktrain::trainer
