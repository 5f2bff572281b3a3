#include "trainer/plan/block_state.hpp"

#include <new>

namespace blocktrain::trainer {

using kernels::DType;

BlockState BlockState::bind(kernels::Arena& arena, std::int64_t elements, bool with_average,
                            kernels::DType computed_in) {
  BlockState s;
  s.parameters = arena.allocate(DType::float32, {elements});
  s.first_moment = arena.allocate(DType::float32, {elements});
  s.second_moment = arena.allocate(DType::float32, {elements});
  if (with_average) s.average = arena.allocate(DType::float32, {elements});
  if (computed_in != DType::float32) s.working = arena.allocate(computed_in, {elements});
  s.step_state = arena.room_for<kernels::StepState>();
  // On a device the host writes it before a step.
  if (s.step_state != nullptr && arena.on_host()) new (s.step_state) kernels::StepState{};
  return s;
}

}  // namespace blocktrain::trainer
