#include "trainer/checkpoint/hdf5_check.hpp"

#include "kernels/error.hpp"
#include "trainer/support/address_space.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

std::mutex& hdf5_mutex() {
  static std::mutex mutex;
  return mutex;
}

herr_t append_error(unsigned, const H5E_error2_t* error, void* text) noexcept {
  constexpr std::size_t longest = 2000;
  try {
    std::string& all = *static_cast<std::string*>(text);
    if (all.size() > longest) return 0;
    if (!all.empty()) all += "; ";
    all += error->func_name == nullptr ? "HDF5" : error->func_name;
    // Descriptions may quote the file, which may be anything.
    if (error->desc != nullptr) all += ": " + printable(error->desc);
  } catch (...) {
    return -1;  // out of memory: the message stays shorter
  }
  return 0;
}

}  // namespace

Hdf5Session::Hdf5Session() : lock_(hdf5_mutex()) {
  // Before HDF5's first call: its clean-up at the end of the program crashes on files that it could not close for want
  // of memory. Handles close what there is (hdf5_file.hpp).
  static const herr_t cleaned_at_exit = H5dont_atexit();
  static_cast<void>(cleaned_at_exit);
  BLOCKTRAIN_HDF5(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr));
}

std::string hdf5_error_text() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, append_error, &text);
  H5Eclear2(H5E_DEFAULT);
  if (text.empty()) text = "HDF5 gives no reason";
  // It does not tell that there was no memory.
  if (address_space_limit()) text += "; " + process_limits();
  return text;
}

}  // namespace blocktrain::trainer
