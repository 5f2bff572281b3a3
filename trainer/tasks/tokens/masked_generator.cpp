#include "trainer/tasks/tokens/masked_generator.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/error.hpp"

namespace blocktrain::trainer {
namespace {

using kernels::Arena;
using kernels::DType;
using kernels::Tensor;

/// Logits that are there at a time; 64 MiB of them.
constexpr std::int64_t most_logits = std::int64_t{1} << 24;

/// Windows of one prompt: `count` of them, the first of which is window `first` of all.
struct Piece {
  std::int64_t prompt = 0, first = 0, count = 0;
};

}  // namespace

void MaskedGenerator::Work::bind(Arena& arena, const blocks::Block& block, std::int64_t windows) {
  tokens = block.allocate_noisy(arena, DType::float32, windows);
  logits = block.allocate_estimate(arena, DType::float32, windows);
}

std::int64_t MaskedGenerator::windows_at_once(const blocks::SampleLayout& layout, std::int64_t batch) {
  return std::clamp<std::int64_t>(most_logits / (layout.targets * layout.classes), 1, batch);
}

std::size_t MaskedGenerator::device_bytes(const blocks::Block& block, const blocks::SampleLayout& layout,
                                          std::int64_t batch) {
  Arena sizing = Arena::measuring("windows of text");
  Work().bind(sizing, block, windows_at_once(layout, batch));
  return sizing.peak();
}

MaskedGenerator::MaskedGenerator(TrainedNetwork& network)
    : network_(network), tokens_(network.data().layout.targets), vocabulary_(network.data().layout.classes) {
  const blocks::SampleLayout& layout = network.data().layout;
  arena_.emplace(network.device().arena("windows of text", device_bytes(network.block(0), layout, network.batch())));
  work_.bind(*arena_, network.block(0), windows_at_once(layout, network.batch()));
  if (!network.device().shares_host_memory()) logits_.resize(static_cast<std::size_t>(work_.logits.size()));
}

double MaskedGenerator::make(std::span<std::int32_t> windows, const TokenPrompt& prompt, std::int64_t begin,
                             std::int64_t stride, int steps, const UnmaskingSettings& settings) {
  const auto n = static_cast<std::size_t>(tokens_);
  const auto mask = static_cast<std::int32_t>(vocabulary_);
  const std::int64_t count = static_cast<std::int64_t>(windows.size()) / tokens_;
  std::ranges::fill(windows, mask);
  for (std::int64_t i = 0; i < count; ++i) {
    std::ranges::copy(prompt, windows.begin() + static_cast<std::ptrdiff_t>(i * tokens_));
  }
  kernels::Device& device = network_.device();
  const Tensor z = work_.tokens.rows(0, count), logits = work_.logits.rows(0, count);
  const std::int64_t masks = tokens_ - static_cast<std::int64_t>(prompt.size());
  const std::int64_t taken = std::min<std::int64_t>(steps, masks);
  blocks::AssembledNetwork& network = network_.network();
  network.reset_flops();
  for (std::int64_t s = 0; s < taken; ++s) {
    const std::int64_t now = masks * (taken - s) / taken, then = masks * (taken - s - 1) / taken;
    const double level = static_cast<double>(now) / static_cast<double>(tokens_);
    device.upload(z.data, windows.data(), windows.size_bytes());
    network.estimate(device.ops(), logits, z, level, {});
    const float* here = logits.as<float>();
    if (device.shares_host_memory()) {
      device.ops().synchronize();
    } else {
      device.download(logits_.data(), logits.data, logits.bytes());
      here = logits_.data();
    }
    const std::size_t size = n * static_cast<std::size_t>(vocabulary_);  // of a window's logits
    for (std::int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      unmask(windows.subspan(at * n, n), {here + at * size, size}, mask, now - then, settings,
             static_cast<std::uint32_t>(begin + i * stride), static_cast<std::uint32_t>(s));
    }
  }
  return network.flops_spent();
}

GeneratedWindows MaskedGenerator::generate(std::span<const TokenPrompt> prompts, std::int64_t count, int steps,
                                           const UnmaskingSettings& settings, const ReportProgress& report) {
  BLOCKTRAIN_EXPECTS(!prompts.empty() && steps >= 1);
  for (const TokenPrompt& prompt : prompts) BLOCKTRAIN_EXPECTS(static_cast<std::int64_t>(prompt.size()) < tokens_);
  const auto start = std::chrono::steady_clock::now();
  const auto stride = static_cast<std::int64_t>(prompts.size());
  const std::int64_t at_once = windows_at_once(network_.data().layout, network_.batch());
  std::vector<Piece> pieces;
  for (std::int64_t p = 0; p < std::min(stride, count); ++p) {
    const std::int64_t of_prompt = (count - p + stride - 1) / stride;
    for (std::int64_t done = 0; done < of_prompt; done += at_once) {
      pieces.push_back({p, p + done * stride, std::min(at_once, of_prompt - done)});
    }
  }
  const auto bytes_of = [&](const Piece& piece) {
    return static_cast<std::size_t>(piece.count * tokens_) * sizeof(std::int32_t);
  };
  const auto results = network_.ranks().run(
      static_cast<std::int64_t>(pieces.size()),
      [&](std::int64_t number) {
        const Piece& piece = pieces[static_cast<std::size_t>(number)];
        std::vector<std::int32_t> windows(static_cast<std::size_t>(piece.count * tokens_));
        const double flops =
            make(windows, prompts[static_cast<std::size_t>(piece.prompt)], piece.first, stride, steps, settings);
        EvaluationRanks::Bytes bytes(bytes_of(piece) + sizeof(flops));
        std::memcpy(bytes.data(), windows.data(), bytes_of(piece));
        std::memcpy(bytes.data() + bytes_of(piece), &flops, sizeof(flops));
        return bytes;
      },
      report);
  GeneratedWindows made;
  if (results.empty()) return made;  // rank 0 has them
  made.tokens.resize(static_cast<std::size_t>(count * tokens_));
  for (std::size_t number = 0; number < pieces.size(); ++number) {
    const Piece& piece = pieces[number];
    const std::byte* from = results[number].data();
    for (std::int64_t i = 0; i < piece.count; ++i) {
      const std::size_t row = static_cast<std::size_t>(tokens_) * sizeof(std::int32_t);
      std::memcpy(made.tokens.data() + (piece.first + i * stride) * tokens_, from + static_cast<std::size_t>(i) * row,
                  row);
    }
    double flops = 0;
    std::memcpy(&flops, from + bytes_of(piece), sizeof(flops));
    made.flops_per_window += flops / static_cast<double>(count);
  }
  made.seconds_per_window =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(count);
  return made;
}

}  // namespace blocktrain::trainer
