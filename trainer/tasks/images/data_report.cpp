#include "trainer/tasks/images/data_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "trainer/tasks/images/cifar_format.hpp"
#include "trainer/tasks/images/dataset_files.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"
#include "trainer/tasks/images/image_samples.hpp"

namespace blocktrain::trainer {

using nlohmann::ordered_json;

bool holds_images(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return false;
  try {
    const DatasetFiles files = choose_files(list_data_folder(path), DataFormat::automatic);
    const fs::path first = fs::path(path) / files.train.images.front();
    if (files.format != DataFormat::cifar100 || first.extension() != ".bin") return true;
    return fs::file_size(first, error) % static_cast<std::uintmax_t>(cifar100_layout.record_bytes()) == 0 && !error;
  } catch (const DataAbsent&) {
    return false;
  } catch (const InputError&) {
    return true;  // something of images is there; what is wrong with it is said by those who read it
  }
}

DataReport report_images(std::string_view task, const std::string& path, const ImageDataOptions& options) {
  const ImageDataset data = open_images(path, options);
  const std::vector<std::int64_t> counts = training_class_counts(data);
  const std::string digest = dataset_digest(data);
  const double deviation = data_deviation(data);
  data.require_unchanged();

  DataReport report;
  report.notes = data.notes();
  const auto [fewest, most] = std::ranges::minmax_element(counts);
  report.text = fmt::format(
      "{}\nclasses     {} to {} training images each\npixels      deviation {:.4f} from their mean, in [-1, 1]\n"
      "digest      {}\n",
      data.summary(), *fewest, *most, deviation, digest);
  ordered_json j;
  j["task"] = task;
  j["path"] = path;
  j["format"] = name_of(data.format());
  j["shape"] = {data.shape().channels, data.shape().height, data.shape().width};
  j["classes"] = data.classes();
  j["training_images"] = data.count(Split::train);
  j["heldout_images"] = data.count(Split::heldout);
  j["heldout_is_cut"] = data.heldout_is_cut();
  j["training_images_of_class"] = counts;
  j["deviation"] = deviation;
  j["digest"] = digest;
  j["notes"] = report.notes;
  report.json = j.dump(2, ' ', false, ordered_json::error_handler_t::replace);
  return report;
}

}  // namespace blocktrain::trainer
