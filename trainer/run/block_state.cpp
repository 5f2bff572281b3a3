#include "trainer/run/block_state.hpp"

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
  constexpr auto words = static_cast<std::int64_t>((sizeof(kernels::StepState) + 3) / 4);
  const kernels::Tensor state = arena.allocate(DType::int32, {words});
  if (state.data != nullptr && arena.on_host()) s.step_state = new (state.data) kernels::StepState{};
  // On a device the host writes it before a step.
  if (state.data != nullptr && !arena.on_host()) s.step_state = static_cast<kernels::StepState*>(state.data);
  return s;
}

}  // namespace blocktrain::trainer
