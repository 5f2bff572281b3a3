#include "trainer/tasks/task_entries.hpp"

#include "trainer/tasks/images/images_options.hpp"
#include "trainer/tasks/labels/labels_options.hpp"
#include "trainer/tasks/tokens/tokens_options.hpp"

namespace blocktrain::trainer {
namespace {

// Shares of fewer images would be too coarse to compare; they cost one forward pass each.
constexpr blocks::SettingDefault labels_defaults[] = {{"eval.images", "10000"}};

constexpr TaskEntry all[] = {
    {"images", "images of classes, generated", "images", blocks::options_of<ImagesOptions>},
    {"labels", "the classes of images, told", "images", blocks::options_of<LabelsOptions>, labels_defaults},
    {"tokens", "texts, token by token", "windows", blocks::options_of<TokensOptions>},
};

}  // namespace

std::span<const TaskEntry> task_entries() { return all; }

}  // namespace blocktrain::trainer
