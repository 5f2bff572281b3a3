#include "trainer/support/exit_status.hpp"

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "kernels/error.hpp"

namespace blocktrain::trainer {

void all_or_none(comm::Communicator& world, const std::function<void()>& work) {
  char code = 0;
  std::string message;
  try {
    work();
  } catch (const InputError& e) {
    code = 2;
    message = e.what();
  } catch (const std::exception& e) {
    code = 1;
    message = message_of(e);
  }
  const std::string mine = code + message;
  const auto all = world.all_gather(std::as_bytes(std::span(mine)), comm::TrafficPurpose::control);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    std::string theirs(all[rank].size(), '\0');
    std::memcpy(theirs.data(), all[rank].data(), theirs.size());
    if (theirs.empty() || theirs[0] == 0) continue;
    if (world.rank() != 0) throw QuietExit(theirs[0]);
    const std::string who = rank == 0 ? std::string() : "rank " + std::to_string(rank) + ": ";
    if (theirs[0] == 2) throw InputError(who + theirs.substr(1));
    throw RunError(who + theirs.substr(1));
  }
}

}  // namespace blocktrain::trainer
