// The exported files, read back: the format to the byte, every parameter and number, and which folders are taken.
#include <sys/stat.h>

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "blocks/parameters.hpp"
#include "kernels/error.hpp"
#include "tests/trainer/export/support.hpp"
#include "tests/trainer/train/support.hpp"
#include "trainer/export/architecture_export.hpp"
#include "trainer/export/network_export.hpp"
#include "trainer/tasks/tasks.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::DType;
using kernels::Tensor;
using testing::content;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

constexpr const char* loader_file = "blocktrain_dit.py";

/// A safetensors file taken apart, by the format's rules alone.
struct Parsed {
  explicit Parsed(const std::string& path) : bytes(content(path)) {
    BOOST_REQUIRE(bytes.size() > 8);
    std::uint64_t length = 0;
    for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(bytes[i]);
    BOOST_REQUIRE(length <= bytes.size() - 8);
    start = 8 + length;
    header = nlohmann::ordered_json::parse(bytes.substr(8, length));
  }

  template <class T>
  std::vector<T> values(const std::string& name) const {
    const auto range = header.at(name).at("data_offsets");
    const std::size_t begin = range.at(0), end = range.at(1);
    std::vector<T> out((end - begin) / sizeof(T));
    BOOST_REQUIRE(start + end <= bytes.size());
    std::memcpy(out.data(), bytes.data() + start + begin, end - begin);
    return out;
  }
  std::string metadata(const char* key) const { return header.at("__metadata__").at(key); }

  std::string bytes;
  std::size_t start = 0;
  nlohmann::ordered_json header;
};

std::vector<double> numbers(const std::string& list) {
  std::vector<double> out;
  std::stringstream in(list);
  for (std::string part; std::getline(in, part, ',');) out.push_back(std::stod(part));
  return out;
}

