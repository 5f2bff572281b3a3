// Data files that change while they are in use: never a crash, never other data unsaid.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "kernels/arena.hpp"
#include "tests/trainer/tasks/images/support.hpp"
#include "trainer/data/batch_loader.hpp"
#include "trainer/tasks/images/dataset_statistics.hpp"
#include "trainer/tasks/images/image_layout.hpp"
#include "trainer/tasks/images/image_samples.hpp"

namespace blocktrain::trainer {
using namespace test;

namespace {

constexpr std::uint32_t images = 200;
constexpr std::size_t pixels = 4096;  // of an image: a page
const std::string images_name = "train-images-idx3-ubyte", labels_name = "train-labels-idx1-ubyte";

/// A plain data set of many pages, open.
struct OpenData {
  OpenData() {
    write(noise(images * pixels));
    folder.write(labels_name, idx({images}, cyclic_labels(images, 3)));
    samples.emplace(ImageDataset::open(folder.path()), folder.path(), false);
    data = &samples->dataset();
  }
  void write(const Bytes& elements) { folder.write(images_name, idx({images, 64, 64}, elements)); }
  fs::path file(const std::string& name = images_name) const { return folder.path() / name; }

  TemporaryFolder folder;
  std::optional<ImageSamples> samples;
  const ImageDataset* data = nullptr;
};

/// Moves the file's time of modification by whole seconds: two writes may come within one tick of its clock.
void move_time(const fs::path& file, int seconds) {
  struct stat status {};
  BOOST_REQUIRE(stat(file.c_str(), &status) == 0);
  const struct timespec times[2] = {status.st_atim, {status.st_mtim.tv_sec + seconds, status.st_mtim.tv_nsec}};
  BOOST_REQUIRE(utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
}

/// Writes `bytes` into the file as it is.
void overwrite(const fs::path& file, const Bytes& bytes, std::streamoff at) {
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(at);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  out.close();
  BOOST_REQUIRE(out.good());
  move_time(file, 10);
}

void check_run_error(const std::function<void()>& act, const fs::path& file) {
  try {
    act();
    BOOST_ERROR("nothing was thrown");
  } catch (const RunError& e) {
    const std::string message = e.what();
    BOOST_CHECK_MESSAGE(message.find(file.string()) != std::string::npos, message);
    BOOST_CHECK_MESSAGE(message.find("in use") != std::string::npos, message);
  }
}

struct Loading {
  explicit Loading(const Samples& data, BatchLoaderOptions options = {}) {
    options.batch = options.end = 32;
    arena.emplace(kernels::Arena::host("batches", 8 << 20));
    loader.emplace(data, SampleOrder(0, data.count(Split::train)), options, *arena);
  }
  std::optional<kernels::Arena> arena;
  std::optional<BatchLoader> loader;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(changing_files, OpenData)

BOOST_AUTO_TEST_CASE(a_file_that_rests_is_no_matter) {
  for (int i = 0; i < 3; ++i) data->require_unchanged();
  BOOST_TEST(data->touched().empty());
  // Readers alone, and a file put in its place, which is another file.
  BOOST_TEST(dataset_digest(*data) == dataset_digest(ImageDataset::open(folder.path())));
  fs::rename(file(), folder.path() / "old");
  write(noise(images * pixels, 2));
  data->require_unchanged();
  BOOST_TEST(data->image(Split::train, 5)[0] == noise(images * pixels)[5 * pixels]);
}

BOOST_AUTO_TEST_CASE(a_file_cut_short_is_named_and_reading_it_does_not_crash) {
  BOOST_REQUIRE(truncate(file().c_str(), 3 * pixels) == 0);
  std::uint64_t sum = 0;
  for (std::size_t e = 0; e < pixels; ++e) sum += data->image(Split::train, 150)[e];
  BOOST_TEST(sum == 0u);
  check_run_error([&] { data->require_unchanged(); }, file());
  // Long again, it is still not what it was.
  BOOST_REQUIRE(truncate(file().c_str(), 16 + images * pixels) == 0);
  check_run_error([&] { data->require_unchanged(); }, file());
}

BOOST_AUTO_TEST_CASE(a_file_cut_short_inside_its_last_page_is_named) {
  BOOST_REQUIRE(truncate(file().c_str(), 16 + images * pixels - 1) == 0);
  check_run_error([&] { data->require_unchanged(); }, file());
}

BOOST_AUTO_TEST_CASE(a_loader_ends_with_the_file_that_was_cut_short) {
  Loading loading(*samples);
  loading.loader->next();
  BOOST_REQUIRE(truncate(file().c_str(), 100) == 0);
  check_run_error(
      [&] {
        for (int i = 0; i < 10; ++i) loading.loader->next();  // some batches are made already
      },
      file());
}

BOOST_AUTO_TEST_CASE(a_loader_ends_with_the_file_that_was_written_to) {
  Loading loading(*samples);
  loading.loader->next();
  overwrite(file(), noise(images * pixels, 2), 16);
  check_run_error(
      [&] {
        for (int i = 0; i < 10; ++i) loading.loader->next();
      },
      file());
}

BOOST_AUTO_TEST_CASE(direct_access_and_labels_are_looked_after) {
  kernels::Arena arena = kernels::Arena::host("batch", 1 << 20);
  const blocks::Batch batch = blocks::bind_batch(arena, samples->layout(), 1);
  const std::vector<std::int64_t> first{0};
  samples->fill(batch, Split::train, first, std::nullopt);
  overwrite(file(labels_name), {250}, 8);
  check_run_error([&] { data->label(Split::train, 0); }, file(labels_name));
  check_run_error([&] { samples->fill(batch, Split::train, first, std::nullopt); }, file(labels_name));
}

BOOST_AUTO_TEST_CASE(a_file_that_was_only_touched_is_told_once_and_goes_on) {
  move_time(file(), 10);
  data->require_unchanged();
  data->require_unchanged();
  const std::vector<std::string> notes = data->touched();
  BOOST_REQUIRE_EQUAL(notes.size(), 1u);
  BOOST_TEST(notes.front().find(file().string()) != std::string::npos);
  BOOST_TEST(data->touched().empty());
  move_time(file(), -20);
  std::vector<std::string> told;
  {
    BatchLoaderOptions options;
    options.warn = [&](const std::string& note) { told.push_back(note); };
    Loading loading(*samples, options);
    for (int i = 0; i < 5; ++i) loading.loader->next();
  }
  BOOST_TEST(told.size() == 1u);
  overwrite(file(), {1, 2, 3}, 16);
  check_run_error([&] { data->require_unchanged(); }, file());
}

BOOST_AUTO_TEST_CASE(packed_files_were_read_and_may_change) {
  const TemporaryFolder packed;
  packed.write("train.bin.xz", xz(cifar(40, 2, 100)));
  const ImageDataset open = ImageDataset::open(packed.path());
  packed.write("train.bin.xz", {'n', 'o'});
  open.require_unchanged();
  BOOST_TEST(open.touched().empty());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/// The status of a child in which a mapping faults that nobody guards, while a guarded one is open; `handler` stood for
/// SIGBUS before.
int unguarded_fault(const fs::path& folder, void (*handler)(int)) {
  const fs::path other = folder / "other";
  std::ofstream(other) << std::string(4 * pixels, 'x');
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGBUS, handler);
    const ImageDataset open = ImageDataset::open(folder);
    const int file = ::open(other.c_str(), O_RDWR);
    void* mapped = mmap(nullptr, 4 * pixels, PROT_READ, MAP_PRIVATE, file, 0);
    if (mapped == MAP_FAILED || ftruncate(file, 0) != 0) _exit(1);
    _exit(static_cast<volatile const std::uint8_t*>(mapped)[pixels] == 0 ? 2 : 3);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

BOOST_AUTO_TEST_CASE(other_mappings_fault_as_ever) {
  const int by_default = unguarded_fault(folder.path(), SIG_DFL);
  BOOST_TEST(WIFSIGNALED(by_default));
  BOOST_TEST(WTERMSIG(by_default) == SIGBUS);
  const int handled = unguarded_fault(folder.path(), [](int) { _exit(42); });
  BOOST_TEST(WIFEXITED(handled));
  BOOST_TEST(WEXITSTATUS(handled) == 42);
}
#endif

BOOST_AUTO_TEST_SUITE_END()
}  // namespace blocktrain::trainer
