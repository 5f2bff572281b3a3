#include "trainer/run_folder/run_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <system_error>
#include <utility>

#include "comm/host.hpp"
#include "kernels/error.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {
namespace {

namespace fs = std::filesystem;

constexpr const char* format_name = "blocktrain-lock";

[[noreturn]] void refuse_writing(const std::string& path, int error) {
  std::string message = "log.directory: cannot write '" + path + "': " + std::strerror(error);
  if (error == EACCES || error == EPERM) {
    message +=
        "; to go on with a run of somebody else, have its owner allow it (chmod -R g+w RUN, and umask 002 before "
        "the next training), or copy the folder";
  }
  throw InputError(message);
}

/// Whether the error says that this file system has no locks, rather than that this one cannot be had.
bool has_no_locks(int error) { return error == ENOLCK || error == EOPNOTSUPP || error == ENOTSUP || error == ENOSYS; }

/// Start of a process in clock ticks since boot, field 22 of /proc/PID/stat; nullopt: there is no such process.
std::optional<unsigned long long> start_of(long pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(in, text)) return std::nullopt;
  // The second field, the name in parentheses, may hold anything.
  std::istringstream fields(text.substr(std::min(text.rfind(')'), text.size() - 1) + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  unsigned long long start = 0;
  if (!(fields >> start)) return std::nullopt;
  return start;
}

std::string random_token() {
  unsigned char bytes[8];
  if (::getrandom(bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes))) {
    throw RunError(std::string("the system gives no random numbers: ") + std::strerror(errno));
  }
  std::string token;
  for (const unsigned char byte : bytes) token += fmt::format("{:02x}", byte);
  return token;
}

std::string to_json(const LockHolder& h) {
  const nlohmann::ordered_json j = {{"format", format_name},
                                    {"version", 1},
                                    {"host", h.host},
                                    {"boot", h.boot},
                                    {"pid_namespace", h.pid_namespace},
                                    {"pid", h.pid},
                                    {"start", h.start},
                                    {"token", h.token}};
  return j.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// Who holds the lock by that file; nullopt: the file does not say, for it is being written or is not ours.
std::optional<LockHolder> read_holder(const std::string& path) {
  std::optional<RegularFile> file = open_regular_file(path);
  if (!file || file->bytes > 65536) return std::nullopt;
  std::string text(static_cast<std::size_t>(file->bytes), '\0');
  if (read_exactly(file->descriptor.get(), 0, std::as_writable_bytes(std::span(text))) != 0) return std::nullopt;
  const auto j = nlohmann::json::parse(text, nullptr, false);
  try {
    if (!j.is_object() || j.at("format") != format_name || j.at("version") != 1) return std::nullopt;
    LockHolder h;
    h.host = j.at("host").get<std::string>();
    h.boot = j.at("boot").get<std::string>();
    h.pid_namespace = j.at("pid_namespace").get<std::string>();
    h.pid = j.at("pid").get<long>();
    h.start = j.at("start").get<unsigned long long>();
    h.token = j.at("token").get<std::string>();
    // It becomes part of a file's name.
    if (h.token.size() != 16 || h.token.find_first_not_of("0123456789abcdef") != std::string::npos) return std::nullopt;
    return h;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

/// Whether it is certain that the process of `h` has ended. Names of hosts may repeat, so it is the boot that says
/// whether the processes here are those it was among.
bool is_gone(const LockHolder& h) {
  const LockHolder self = this_process();
  if (h.boot != self.boot || h.boot == self.host || h.pid_namespace != self.pid_namespace) return false;
  const std::optional<unsigned long long> start = start_of(h.pid);
  if (start) return *start != h.start;  // another process has the number now
  return ::kill(static_cast<pid_t>(h.pid), 0) != 0 && errno == ESRCH;
}

/// Creates `path` with `text` unless it is there; false: it is.
bool create_file(const std::string& path, const std::string& text) {
  const FileDescriptor file(::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!file.open()) {
    if (errno == EEXIST) return false;
    refuse_writing(path, errno);
  }
  const ssize_t put = ::write(file.get(), text.data(), text.size());
  if (put != static_cast<ssize_t>(text.size()) || (::fsync(file.get()) != 0 && errno != EINVAL)) {
    const int error = put < 0 || put == static_cast<ssize_t>(text.size()) ? errno : ENOSPC;
    ::unlink(path.c_str());
    throw RunError("cannot write " + path + ": " + std::strerror(error));
  }
  return true;
}

[[noreturn]] void refuse_held(const RunPaths& paths, const std::optional<LockHolder>& h) {
  const std::string who =
      h ? fmt::format("process {} on {}", h->pid, printable(h->host)) : std::string("a process that it does not name");
  throw InputError("log.directory: '" + paths.root + "' is being trained in by " + who + ", says " +
                   paths.lock_holder() +
                   ". Wait for it to end or choose another folder; when it is certain that the "
                   "process is gone (a host that was lost, say), remove that file");
}

/// Removes lock.holder of a process that is gone, and puts `text` in its place unless that is empty. Nobody else does
/// so at the same time.
void take_over(const RunPaths& paths, const LockHolder& gone, const std::string& text) {
  const std::string right = paths.root + "/lock.takeover-" + gone.token;
  if (!create_file(right, "")) {
    throw InputError("log.directory: another process is taking '" + paths.root + "' over from one that is gone (" +
                     right + "). When nobody is, remove that file");
  }
  bool taken = false;
  try {
    // From here on nobody else replaces the file of that token; somebody may have done so before.
    const std::optional<LockHolder> now = read_holder(paths.lock_holder());
    if (now && now->token == gone.token) {
      if (::unlink(paths.lock_holder().c_str()) != 0) refuse_writing(paths.lock_holder(), errno);
      taken = text.empty() || create_file(paths.lock_holder(), text);
    }
  } catch (...) {
    ::unlink(right.c_str());
    throw;
  }
  ::unlink(right.c_str());
  if (!taken) refuse_held(paths, read_holder(paths.lock_holder()));
}

}  // namespace

LockHolder this_process() {
  LockHolder self;
  const comm::HostIdentity host = comm::this_host();
  self.host = host.hostname;
  self.boot = host.key;
  char name[64];
  const ssize_t n = ::readlink("/proc/self/ns/pid", name, sizeof(name));
  self.pid_namespace = n > 0 ? std::string(name, static_cast<std::size_t>(n)) : std::string();
  self.pid = ::getpid();
  self.start = start_of(self.pid).value_or(0);
  return self;
}

RunLock::RunLock(const RunPaths& paths, const LockCalls& calls) {
  std::error_code error;
  fs::create_directories(paths.root, error);
  if (error) throw InputError("log.directory: cannot create '" + paths.root + "': " + error.message());
  FileDescriptor file(::open(paths.lock().c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
  if (!file.open()) refuse_writing(paths.lock(), errno);
  int why = 0;
  do {
    why = calls.flock(file.get(), LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  } while (why == EINTR);
  if (why == EWOULDBLOCK) {
    throw InputError("log.directory: '" + paths.root + "' is being trained in by another process (it holds " +
                     paths.lock() + "); wait for it to end or choose another folder");
  }
  if (why != 0 && !has_no_locks(why)) {
    throw InputError("log.directory: cannot lock '" + paths.lock() + "': " + std::strerror(why));
  }
  if (why != 0) {
    hold_by_file(paths, why);
  } else if (fs::exists(paths.lock_holder(), error)) {
    // Somebody to whom the same file system shows no locks: another host may mount it in another way.
    const std::optional<LockHolder> holder = read_holder(paths.lock_holder());
    if (!holder || !is_gone(*holder)) refuse_held(paths, holder);
    take_over(paths, *holder, "");
  }
  file_ = std::move(file);
}

void RunLock::hold_by_file(const RunPaths& paths, int error) {
  LockHolder self = this_process();
  self.token = random_token();
  const std::string text = to_json(self);
  if (!create_file(paths.lock_holder(), text)) {
    const std::optional<LockHolder> holder = read_holder(paths.lock_holder());
    if (!holder || !is_gone(*holder)) refuse_held(paths, holder);
    take_over(paths, *holder, text);
  }
  holder_file_ = paths.lock_holder();
  token_ = self.token;
  note_ = fmt::format(
      "the file system of '{}' has no locks ({}); {} keeps other trainings out instead. If this process is killed it "
      "stays there, and a resume on another host asks for its removal",
      paths.root, std::strerror(error), holder_file_);
}

RunLock::~RunLock() {
  if (holder_file_.empty()) return;
  // Somebody may have removed it and let another in.
  try {
    const std::optional<LockHolder> holder = read_holder(holder_file_);
    if (holder && holder->token == token_) ::unlink(holder_file_.c_str());
  } catch (const std::exception&) {  // it is no file of ours any more
  }
}

}  // namespace blocktrain::trainer