void require_refused(const std::string& folder, const std::string& named) {
  BOOST_CHECK_EXCEPTION(require_export_folder(folder), InputError, [&](const InputError& e) {
    return std::string(e.what()).find("--out: ") == 0 && std::string(e.what()).find(named) != std::string::npos;
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(safetensors_read_back) {
  const TemporaryFolder folder;
  std::vector<float> matrix{1.5F, -2, 3, 4, 5, 6.25F}, three{7, 8, 9};
  std::vector<double> exact{0.1, 1e300};
  std::vector<std::int32_t> labels{-1, 7};
  const std::vector<NamedTensor> tensors{{"b", Tensor(matrix.data(), DType::float32, {2, 3})},
                                         {"c", Tensor(labels.data(), DType::int32, {2})},
                                         {"z", Tensor(exact.data(), DType::float64, {2})},
                                         {"a", Tensor(three.data(), DType::float32, {3})}};
  const std::string path = folder.path("x.safetensors");
  const auto write = [&](std::vector<NamedTensor> in_any_order, const std::string& name) {
    WholeFile file(name, "--out", weights_kind());
    write_safetensors(file, std::move(in_any_order), {{"key", "a \"text\""}});
    file.commit();
  };
  write(tensors, path);
  const Parsed file(path);
  std::vector<std::string> names;
  for (const auto& [name, entry] : file.header.items()) names.push_back(name);
  const std::vector<std::string> sorted{"__metadata__", "a", "b", "c", "z"};
  BOOST_TEST(names == sorted, boost::test_tools::per_element());
  BOOST_TEST(file.values<float>("b") == matrix, boost::test_tools::per_element());
  BOOST_TEST(file.values<float>("a") == three, boost::test_tools::per_element());
  BOOST_TEST(file.values<double>("z") == exact, boost::test_tools::per_element());
  BOOST_TEST(file.values<std::int32_t>("c") == labels, boost::test_tools::per_element());
  const nlohmann::json expected = {{"dtype", "F32"}, {"shape", {2, 3}}, {"data_offsets", {28, 52}}};
  BOOST_TEST((nlohmann::json(file.header.at("b")) == expected));
  BOOST_TEST(file.header.at("z").at("dtype") == "F64");
  BOOST_TEST(file.header.at("c").at("dtype") == "I32");
  BOOST_TEST(file.metadata("key") == "a \"text\"");
  BOOST_TEST(file.start % 64 == 0U);
  BOOST_TEST(file.start + 16 + 12 + 24 + 8 == file.bytes.size());
  BOOST_TEST(read_safetensors_metadata(path).at("key") == "a \"text\"");

  write({tensors.rbegin(), tensors.rend()}, folder.path("y.safetensors"));
  BOOST_TEST((content(folder.path("y.safetensors")) == file.bytes));
}

BOOST_AUTO_TEST_CASE(metadata_of_anything_else_is_empty) {
  const TemporaryFolder folder;
  const auto metadata_of = [&](const std::string& bytes) {
    std::ofstream(folder.path("f"), std::ios::binary) << bytes;
    return read_safetensors_metadata(folder.path("f"));
  };
  const std::string eight(8, '\0');
  const auto with_length = [](char n, const std::string& text) { return std::string{n, 0, 0, 0, 0, 0, 0, 0} + text; };
  BOOST_TEST(metadata_of("").empty());
  BOOST_TEST(metadata_of("short").empty());
  BOOST_TEST(metadata_of(eight).empty());
  BOOST_TEST(metadata_of(std::string(16, '\xff')).empty());
  BOOST_TEST(metadata_of(with_length(40, "{}")).empty());
  BOOST_TEST(metadata_of(with_length(2, "[]")).empty());
  BOOST_TEST(metadata_of(with_length(20, R"({"__metadata__": 12})")).empty());
  BOOST_TEST(metadata_of(with_length(29, R"({"__metadata__":{"format":1}})")).empty());
  BOOST_TEST(metadata_of(with_length(31, R"({"__metadata__":{"format":"x"}})")).at("format") == "x");
  BOOST_TEST(read_safetensors_metadata(folder.path("")).empty());
  BOOST_TEST(read_safetensors_metadata(folder.path("missing")).empty());
}

BOOST_AUTO_TEST_CASE(a_run_is_exported_whole) {
  for (const std::string training : {"block_local", "end_to_end"}) {
    BOOST_TEST_CONTEXT(training) {
      const TemporaryFolder folder;
      const std::string run = folder.path("run"), out = folder.path("deep/export");
      BOOST_REQUIRE(testing::train_small(run, 1, {"blocks.training=" + training}) == 0);
      TrainedNetwork network(task_of, run, {"parallel.device=cpu"});
      const ExportedFolder written = export_network(network, out, false);
      BOOST_REQUIRE(written.files.size() == 3U);
      for (const ExportedFile& file : written.files) {
        BOOST_TEST(!file.replaced);
        BOOST_TEST(fs::file_size(fs::path(out) / file.name) == file.bytes);
      }
      BOOST_TEST((content(out + "/" + loader_file) == architecture_export_of(network).loader()));

      const Parsed model(out + "/" + model_file);
      std::size_t tensors = 0;
      for (int b = 0; b < network.blocks(); ++b) {
        for (const blocks::Parameter& p : network.block(b).parameters()) {
          ++tensors;
          BOOST_REQUIRE(model.header.contains(p.name));
          BOOST_TEST((model.header.at(p.name).at("shape") == nlohmann::ordered_json(p.shape)));
          const std::vector<float> values = model.values<float>(p.name);
          const std::span<const float> expected(network.parameters(b).as<float>() + p.offset,
                                                static_cast<std::size_t>(p.size));
          BOOST_TEST(values == std::vector<float>(expected.begin(), expected.end()), boost::test_tools::per_element());
        }
      }
      BOOST_TEST(model.header.size() == tensors + 1);
      BOOST_TEST(model.metadata("training") == training);
      BOOST_TEST(model.metadata("layers_per_block") == (training == "end_to_end" ? "4" : "1,1,1,1"));
      BOOST_TEST(model.metadata("steps") == (training == "end_to_end" ? "12" : "12,12,12,12"));
      BOOST_TEST(model.metadata("weights") == "average");
      BOOST_TEST(model.metadata("noise_features") == "256");
      // The exact doubles.
      BOOST_TEST(numbers(model.metadata("sigma_edges")) == network.network().schedule().edges(),
                 boost::test_tools::per_element());
      BOOST_TEST(std::stod(model.metadata("target_deviation")) == network.data().deviation);

      // The reference covers every block, with a class and without.
      const Parsed reference(out + "/" + reference_file);
      const auto sigmas = reference.values<double>("denoise.sigma");
      const auto labels = reference.values<std::int32_t>("denoise.label");
      std::vector<int> with(static_cast<std::size_t>(network.blocks())), without = with;
      BOOST_REQUIRE(sigmas.size() == labels.size());
      for (std::size_t i = 0; i < sigmas.size(); ++i) {
        const int b = network.network().schedule().block_of(sigmas[i]);
        ++(labels[i] < 0 ? without : with)[static_cast<std::size_t>(b)];
      }
      for (std::size_t b = 0; b < with.size(); ++b) BOOST_TEST((with[b] >= 1 && without[b] >= 1), "block " << b);
      BOOST_TEST(reference.values<float>("denoise.estimate").size() == sigmas.size() * 64);

      // Again elsewhere: the same bytes.
      TrainedNetwork again(task_of, run, {"parallel.device=cpu"});
      export_network(again, folder.path("second"), false);
      for (const char* name : {model_file, reference_file, loader_file}) {
        BOOST_TEST((content(out + "/" + name) == content(folder.path("second/") + name)), name);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(folders_of_others_are_left_alone) {
  const TemporaryFolder folder;
  const std::string run = folder.path("run"), out = folder.path("out");
  BOOST_REQUIRE(testing::train_small(run, 1) == 0);
  TrainedNetwork network(task_of, run, {"parallel.device=cpu"});

  require_export_folder(out);  // missing
  BOOST_TEST(!fs::exists(out));
  fs::create_directory(out);
  require_export_folder(out);  // empty
  std::ofstream(out + "/notes.txt") << "mine";
  require_refused(out, "notes.txt");
  BOOST_CHECK_THROW(export_network(network, out, false), InputError);
  std::ofstream(out + "/" + model_file) << "of another program";
  require_refused(out, "other files");
  BOOST_TEST(content(out + "/" + model_file) == "of another program");
  require_refused(out + "/notes.txt", "not a folder");
  fs::remove(out + "/" + model_file);
  fs::remove(out + "/notes.txt");

  export_network(network, out, false);
  std::ofstream(out + "/notes.txt") << "mine";
  const ExportedFolder second = export_network(network, out, false);
  for (const ExportedFile& file : second.files) BOOST_TEST(file.replaced, file.name);
  BOOST_TEST(second.removed.empty());
  BOOST_TEST(content(out + "/notes.txt") == "mine");

  // What would contradict the new weights goes.
  const ExportedFolder weights = export_network(network, out, true);
  BOOST_TEST(weights.files.size() == 1U);
  BOOST_TEST(weights.removed == std::vector<std::string>{reference_file}, boost::test_tools::per_element());
  BOOST_TEST(!fs::exists(out + "/" + reference_file));
  BOOST_TEST(content(out + "/notes.txt") == "mine");

  const ExportedFolder alone = export_network(network, folder.path("alone"), true);
  BOOST_TEST(alone.removed.empty());
  BOOST_TEST(std::distance(fs::directory_iterator(folder.path("alone")), {}) == 1);
}

}  // namespace blocktrain::trainer
