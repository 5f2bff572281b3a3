#include "trainer/support/share.hpp"

namespace blocktrain::trainer {

void share(comm::Communicator& world, std::string& text) {
  std::vector<char> bytes(text.begin(), text.end());
  share(world, bytes);
  text.assign(bytes.begin(), bytes.end());
}

void share(comm::Communicator& world, std::vector<std::string>& texts) {
  std::vector<std::uint64_t> sizes;
  std::string all;
  for (const std::string& text : texts) {
    sizes.push_back(text.size());
    all += text;
  }
  share(world, sizes);
  share(world, all);
  texts.clear();
  std::size_t begin = 0;
  for (const std::uint64_t size : sizes) {
    texts.push_back(all.substr(begin, size));
    begin += size;
  }
}

}  // namespace blocktrain::trainer
