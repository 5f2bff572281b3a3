#pragma once
/// Owners of HDF5 identifiers.

#include <hdf5.h>

#include <utility>

#include "trainer/checkpoint/hdf5_check.hpp"

namespace blocktrain::trainer {

/// Owns one identifier and the function that closes its kind. Lives inside an Hdf5Session.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle(hid_t id, Close closes) noexcept : id_(id), close_(closes) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, hid_t{H5I_INVALID_HID})), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;
  ~Hdf5Handle() {
    // Nothing can be done about a failure here; files that are written are closed by close().
    if (id_ >= 0) close_(id_);
  }

  operator hid_t() const noexcept { return id_; }
  /// Closes now, checked: what a written file needs. Throws LibraryError.
  void close() { BLOCKTRAIN_HDF5(close_(std::exchange(id_, hid_t{H5I_INVALID_HID}))); }

 private:
  hid_t id_;
  Close close_;
};

}  // namespace blocktrain::trainer

/// An owner of the identifier that `call` returns, checked, to be closed by `close`.
#define BLOCKTRAIN_HDF5_OPEN(call, close) \
  ::blocktrain::trainer::Hdf5Handle(::blocktrain::trainer::check_hdf5((call), #call, __FILE__, __LINE__), close)
