#pragma once
/// Reads the structure of HDF5 files without the HDF5 library, as far as block files need it.
///
/// Checkpoints come from anybody, and the library does not stand hostile files: one with wrong fields under right
/// checksums ends its process (found within seconds by fuzzing version 1.10.8). Block files use little of HDF5, so that
/// little is read here, bounds checked, and everything else is refused: superblock 2 or 3, object headers 2 with their
/// checksums, links and attributes inside the headers, hard links, contiguous unfiltered datasets (HDF5 File Format
/// Specification version 3.0, sections II.C, IV.A).

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {

/// Types that block files have; `other` stands for all the rest.
enum class StoredType : std::uint8_t { other, int64, uint64, float32, string };

/// An attribute with its value as it stands in the file.
struct StoredAttribute {
  StoredType type = StoredType::other;
  bool scalar = false;
  std::vector<std::byte> value;
};

enum class LinkKind : std::uint8_t { hard, elsewhere };

struct StoredLink {
  LinkKind kind = LinkKind::hard;
  std::uint64_t address = 0;  ///< of the object's header
};

/// Where a dataset's numbers are.
struct StoredDataset {
  StoredType type = StoredType::other;
  std::vector<std::uint64_t> shape;  ///< empty for a single value
  bool plain = false;                ///< one unfiltered piece inside the file, large enough for the shape
  std::uint64_t offset = 0;          ///< of that piece
};

/// A group or a dataset.
struct StoredObject {
  std::map<std::string, StoredLink> links;  ///< of a group
  std::map<std::string, StoredAttribute> attributes;
  std::optional<StoredDataset> dataset;  ///< nullopt: a group
};

/// HDF5's checksum of metadata: Bob Jenkins' lookup3 ("hashlittle") with initial value 0.
std::uint32_t metadata_checksum(std::span<const std::byte> data);

/// An open HDF5 file. Immutable: any thread may read.
class Hdf5Structure {
 public:
  /// Throws InputError "PATH: what is wrong. ADVICE" when the file is none that can be read here, RunError when it is
  /// missing or the system refuses.
  Hdf5Structure(const std::filesystem::path& path, std::string advice);

  /// The object whose header is at `address`. Throws InputError as above.
  StoredObject object(std::uint64_t address) const;
  std::uint64_t root() const { return root_; }
  /// Reads bytes of the file. Throws RunError when the system refuses.
  void read(std::uint64_t offset, std::span<std::byte> data) const;

  [[noreturn]] void refuse(const std::string& what) const { refuse(what, advice_); }
  [[noreturn]] void refuse(const std::string& what, const std::string& advice) const;

 private:
  class Cursor;
  struct Piece {
    std::uint64_t offset = 0, bytes = 0;
  };

  void read_messages(Cursor messages, bool creation_order, StoredObject& object, std::vector<Piece>& more,
                     StoredDataset& dataset, unsigned& seen) const;
  void read_link(Cursor message, StoredObject& object) const;
  void read_attribute(Cursor message, StoredObject& object) const;
  std::vector<std::byte> read_checked(Piece piece) const;

  std::string path_;
  std::string advice_;
  RegularFile file_;
  std::uint64_t root_ = 0;
};

}  // namespace blocktrain::trainer
