#include "trainer/tasks/images/data_probe.hpp"

#include <filesystem>

#include "trainer/tasks/images/dataset_reader.hpp"

namespace blocktrain::trainer {

DataProbe probe_data(const std::string& path, DataFormat format) {
  const FolderListing folder = list_data_folder(path);
  const ImageDataset::OpenFile open_file = [&](const std::string& name) {
    return MappedBytes::of_file(std::filesystem::path(path) / name);
  };
  return DatasetReader(folder, format, open_file).probe();
}

DataProbe probe_files(const std::string& where, const std::set<std::string>& names, DataFormat format,
                      const std::function<MappedBytes(const std::string& name)>& open_file) {
  const FolderListing folder{where, names, {}};
  return DatasetReader(folder, format, open_file).probe();
}

}  // namespace blocktrain::trainer
