#pragma once
/// Keeps a second training out of a RUN folder.
///
/// RUN/lock is locked by flock(2), which the system ends with the process, however it ends. Where the file system has
/// no such locks (Lustre mounted without `flock`, NFS without a lock service), RUN/lock.holder stands in: created only
/// if it was not there, which every file system does for one process alone, and removed at the end. It names its
/// process:
///
///   {"format": "blocktrain-lock", "version": 1, "host": .., "boot": .., "pid_namespace": .., "pid": .., "start": ..,
///    "token": ..}
///
/// pid and start (in clock ticks since boot) are those of /proc; boot is the kernel's boot id, pid_namespace tells
/// containers on it apart. A process that was killed leaves the file behind. Who finds it takes it over if it can know
/// that its process is gone: same boot and namespace, and no such process any more. Elsewhere it refuses, and says whom
/// the file belongs to and when to remove it. Of several that take over at a time one alone may: the one that creates
/// RUN/lock.takeover-TOKEN, of the old token.

#include <sys/file.h>

#include <string>

#include "trainer/run_folder/run_folder.hpp"
#include "trainer/support/file_system.hpp"

namespace blocktrain::trainer {

/// Calls that tests put others in for.
struct LockCalls {
  int (*flock)(int descriptor, int operation) = ::flock;
};

/// Who holds a lock. Two of them are the same process exactly when all but the token agree.
struct LockHolder {
  std::string host, boot, pid_namespace;
  long pid = 0;
  unsigned long long start = 0;
  std::string token;  ///< random: no two locks have the same
};

/// This process.
LockHolder this_process();

/// Held as long as a process trains in a RUN folder; a second one is refused.
class RunLock {
 public:
  /// Creates the folder if need be. Throws InputError when another process holds the lock, or may hold it, or when this
  /// user may not write there.
  explicit RunLock(const RunPaths& paths, const LockCalls& calls = {});
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();

  /// A sentence for the user where RUN/lock.holder is the lock; else empty.
  const std::string& note() const { return note_; }

 private:
  void hold_by_file(const RunPaths& paths, int error);

  FileDescriptor file_;
  std::string holder_file_, token_, note_;
};

}  // namespace blocktrain::trainer
