#include "trainer/checkpoint/manifest_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>

#include "trainer/support/durable_file.hpp"
#include "trainer/support/sha256.hpp"

namespace blocktrain::trainer {
namespace {

/// Locks the folder for as long as the descriptor lives; the system ends the lock with the process, however it ends.
FileDescriptor lock_folder(const std::filesystem::path& folder) {
  FileDescriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!descriptor.open()) throw RunError("cannot open the folder " + folder.string() + ": " + error_text(errno));
  if (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw InputError(folder.string() +
                     ": another run is writing there. Wait for it to end, or give another log.directory");
  }
  // Other errors: a file system without such locks. A training has RUN/lock besides, which does without them.
  return descriptor;
}

void save_text(const std::filesystem::path& path, const std::string& text) {
  DurableFile file(path, text.size());
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace

ManifestWriter::ManifestWriter(std::filesystem::path run_directory, Experiment experiment, const ResumePlan& start,
                               RemoveFile remove_file)
    : folder_(checkpoints_folder(run_directory)), remove_file_(std::move(remove_file)) {
  create_checkpoints_folder(run_directory);
  lock_ = lock_folder(folder_);
  const auto blocks = static_cast<int>(start.blocks.size());
  Manifest manifest{.experiment = std::move(experiment),
                    .blocks = std::vector<std::vector<CommittedFile>>(start.blocks.size()),
                    .information = start.information};
  if (std::optional<LoadedManifest> loaded = load_manifest(run_directory, manifest.experiment, blocks)) {
    manifest.blocks = std::move(loaded->manifest.blocks);
    saved_text_ = std::move(loaded->text);
    current_is_whole_ = loaded->warnings.empty();
  }
  std::set<std::string> spared;
  for (std::size_t b = 0; b < start.blocks.size(); ++b) {
    const ResumePoint& point = start.blocks[b];
    std::vector<CommittedFile>& files = manifest.blocks[b];
    if (!point.file) {
      for (const CommittedFile& file : files) spared.insert(file.name);
      files.clear();
    } else {
      std::erase_if(files, [&](const CommittedFile& f) { return f.step > point.step; });
      if (files.empty() || files.front() != *point.file) {
        throw InputError((folder_ / manifest_name).string() + ": changed while this run was starting. Start it again");
      }
      verified_.insert(point.file->name);
    }
  }
  save(manifest);
  cleaned_ = clean(spared);
}

void ManifestWriter::add(std::span<const CommittedFile> files) {
  Manifest manifest = manifest_;
  for (const CommittedFile& file : files) {
    if (file.block < 0 || static_cast<std::size_t>(file.block) >= manifest_.blocks.size() || file.step < 0 ||
        file.step > max_step || file.name != block_file_name(file.block, file.step) || !is_sha256_hex(file.sha256)) {
      throw RunError("a rank reports a checkpoint that is none of this run: " + printable(file.name));
    }
    std::vector<CommittedFile>& named = manifest.blocks[static_cast<std::size_t>(file.block)];
    std::erase_if(named, [&](const CommittedFile& f) { return f.step == file.step; });
    named.insert(std::ranges::find_if(named, [&](const CommittedFile& f) { return f.step < file.step; }), file);
  }
  save(manifest);
  for (const CommittedFile& file : files) verified_.erase(file.name);
}

bool ManifestWriter::is_whole(const CommittedFile& file, PruneResult& result) {
  if (verified_.contains(file.name)) return true;
  if (const std::optional<std::string> damage = find_damage(folder_, file); damage) {
    result.warnings.push_back((folder_ / file.name).string() + " " + *damage + ": dropped; older checkpoints stay");
    return false;
  }
  verified_.insert(file.name);
  return true;
}

std::optional<std::int64_t> ManifestWriter::oldest_kept(std::span<std::vector<CommittedFile>> group, std::size_t keep,
                                                        std::set<std::string>& unnamed, PruneResult& result) {
  // Nothing to remove is nothing to verify.
  if (std::ranges::none_of(group, [keep](const auto& files) { return files.size() > keep; })) return std::nullopt;
  std::size_t whole = 0;
  for (const CommittedFile& candidate : std::vector(group.front())) {
    const auto of_step = [&](std::vector<CommittedFile>& files) {
      return std::ranges::find(files, candidate.step, &CommittedFile::step);
    };
    if (std::ranges::any_of(group, [&](auto& files) { return of_step(files) == files.end(); })) continue;
    bool all_whole = true;
    for (std::vector<CommittedFile>& files : group) {
      const auto file = of_step(files);
      if (is_whole(*file, result)) continue;
      unnamed.insert(file->name);
      files.erase(file);
      all_whole = false;
    }
    if (all_whole && ++whole == keep) return candidate.step;
  }
  return std::nullopt;
}

PruneResult ManifestWriter::prune(int keep, bool coupled) {
  BLOCKTRAIN_EXPECTS(keep >= 1);
  PruneResult result;
  Manifest manifest = manifest_;
  std::set<std::string> unnamed;
  // Blocks that prune together: all when coupled, else each alone.
  const std::size_t group_size = coupled ? manifest.blocks.size() : 1;
  for (std::size_t begin = 0; begin < manifest.blocks.size(); begin += group_size) {
    const std::span group = std::span(manifest.blocks).subspan(begin, group_size);
    const std::optional<std::int64_t> oldest = oldest_kept(group, static_cast<std::size_t>(keep), unnamed, result);
    for (std::vector<CommittedFile>& files : group) {
      while (oldest && files.back().step < *oldest) {
        unnamed.insert(files.back().name);
        files.pop_back();
        ++result.removed;
      }
    }
  }
  if (unnamed.empty()) return result;
  save(manifest);
  for (const std::string& name : unnamed) {
    remove(name, result.warnings);
    verified_.erase(name);
  }
  return result;
}

void ManifestWriter::save(const Manifest& manifest) {
  const std::string text = to_text(manifest);
  if (text != saved_text_ || !current_is_whole_) {
    // The one before first: at every instant one of the two is whole.
    if (!saved_text_.empty()) save_text(folder_ / previous_manifest_name, saved_text_);
    save_text(folder_ / manifest_name, text);
    current_is_whole_ = true;
  }
  saved_text_ = text;
  manifest_ = manifest;
}

/// Only plain files with names that this program makes are removed.
int ManifestWriter::clean(const std::set<std::string>& spared) {
  std::set<std::string> named = spared;
  for (const auto& files : manifest_.blocks) {
    for (const CommittedFile& file : files) named.insert(file.name);
  }
  std::vector<std::string> removable;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code kind_error;
    if (!std::filesystem::is_regular_file(entry->symlink_status(kind_error))) continue;
    std::string target;
    const bool aside = DurableFile::is_aside_name(name, target) &&
                       (parse_block_file_name(target) || target == manifest_name || target == previous_manifest_name);
    if (aside || (parse_block_file_name(name) && !named.contains(name))) removable.push_back(name);
  }
  if (error) throw RunError("cannot read the folder " + folder_.string() + ": " + error.message());
  return static_cast<int>(
      std::ranges::count_if(removable, [this](const std::string& name) { return remove(name, warnings_); }));
}

bool ManifestWriter::remove(const std::string& name, std::vector<std::string>& warnings) const {
  const std::filesystem::path path = folder_ / name;
  if (remove_file_(path.c_str()) == 0) return true;
  // Nothing names it any more, so all that it costs is its space.
  if (errno != ENOENT) {
    warnings.push_back("cannot remove " + path.string() + ", which is no longer needed: " + error_text(errno) +
                       "; it stays there");
  }
  return false;
}

}  // namespace blocktrain::trainer
