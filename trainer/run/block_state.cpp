#include "trainer/run/block_state.hpp"

#include <new>

namespace blocktrain::trainer {

using kernels::DType;

BlockState BlockState::bind(kernels::Arena& arena, std::int64_t elements, bool with_average) {
  BlockState s;
  s.parameters = arena.allocate(DType::float32, {elements});
  s.first_moment = arena.allocate(DType::float32, {elements});
  s.second_moment = arena.allocate(DType::float32, {elements});
  if (with_average) s.average = arena.allocate(DType::float32, {elements});
  constexpr auto words = static_cast<std::int64_t>((sizeof(kernels::StepState) + 3) / 4);
  const kernels::Tensor state = arena.allocate(DType::int32, {words});
  if (state.data != nullptr) s.step_state = new (state.data) kernels::StepState{};
  return s;
}

}  // namespace blocktrain::trainer
