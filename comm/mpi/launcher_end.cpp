#include "comm/mpi/launcher_end.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>

extern char** environ;

namespace blocktrain::comm::mpi {
namespace {

// As by Ctrl-C: the first ends the ranks that can be reached, a second one within 5 s ends mpirun without an answer of
// the others (and a third is for one that does not even do that). TERM would do as well, but where mpirun runs under
// scripts it may be blocked.
constexpr const char* script =
    "launcher=$1\n"
    "gone() { for i in 1 2 3 4 5 6; do kill -0 \"$launcher\" 2>/dev/null || exit 0; sleep 0.5; done; }\n"
    "kill -INT \"$launcher\"; gone\n"
    "kill -INT \"$launcher\"; gone\n"
    "kill -KILL \"$launcher\"\n";

int number_in_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? 0 : std::atoi(value);
}

/// Whether process `pid` is the launcher itself, rather than its daemon on another host.
bool is_launcher(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  // Also "mpirun.openmpi", as Debian calls it; prterun and prte are Open MPI 5's.
  for (const char* known : {"mpirun", "mpiexec", "orterun", "prterun", "prte"}) {
    if (name == known || name.rfind(std::string(known) + ".", 0) == 0) return true;
  }
  return false;
}

/// Starts the script in a session of its own, where nothing that is sent to the ranks reaches it, and without their
/// output, whose end mpirun waits for.
bool start_script(pid_t launcher) {
  std::string shell = "/bin/sh", option = "-c", text = script, name = "end-launcher", pid = std::to_string(launcher);
  char* const arguments[] = {shell.data(), option.data(), text.data(), name.data(), pid.data(), nullptr};
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&files) != 0) return false;
  if (posix_spawnattr_init(&attributes) != 0) {
    posix_spawn_file_actions_destroy(&files);
    return false;
  }
  bool ready = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID) == 0;
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ready = ready && posix_spawn_file_actions_addopen(&files, file, "/dev/null", O_RDWR, 0) == 0;
  }
  pid_t started = -1;
  ready = ready && posix_spawn(&started, shell.c_str(), &files, &attributes, arguments, environ) == 0;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return ready;
}

}  // namespace

bool job_has_several_hosts() noexcept {
  const int here = number_in_environment("OMPI_COMM_WORLD_LOCAL_SIZE");
  return here > 0 && here < number_in_environment("OMPI_COMM_WORLD_SIZE");
}

bool end_launcher() noexcept {
  if (!job_has_several_hosts()) return false;
  try {
    const pid_t launcher = getppid();
    return is_launcher(launcher) && start_script(launcher);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace blocktrain::comm::mpi
