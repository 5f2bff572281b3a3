#include "trainer/tasks/tokens/tokenizers/bpe_model.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <tuple>

#include "kernels/error.hpp"
#include "trainer/tasks/tokens/tokenizers/byte_alphabet.hpp"
#include "trainer/tasks/tokens/tokenizers/for_messages.hpp"

namespace blocktrain::trainer {
namespace {

constexpr std::uint32_t nowhere = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t known_places = std::size_t{1} << 16;  // a power of two

}  // namespace

BpeModel::Scratch::Scratch() : known_(known_places) {}

BpeModel::BpeModel(const BpeParts& parts) : unknown_(parts.unknown), fuse_unknown_(parts.fuse_unknown) {
  BLOCKTRAIN_EXPECTS(!parts.tokens.empty() && static_cast<std::int64_t>(parts.tokens.size()) <= most_tokens);
  std::unordered_map<std::string_view, std::int32_t> id_of;
  id_of.reserve(parts.tokens.size());
  for (std::size_t id = 0; id < parts.tokens.size(); ++id) {
    if (!parts.tokens[id].empty()) id_of.emplace(parts.tokens[id], static_cast<std::int32_t>(id));
  }
  keep_bytes(parts);
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto found = id_of.find(spelling_of_byte(static_cast<unsigned char>(byte)));
    byte_ids_[byte] = found == id_of.end() ? -1 : found->second;
  }
  keep_merges(parts, id_of);
}

void BpeModel::keep_bytes(const BpeParts& parts) {
  std::vector<bool> spelt(parts.tokens.size(), true);
  std::vector<const std::string*> texts(parts.tokens.size(), nullptr);
  for (const AddedToken& token : parts.added) texts.at(static_cast<std::size_t>(token.id)) = &token.text;
  ends_.reserve(parts.tokens.size());
  for (std::size_t id = 0; id < parts.tokens.size(); ++id) {
    if (texts[id] != nullptr) {
      bytes_ += *texts[id];
      spelt[id] = false;
    } else if (!append_spelt_bytes(parts.tokens[id], bytes_)) {
      bytes_ += parts.tokens[id];  // it stands for itself
      spelt[id] = false;
    }
    if (bytes_.size() > nowhere) throw InputError(parts.place + ": its tokens have more than 4 GiB");
    ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  }
  if (!parts.whole_pieces_first) return;
  for (std::size_t id = 0; id < parts.tokens.size(); ++id) {
    const std::string_view bytes = bytes_of(static_cast<std::int32_t>(id));
    if (spelt[id] && !bytes.empty()) whole_.emplace(bytes, static_cast<std::int32_t>(id));
  }
}

void BpeModel::keep_merges(const BpeParts& parts, const std::unordered_map<std::string_view, std::int32_t>& id_of) {
  struct Entry {
    std::int32_t left;
    Merge merge;
  };
  const auto id = [&](std::string_view token, std::size_t rank) {
    const auto found = id_of.find(token);
    if (found == id_of.end()) {
      throw InputError(parts.place + ": merge " + std::to_string(rank) + " names the token " + quoted_token(token) +
                       ", which the vocabulary lacks");
    }
    return found->second;
  };
  std::vector<Entry> entries;
  entries.reserve(parts.merges.size());
  std::string made;
  for (std::size_t rank = 0; rank < parts.merges.size(); ++rank) {
    const auto& [left, right] = parts.merges[rank];
    made.assign(left).append(right);
    entries.push_back({id(left, rank), {id(right, rank), id(made, rank), static_cast<std::uint32_t>(rank)}});
  }
  // Of a pair that is listed twice the later place counts.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tuple(a.left, a.merge.right, b.merge.rank) < std::tuple(b.left, b.merge.right, a.merge.rank);
  });
  entries.erase(
      std::unique(entries.begin(), entries.end(),
                  [](const Entry& a, const Entry& b) { return a.left == b.left && a.merge.right == b.merge.right; }),
      entries.end());
  first_merge_.assign(parts.tokens.size() + 1, 0);
  merges_.reserve(entries.size());
  for (const Entry& entry : entries) {
    ++first_merge_[static_cast<std::size_t>(entry.left) + 1];
    merges_.push_back(entry.merge);
  }
  for (std::size_t left = 0; left < parts.tokens.size(); ++left) first_merge_[left + 1] += first_merge_[left];
}

