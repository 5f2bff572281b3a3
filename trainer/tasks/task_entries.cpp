#include "trainer/tasks/task_entries.hpp"

#include "trainer/tasks/images/images_options.hpp"

namespace blocktrain::trainer {
namespace {

constexpr TaskEntry all[] = {
    {"images", "images of classes, generated", "images", blocks::options_of<ImagesOptions>},
};

}  // namespace

std::span<const TaskEntry> task_entries() { return all; }

}  // namespace blocktrain::trainer