std::string_view BpeModel::bytes_of(std::int32_t id) const {
  const auto at = static_cast<std::size_t>(id);
  const std::size_t begin = at == 0 ? 0 : ends_[at - 1];
  return std::string_view(bytes_).substr(begin, ends_[at] - begin);
}

const BpeModel::Merge* BpeModel::find(std::int32_t left, std::int32_t right) const {
  const auto at = static_cast<std::size_t>(left);
  const Merge* const end = merges_.data() + first_merge_[at + 1];
  const Merge* const found = std::lower_bound(merges_.data() + first_merge_[at], end, right,
                                              [](const Merge& m, std::int32_t r) { return m.right < r; });
  return found != end && found->right == right ? found : nullptr;
}

void BpeModel::begin(std::string_view piece, std::vector<Scratch::Symbol>& symbols) const {
  symbols.clear();
  bool unknown_before = false;
  for (const char c : piece) {
    std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) {
      if (!unknown_ || (fuse_unknown_ && unknown_before)) continue;
      id = *unknown_;
      unknown_before = true;
    } else {
      unknown_before = false;
    }
    const auto at = static_cast<std::uint32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  }
  if (!symbols.empty()) {
    symbols.front().previous = nowhere;
    symbols.back().next = nowhere;
  }
}

void BpeModel::queue_pair(Scratch& scratch, std::uint32_t at) const {
  const Scratch::Symbol& left = scratch.symbols_[at];
  if (left.next == nowhere) return;
  const Merge* const merge = find(left.id, scratch.symbols_[left.next].id);
  if (merge == nullptr) return;
  scratch.queue_.push_back(std::uint64_t{merge->rank} << 32 | at);
  std::push_heap(scratch.queue_.begin(), scratch.queue_.end(), std::greater<>());
}

void BpeModel::merge(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& out) const {
  auto& symbols = scratch.symbols_;
  auto& queue = scratch.queue_;
  begin(piece, symbols);
  queue.clear();
  for (std::uint32_t at = 0; at < symbols.size(); ++at) queue_pair(scratch, at);
  constexpr std::int32_t gone = -1;
  while (!queue.empty()) {
    const std::uint64_t first = queue.front();
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    queue.pop_back();
    const auto at = static_cast<std::uint32_t>(first);
    Scratch::Symbol& left = symbols[at];
    if (left.id == gone || left.next == nowhere) continue;
    Scratch::Symbol& right = symbols[left.next];
    // What was queued may be another pair by now, which has an entry of its own.
    const Merge* const merge = find(left.id, right.id);
    if (merge == nullptr || merge->rank != first >> 32) continue;
    left.id = merge->made;
    left.next = right.next;
    right.id = gone;
    if (left.next != nowhere) symbols[left.next].previous = at;
    if (left.previous != nowhere) queue_pair(scratch, left.previous);
    queue_pair(scratch, at);
  }
  for (std::uint32_t at = 0; at < symbols.size(); at = symbols[at].next) out.push_back(symbols[at].id);
}

void BpeModel::encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& out) const {
  if (piece.empty()) return;
  if (!whole_.empty()) {
    if (const auto found = whole_.find(piece); found != whole_.end()) {
      out.push_back(found->second);
      return;
    }
  }
  if (piece.size() > most_piece_bytes) {
    throw InputError("a run of " + std::to_string(piece.size()) +
                     " bytes that is not cut anywhere; accepted: at most " + std::to_string(most_piece_bytes));
  }
  Scratch::Known& known = scratch.known_[std::hash<std::string_view>()(piece) & (known_places - 1)];
  if (known.bytes == piece.size() && std::memcmp(known.text.data(), piece.data(), piece.size()) == 0) {
    out.insert(out.end(), known.ids.begin(), known.ids.begin() + known.count);
    return;
  }
  const std::size_t before = out.size();
  merge(piece, scratch, out);
  const std::size_t count = out.size() - before;
  if (piece.size() > known.text.size() || count > known.ids.size()) return;
  known.bytes = static_cast<std::uint8_t>(piece.size());
  known.count = static_cast<std::uint8_t>(count);
  std::memcpy(known.text.data(), piece.data(), piece.size());
  std::copy(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), known.ids.begin());
}

}  // namespace blocktrain::trainer
